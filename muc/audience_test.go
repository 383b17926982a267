package muc_test

import (
	"slices"
	"testing"

	"confab/muc"
	"confab/xmpp"
	"confab/xmpp/directory"
)

// audience returns whom a room is meant for, in order.
func audience(t *testing.T, h *house, room string) (names []string) {
	t.Helper()
	all, err := h.Audience(xmpp.MustJID(room))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range all {
		names = append(names, h.Directory.ByID(id).Local)
	}
	slices.Sort(names)
	return names
}

// What is said in a room is meant for its members, whether they are there or
// not, and for guests while they are.
func TestAudience(t *testing.T) {
	h := newHouse(t, muc.Options{MayCreate: everybody})
	people := cast(t, h, cave, nil, "romeo@example.com/orchard", "juliet@example.com/balcony")
	people[0].Sends("<iq type='set' id='1' to='" + cave + "'><query xmlns='http://jabber.org/protocol/muc#admin'>" +
		"<item affiliation='member' jid='alice@example.com'/><item affiliation='outcast' jid='bob@example.com'/></query></iq>")
	if got := audience(t, h, cave); !slices.Equal(got, []string{"alice", "juliet", "romeo"}) {
		t.Errorf("it is meant for %v", got)
	}
	people[1].Sends("<presence to='" + cave + "/juliet' type='unavailable'/>")
	if got := audience(t, h, cave); !slices.Equal(got, []string{"alice", "romeo"}) {
		t.Errorf("without the guest it is meant for %v", got)
	}
	if got := audience(t, h, "nowhere@conference.example.com"); len(got) != 0 {
		t.Errorf("a room that is none is meant for %v", got)
	}
}

// Who has blocked a room has done with it.
func TestAudienceOfBlockedRoom(t *testing.T) {
	a, h := newAlias("romeo", "juliet"), (*house)(nil)
	h = openHouse(t, t.TempDir(), muc.Options{Blocks: func(u directory.ID, j xmpp.JID) bool {
		return u == h.ID("juliet@example.com") && j == a.room.JID
	}}, a)
	if got := audience(t, h, a.room.JID.String()); !slices.Equal(got, []string{"romeo"}) {
		t.Errorf("it is meant for %v", got)
	}
}

// The same of a room of a source.
func TestAudienceOfGivenRoom(t *testing.T) {
	a := newAlias("romeo", "juliet")
	h := openHouse(t, t.TempDir(), muc.Options{}, a)
	if got := audience(t, h, a.room.JID.String()); !slices.Equal(got, []string{"juliet", "romeo"}) {
		t.Errorf("it is meant for %v", got)
	}
}
