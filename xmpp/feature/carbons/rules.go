package carbons

import (
	"hash/maphash"
	"math/bits"
	"slices"
	"sync"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/router"
)

// instant are the namespaces of payloads that belong to instant messaging, with
// a body or without (§6.1, third rule).
var instant = []string{
	xmpp.NSReceipts, xmpp.NSStates, xmpp.NSMarkers, // those that the rule names
	xmpp.NSJingleMsg, xmpp.NSReactions, xmpp.NSRetract, xmpp.NSOMEMO, xmpp.NSOMEMO2, xmpp.NSOpenPGP,
}

// eligible says whether a message may be copied (§6.1).
func eligible(d *feature.Dispatch, dir direction, a *router.Account) bool {
	st := d.Stanza
	t := st.MessageType()
	switch t {
	case xmpp.TypeGroupchat:
		return false
	case xmpp.TypeError:
		return answers(d, dir, a)
	}
	if x := st.Child(xmpp.NSMUCUser, "x"); x != nil {
		switch {
		case x.Node().Child(xmpp.NSMUCUser, "invite") != nil: // a mediated invitation
			return true
		case dir == sent && d.To.IsFull(): // a private message to an occupant
			return true
		case dir == received && d.From.IsFull(): // one from an occupant: the room sent it to all who are in
			return false
		}
	}
	if t == xmpp.TypeChat || t == xmpp.TypeNormal && st.Child("", "body") != nil {
		return true
	}
	for i := range st.Children {
		for _, space := range instant {
			if string(st.Children[i].Space) == space {
				return true
			}
		}
	}
	// A direct invitation, or anything else that the history has: all devices show the same.
	return st.Child(xmpp.NSConf, "x") != nil || len(d.Copies) > 0
}

// An error is copied if it answers a message that was (§6.1, fourth rule), one
// in the other direction. Which one is known by its id and the other side, since
// it need not contain any of it (§10.3).

// copied holds the latest messages that were copied to an account's devices.
type copied struct {
	mu   sync.Mutex
	keys [64]uint64
	next int
}

var lately = router.NewSlot[*copied]()

var seed = maphash.MakeSeed()

func keyOf(d *feature.Dispatch, dir direction) uint64 {
	peer := d.From
	if dir == sent {
		peer = d.To
	}
	key := bits.RotateLeft64(maphash.Bytes(seed, d.Stanza.ID), 1) ^ maphash.String(seed, peer.Bare().String())
	if dir == sent {
		return ^key
	}
	return key
}

func remember(d *feature.Dispatch, dir direction, a *router.Account) {
	if len(d.Stanza.ID) == 0 || d.Stanza.Type == xmpp.TypeError {
		return
	}
	c, _ := lately.Get(a, func() (*copied, error) { return new(copied), nil })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys[c.next] = keyOf(d, dir)
	c.next = (c.next + 1) % len(c.keys)
}

func answers(d *feature.Dispatch, dir direction, a *router.Account) bool {
	c, ok := lately.Peek(a)
	if !ok {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.keys[:], ^keyOf(d, dir))
}
