package muc_test

import (
	"fmt"
	"strings"
	"testing"

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
