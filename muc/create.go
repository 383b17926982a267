package muc

import (
	"context"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
)

// create makes a room for somebody who enters one that is not there (§10.1). It is locked until it is configured.
func (m *Rooms) create(u *directory.User, address xmpp.JID, e *entry) error {
	if u == nil || !m.opts.MayCreate(u) {
		return xmpp.NewError(xmpp.NotAllowed, "there is no such room, and you may not make one")
	}
	if _, err := nickKey(e.nick); err != nil {
		return err
	}
	switch all, own := m.made(u.ID); {
	case all >= m.opts.MaxRooms:
		return xmpp.NewError(xmpp.ResourceConstraint, "there are too many rooms")
	case own >= m.opts.MaxRoomsEach && !u.Admin:
		return xmpp.NewError(xmpp.ResourceConstraint, "you have made too many rooms; destroy one that nobody needs any more")
	}
	r, err := m.found(context.Background(), address, DefaultConfig())
	if err != nil {
		return err
	}
	r.maker, r.locked = u.ID, true
	r.setAffiliate(u.JID, affiliate{Affiliation: Owner})
	m.place(r, nil)
	return nil
}

// made is how many rooms there are that people made, and that one of them did.
func (m *Rooms) made(by directory.ID) (all, own int) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	count := func(maker directory.ID) {
		all++
		if maker == by {
			own++
		}
	}
	for _, rec := range m.kept {
		count(rec.maker)
	}
	for j, r := range m.loaded {
		if !r.lent && m.kept[j] == nil {
			count(r.maker)
		}
	}
	return all, own
}

// found gives a new room its id, for good.
func (m *Rooms) found(ctx context.Context, address xmpp.JID, c Config) (*room, error) {
	r := m.newRoom(address, 0, c)
	r.created = m.host.Now().UTC().Truncate(time.Microsecond)
	var err error
	r.id, err = m.host.Directory.Allocate(ctx, nil)
	return r, err
}
