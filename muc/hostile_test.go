package muc_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"confab/muc"
)

// TestHostileSizes has an owner send what is much too much, in one request and in many: it is bounded and answered.
func TestHostileSizes(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	romeo := cast(t, h, cave, []string{"persistentroom=1"}, there)[0]
	items := func(from, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "<item affiliation='member' jid='m%d@elsewhere.example'/>", from+i)
		}
		return "<iq type='set' id='1' to='" + cave + "'><query xmlns='http://jabber.org/protocol/muc#admin'>" + b.String() + "</query></iq>"
	}
	romeo.Sends(items(0, 10_000))
	if got := heard(t, romeo); !strings.Contains(got, "<policy-violation") {
		t.Errorf("%.300s", got)
	}
	for i := range 10 {
		romeo.Sends(items(1000*i, 1000))
		got := heard(t, romeo)
		if full := strings.Contains(got, "<resource-constraint"); full != (i == 9) { // romeo is one of the 10,000
			t.Errorf("%d: %.300s", i, got)
		}
	}
	romeo.Sends("<iq type='get' id='1' to='" + cave + "'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='member'/></query></iq>")
	if n := strings.Count(heard(t, romeo), "<item "); n != 9000 {
		t.Errorf("%d members", n)
	}
	// The same by the form, which has the full lists.
	var owners strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&owners, "<value>o%d@elsewhere.example</value>", i)
	}
	form := func(fields string) string {
		return "<iq type='set' id='1' to='" + cave + "'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>" + fields + "</x></query></iq>"
	}
	const formType = "<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>"
	field := func(name, values string) string {
		return "<field var='muc#roomconfig_" + name + "'>" + values + "</field>"
	}
	for _, test := range []struct{ fields, want string }{
		{formType + field("roomowners", "<value>romeo@example.com</value>"+owners.String()), "<error "},
		{formType + field("nonsense", "<value>1</value>") + "<field var='x'/>", "type='result'"},
		{formType + field("membersonly", ""), "type='result'"},
		{formType + field("membersonly", "<value>1</value><value>0</value>"), "<bad-request"},
		{formType + field("membersonly", "<value>1</value>") + field("membersonly", "<value>0</value>"), "<bad-request"},
		{field("membersonly", "<value>1</value>"), "<bad-request"},
		{formType + strings.Repeat("<field><value>x</value></field>", 5000), "<error "},
		{formType + field("roomname", strings.Repeat("<value>x</value>", 5000)), "<error "},
	} {
		romeo.Sends(form(test.fields))
		if got := heard(t, romeo); !strings.Contains(got, test.want) {
			t.Errorf("%.120s: %.300s", test.fields, got)
		}
	}
	if d := h.List("example.com"); len(d) != 1 || d[0].Config.MembersOnly {
		t.Errorf("%+v", d)
	}
}

// TestUnansweredQuestions asks somebody more than is remembered, who answers nothing and leaves: each request has one answer.
func TestUnansweredQuestions(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	all := cast(t, h, cave, nil, there, away)
	ask := func(id string) string {
		return "<iq type='get' id='" + id + "' to='" + cave + "/juliet'><query xmlns='jabber:iq:version'/></iq>"
	}
	all[0].Sends(ask(strings.Repeat("x", 2000)))
	if got := heard(t, all[0]); !strings.Contains(got, "<policy-violation") {
		t.Errorf("%.300s", got)
	}
	const asked = 700
	for i := range asked {
		all[0].Sends(ask(fmt.Sprint("q", i)))
	}
	late := heard(t, all[0])
	if n := strings.Count(late, "<resource-constraint"); n != 200 {
		t.Errorf("%d requests were given up", n)
	}
	all[1].Sends("<presence type='unavailable' to='" + cave + "/juliet'/>")
	got := late + heard(t, all[0])
	for i := range asked {
		if n := strings.Count(got, fmt.Sprintf(" id='q%d'", i)); n != 1 {
			t.Errorf("request %d has %d answers", i, n)
		}
	}
}

// TestLongPresence has somebody come with more than everybody who enters is to be sent.
func TestLongPresence(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	all := cast(t, h, cave, nil, there, away)
	status := "<status>" + strings.Repeat("x", 20<<10) + "</status>"
	alice := h.Online(t, "alice@example.com/garden")
	alice.Sends("<presence to='" + cave + "/alice'>" + status + mucX + "</presence>")
	all[1].Sends("<presence to='" + cave + "/juliet'>" + status + "</presence>")
	for _, p := range []string{heard(t, alice), heard(t, all[1])} {
		if !strings.Contains(p, "type='error'") || !strings.Contains(p, "<policy-violation") {
			t.Errorf("%.300s", p)
		}
	}
	hears(t, all[0])
	all[1].Sends("<presence type='unavailable' to='" + cave + "/juliet'>" + status + "</presence>")
	hears(t, all[0], "<presence type='unavailable' from='"+cave+"/juliet' to='"+there+"'><x xmlns='http://jabber.org/protocol/muc#user'>"+
		"<item affiliation='none' role='none' jid='"+away+"'/></x><o/></presence>")
}

const (
	voiceForm = "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#request</value></field>" +
		"<field var='muc#role'><value>participant</value></field>"
	wish = "<message id='w' to='" + cave + "'>" + voiceForm + "</x></message>"
)

// TestVoiceRequests has a visitor ask for a voice again and again: the moderators are asked once in a while.
func TestVoiceRequests(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	all := cast(t, h, cave, []string{"moderatedroom=1"}, there, away)
	for range 50 {
		all[1].Sends(wish)
	}
	if n := strings.Count(heard(t, all[1]), "<resource-constraint"); n != 49 {
		t.Errorf("%d were refused", n)
	}
	h.Clock.Pass(time.Minute)
	all[1].Sends(wish)
	if n := strings.Count(heard(t, all[0]), "<message "); n != 2 {
		t.Errorf("romeo was asked %d times", n)
	}
}

// TestVoiceForSomebodyElse gives somebody a voice who has gone: who has the nick now gets none.
func TestVoiceForSomebodyElse(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	all := cast(t, h, cave, []string{"moderatedroom=1"}, there, away)
	all[1].Sends(wish, "<presence type='unavailable' to='"+cave+"/juliet'/>")
	alice := h.Online(t, "alice@example.com/garden")
	alice.Sends("<presence to='" + cave + "/juliet'>" + noLines + "</presence>")
	quiet(all[0], alice)
	all[0].Sends("<message id='v' to='" + cave + "'>" + voiceForm + "<field var='muc#jid'><value>" + away + "</value></field>" +
		"<field var='muc#roomnick'><value>juliet</value></field><field var='muc#request_allow'><value>1</value></field></x></message>")
	if got := heard(t, all[0]); !strings.Contains(got, "<item-not-found") {
		t.Error(got)
	}
	hears(t, alice)
}

// TestLongInvitations has one message make a twentyfold of what is long.
func TestLongInvitations(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	all := cast(t, h, cave, nil, there, away)
	long := strings.Repeat("x", 5000)
	for _, x := range []string{
		"<invite to='alice@example.com'><reason>" + long + "</reason></invite>",
		"<invite to='alice@example.com'><continue thread='" + long + "'/></invite>",
		"<decline to='juliet@example.com'><reason>" + long + "</reason></decline>",
	} {
		all[0].Sends("<message id='i' to='" + cave + "'><x xmlns='http://jabber.org/protocol/muc#user'>" + x + "</x></message>")
		if got := heard(t, all[0]); !strings.Contains(got, "<not-acceptable") {
			t.Errorf("%.30s: %.300s", x, got)
		}
	}
	hears(t, all[1])
}

// TestRoomsOfOne has somebody make as many rooms as he may, over restarts too: others make theirs.
func TestRoomsOfOne(t *testing.T) {
	folder := t.TempDir()
	for i := range 3 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			h := openHouse(t, folder, muc.Options{MayCreate: everybody, MaxRoomsEach: 2}, nil)
			romeo, juliet := h.Online(t, there), h.Online(t, away)
			room := fmt.Sprintf("r%d@conference.example.com", i)
			romeo.Sends("<presence to='"+room+"/romeo'>"+mucX+"</presence>", configured(room, "persistentroom=1"))
			if got := heard(t, romeo); strings.Contains(got, "<resource-constraint") != (i == 2) {
				t.Error(got)
			}
			join(juliet, "tent@conference.example.com")
			if got := heard(t, juliet); !strings.Contains(got, "<status code='201'/>") {
				t.Error(got)
			}
		})
	}
}
