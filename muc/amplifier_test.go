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
