package muc_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"confab/muc"
	"confab/xmpp/feature"
)

// A MUC or alias used as an amplifier: what one sender has a room send to all others has a limit, in messages as in
// presence, and others are not held to his.
func TestRoomUsedAsAmplifier(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody, Rate: feature.Rate{Burst: 20, PerSecond: 2}})
	all := cast(t, h, cave, nil, there, away)
	romeo, juliet := all[0], all[1]
	const refused = "<resource-constraint"
	said := 0
	for i := range 20 {
		romeo.Sends(fmt.Sprintf("<message type='groupchat' to='%s' id='m%d'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>", cave, i))
		if got := heard(t, romeo); strings.Contains(got, refused) {
			if !strings.Contains(got, "type='wait'") {
				t.Error(got)
			}
			break
		}
		said++
	}
	if said == 0 || said > 10 {
		t.Errorf("%d messages went to two", said)
	}
	if got := strings.Count(heard(t, juliet), "<composing"); got != said {
		t.Errorf("juliet heard %d of %d", got, said)
	}
	for _, s := range []string{"<presence to='" + cave + "/romeo'><show>away</show></presence>", "<presence to='" + cave + "/another'/>", "<presence to='" + cave + "/romeo'>" + mucX + "</presence>"} {
		romeo.Sends(s)
		if got := heard(t, romeo); !strings.Contains(got, refused) {
			t.Errorf("%s: %s", s, got)
		}
	}
	hears(t, juliet)
	juliet.Sends("<message type='groupchat' to='" + cave + "' id='j'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
	if got := heard(t, romeo); !strings.Contains(got, "id='j'") {
		t.Errorf("romeo heard %s", got)
	}
	h.Clock.Pass(time.Second)
	romeo.Sends("<message type='groupchat' to='" + cave + "' id='later'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
	if got := heard(t, romeo); !strings.Contains(got, "id='later'") || strings.Contains(got, refused) {
		t.Errorf("romeo heard %s", got)
	}
	// Leaving is always possible.
	romeo.Sends("<presence type='unavailable' to='" + cave + "/romeo'/>")
	if got := heard(t, romeo); !strings.Contains(got, "type='unavailable'") {
		t.Errorf("romeo heard %s", got)
	}
}

// What a moderator or an owner changes has everybody be told of everybody, and has the same limit.
func TestRoomChangedAsAmplifier(t *testing.T) {
	for _, change := range []func(i int) string{
		func(i int) string {
			return admin("r", "<item nick='juliet' role='"+[]string{"visitor", "participant"}[i%2]+"'/>")
		},
		func(i int) string {
			return admin("a", "<item jid='juliet@example.com' affiliation='"+[]string{"member", "none"}[i%2]+"'/>")
		},
		func(i int) string {
			return configured(cave, "presencebroadcast="+[]string{"moderator", "participant"}[i%2])
		},
	} {
		h := newHouse(t, muc.Options{MayCreate: everybody, Rate: feature.Rate{Burst: 40, PerSecond: 1}})
		romeo := cast(t, h, cave, nil, there, away)[0]
		done := 0
		for ; done < 40; done++ {
			romeo.Sends(change(done))
			if strings.Contains(heard(t, romeo), "<resource-constraint") {
				break
			}
		}
		if done == 0 || done > 20 {
			t.Errorf("%s: %d in a row", change(0), done)
		}
		romeo.Sends(admin("m", "<item jid='alice@example.com' affiliation='member'/>"))
		if got := heard(t, romeo); !strings.Contains(got, "type='result'") {
			t.Errorf("what is told to nobody is refused: %s", got)
		}
	}
}

// Who may send no more for now makes no room that nobody enters.
func TestNoRoomWithoutABudget(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody, Rate: feature.Rate{Burst: 1, PerSecond: 1}})
	romeo := cast(t, h, cave, nil, there)[0]
	juliet := h.Online(t, away)
	h.Clock.Pass(time.Second)
	join(juliet, cave)
	h.Clock.Pass(time.Minute)
	romeo.Sends("<message type='groupchat' to='" + cave + "' id='m'><body>hi</body></message>")
	quiet(romeo)
	join(romeo, "tent@conference.example.com")
	if got := heard(t, romeo); !strings.Contains(got, "<resource-constraint") {
		t.Error(got)
	}
	if all := h.List("example.com"); len(all) != 1 {
		t.Errorf("%+v", all)
	}
}
