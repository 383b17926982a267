package aliasbridge

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/store"
)

// space holds, under alias and user, when a guest last wrote, in microseconds.
const space = "aliasbridge"

const (
	guestStays  = 24 * time.Hour
	guestNoted  = 10 * time.Minute // a guest's time on disk is no older than that
	maxGuests   = 1000             // of an alias
	maxSenders  = 4096
	sentPerUser = 64
	maxSentID   = 128 // bytes
)

// guests remembers who wrote to an alias without being a member.
type guests struct {
	mu    sync.Mutex
	last  map[directory.ID]map[directory.ID]time.Time // by alias and user
	noted map[directory.ID]map[directory.ID]time.Time // the same, as it is on disk
}

func guestKey(alias, user directory.ID) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(alias)), uint64(user))
}

func set(m *map[directory.ID]map[directory.ID]time.Time, alias, user directory.ID, t time.Time) {
	if *m == nil {
		*m = map[directory.ID]map[directory.ID]time.Time{}
	}
	if (*m)[alias] == nil {
		(*m)[alias] = map[directory.ID]time.Time{}
	}
	(*m)[alias][user] = t
}

func (b *Bridge) loadGuests(ctx context.Context) error {
	now := b.host.Now()
	var old [][]byte
	err := b.host.State.View(ctx, func(tx store.Tx) error {
		for k, v := range tx.Scan(space, store.Range{}) {
			if len(k) != 16 || len(v) != 8 {
				continue
			}
			t := time.UnixMicro(int64(binary.BigEndian.Uint64(v)))
			if now.Sub(t) >= guestStays {
				old = append(old, slices.Clone(k))
				continue
			}
			alias, user := directory.ID(binary.BigEndian.Uint64(k)), directory.ID(binary.BigEndian.Uint64(k[8:]))
			set(&b.guests.last, alias, user, t)
			set(&b.guests.noted, alias, user, t)
		}
		return nil
	})
	if err != nil || len(old) == 0 {
		return err
	}
	return b.host.State.Update(ctx, func(tx store.Tx) error {
		for _, k := range old {
			if err := tx.Delete(space, k); err != nil {
				return err
			}
		}
		return nil
	})
}

// wrote notes a guest. It does not wait for the store: it runs where messages are handed out.
func (g *guests) wrote(h *feature.Host, alias, user directory.ID) {
	now := h.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, there := g.last[alias][user]; !there && len(g.last[alias]) >= maxGuests {
		longest := user
		for id, t := range g.last[alias] {
			if was, ok := g.last[alias][longest]; !ok || t.Before(was) {
				longest = id
			}
		}
		delete(g.last[alias], longest)
		delete(g.noted[alias], longest)
	}
	set(&g.last, alias, user, now)
	if now.Sub(g.noted[alias][user]) < guestNoted {
		return
	}
	set(&g.noted, alias, user, now)
	h.Clock.AfterFunc(0, func() {
		err := h.State.Update(context.Background(), func(tx store.Tx) error {
			return tx.Put(space, guestKey(alias, user), binary.BigEndian.AppendUint64(nil, uint64(now.UnixMicro())))
		})
		if err != nil {
			h.Log.Error("a guest of an alias was not written down", "error", err)
		}
	})
}

// active returns the guests of an alias in the order of their addresses, as known tells them.
func (g *guests) active(alias directory.ID, now time.Time, known func(directory.ID) *directory.User) (all []*directory.User) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, t := range g.last[alias] {
		if now.Sub(t) >= guestStays {
			delete(g.last[alias], id)
			delete(g.noted[alias], id)
		} else if u := known(id); u != nil {
			all = append(all, u)
		}
	}
	slices.SortFunc(all, func(a, b *directory.User) int { return cmp.Compare(a.Local, b.Local) })
	return all
}

// sent remembers the latest ids that somebody sent to an alias: to tell whom a reply is for, and for those who have no
// history here.
type sent struct {
	mu  sync.Mutex
	ids map[sentKey][]string
}

type sentKey struct {
	from  xmpp.JID // bare
	alias directory.ID
}

func (s *sent) note(d *feature.Dispatch) {
	if len(d.Stanza.ID) == 0 || len(d.Stanza.ID) > maxSentID {
		return
	}
	k := sentKey{d.From.Bare(), d.Alias.ID}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ids) >= maxSenders || s.ids == nil {
		s.ids = map[sentKey][]string{} // the history has them
	}
	ids := append(s.ids[k], string(d.Stanza.ID))
	s.ids[k] = ids[max(0, len(ids)-sentPerUser):]
}

func (s *sent) has(from xmpp.JID, alias directory.ID, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.ids[sentKey{from, alias}], id)
}

// orDefault is the rate of a sender to aliases.
func orDefault(r feature.Rate) feature.Rate {
	if r.Burst <= 0 {
		r.Burst = 20_000
	}
	if r.PerSecond <= 0 {
		r.PerSecond = 500
	}
	return r
}
