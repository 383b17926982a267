package muc

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
	"confab/xmpp/store/record"
)

// Space rooms, by the first byte of the key:
//
//	k                secret of the occupant ids
//	r address        a persistent room that people made
//	a ID who         the affiliation of somebody in such a room
//	s ID             the subject of a room, given ones too
//	v ID             the vCard of a persistent room that people made
//	t address        a temporary room in which sessions rest while the server is down
//
// Numbers are 8 bytes, big endian. who is 'u' and the id of a user of ours, so that a namesake inherits nothing, or 'j'
// and an address.
const space store.Space = "rooms"

var keySecret = []byte("k")

func keyRoom(address xmpp.JID) []byte { return append([]byte("r"), address.String()...) }

func keyOf(kind byte, id directory.ID) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, uint64(id))
}

func keyAffiliation(room directory.ID, w who) []byte {
	b := keyOf('a', room)
	if w.user != 0 {
		return binary.BigEndian.AppendUint64(append(b, 'u'), uint64(w.user))
	}
	return append(append(b, 'j'), w.address.String()...)
}

// who is somebody with an affiliation: a user of ours, or an address elsewhere.
type who struct {
	user    directory.ID
	address xmpp.JID // zero for users
}

func parseWho(b []byte) (w who, err error) {
	switch {
	case len(b) == 9 && b[0] == 'u':
		w.user = directory.ID(binary.BigEndian.Uint64(b[1:]))
	case len(b) > 1 && b[0] == 'j':
		w.address, err = xmpp.ParseJID(string(b[1:]))
	default:
		err = errRecord
	}
	return w, err
}

var errRecord = errors.New("muc: damaged record")

// layout is the first byte of every record.
const layout = 1

// stored is a persistent room that people made. It never changes, a change makes a new one.
type stored struct {
	id      directory.ID
	created time.Time
	maker   directory.ID // 0: the operator, or it is not known
	config  Config
}

func (c *Config) texts() []*string {
	return []*string{&c.Name, &c.Description, &c.Lang, &c.PubSub, &c.Password}
}

func (r *stored) append(dst []byte) []byte {
	c := &r.config
	dst = record.AppendUint(record.AppendUint(append(dst, layout), uint64(r.id)), uint64(r.created.UnixMicro()))
	dst = record.AppendFlags(dst, c.Persistent, c.Hidden, c.MembersOnly, c.Moderated, c.NonAnonymous, c.AnySubject, c.MembersInvite)
	for _, n := range []uint64{uint64(c.Private), uint64(c.MaxOccupants), uint64(c.History), uint64(c.Broadcast), uint64(c.Lists)} {
		dst = record.AppendUint(dst, n)
	}
	for _, s := range c.texts() {
		dst = record.AppendString(dst, *s)
	}
	if r.maker != 0 {
		dst = record.AppendUint(dst, uint64(r.maker))
	}
	return dst
}

func parseStored(b []byte) (*stored, error) {
	d := record.Read(b)
	if d.Byte() != layout {
		return nil, errRecord
	}
	r := &stored{id: directory.ID(d.Uint()), created: time.UnixMicro(int64(d.Uint())).UTC()}
	c := &r.config
	d.Flags(&c.Persistent, &c.Hidden, &c.MembersOnly, &c.Moderated, &c.NonAnonymous, &c.AnySubject, &c.MembersInvite)
	c.Private = Audience(d.Uint())
	c.MaxOccupants, c.History = int(d.Uint()), int(d.Uint())
	c.Broadcast, c.Lists = roleSet(d.Uint()), roleSet(d.Uint())
	for _, s := range c.texts() {
		*s = d.String()
	}
	if !d.Done() {
		r.maker = directory.ID(d.Uint())
	}
	if d.Failed() || c.Private > Nobody {
		return nil, errRecord
	}
	return r, nil
}

// affiliate is somebody with an affiliation in a room.
type affiliate struct {
	Affiliation
	nick   string // reserved
	reason string // of a ban
}

func (a *affiliate) append(dst []byte) []byte {
	dst = append(dst, layout, byte(a.Affiliation-Outcast))
	return record.AppendString(record.AppendString(dst, a.nick), a.reason)
}

func parseAffiliate(b []byte) (a affiliate, err error) {
	d := record.Read(b)
	if d.Byte() != layout {
		return a, errRecord
	}
	n := d.Byte()
	a.nick, a.reason = d.String(), d.String()
	if d.Failed() || int(n) >= len(affiliationNames) {
		return affiliate{}, errRecord
	}
	a.Affiliation = Outcast + Affiliation(n)
	return a, nil
}

// subject is what a room is about at the moment.
type subject struct {
	text string
	nick string // of the occupant who set it; empty: nobody did
	id   string // of the occupant (XEP-0421)
	at   time.Time
}

func (s *subject) append(dst []byte) []byte {
	dst = record.AppendUint(append(dst, layout), uint64(s.at.UnixMicro()))
	return record.AppendString(record.AppendString(record.AppendString(dst, s.text), s.nick), s.id)
}

func parseSubject(b []byte) (s subject, err error) {
	d := record.Read(b)
	if d.Byte() != layout {
		return s, errRecord
	}
	s.at = time.UnixMicro(int64(d.Uint())).UTC()
	s.text, s.nick, s.id = d.String(), d.String(), d.String()
	if d.Failed() {
		return s, errRecord
	}
	return s, nil
}

// shelf is where rooms are kept.
type shelf struct{ db store.DB }

// atOnce bounds what one View reads.
const atOnce = 2000

// walk calls fn for the keys that begin with prefix, some in one View.
func (s *shelf) walk(ctx context.Context, prefix []byte, fn func(key, value []byte) error) error {
	r := store.Range{Prefix: prefix, Limit: atOnce}
	for n := atOnce; n == atOnce; {
		n = 0
		err := s.db.View(ctx, func(tx store.Tx) error {
			for k, v := range tx.Scan(space, r) {
				if err := fn(k[len(prefix):], v); err != nil {
					return err
				}
				n++
				r.From = append(append(r.From[:0:0], k...), 0)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// secret returns the key of the occupant ids; a new store gets one.
func (s *shelf) secret(ctx context.Context) (secret []byte, err error) {
	err = s.db.View(ctx, func(tx store.Tx) error {
		secret = append(secret, tx.Get(space, keySecret)...)
		return nil
	})
	if err != nil || len(secret) > 0 {
		return secret, err
	}
	secret = make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	return secret, s.db.Update(ctx, func(tx store.Tx) error { return tx.Put(space, keySecret, secret) })
}

func (s *shelf) rooms(ctx context.Context, fn func(xmpp.JID, *stored)) error {
	return s.walk(ctx, []byte("r"), func(key, value []byte) error {
		j, err := xmpp.ParseJID(string(key))
		if err != nil {
			return err
		}
		r, err := parseStored(value)
		if err == nil {
			fn(j, r)
		}
		return err
	})
}

// dropTraces removes what earlier versions kept of each room that ever was, under 'o' and its ID.
func (s *shelf) dropTraces(ctx context.Context) error {
	for {
		var traces [][]byte
		err := s.db.View(ctx, func(tx store.Tx) error {
			for k := range tx.Scan(space, store.Range{Prefix: []byte("o"), Limit: atOnce}) {
				traces = append(traces, slices.Clone(k))
			}
			return nil
		})
		if err != nil || len(traces) == 0 {
			return err
		}
		err = s.db.Update(ctx, func(tx store.Tx) error {
			for _, k := range traces {
				if err := tx.Delete(space, k); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

func (s *shelf) affiliates(ctx context.Context, room directory.ID, fn func(who, affiliate)) error {
	return s.walk(ctx, keyOf('a', room), func(key, value []byte) error {
		w, err := parseWho(key)
		if err != nil {
			return err
		}
		a, err := parseAffiliate(value)
		if err == nil {
			fn(w, a)
		}
		return err
	})
}

func (s *shelf) subject(ctx context.Context, room directory.ID) (sub subject, err error) {
	err = s.db.View(ctx, func(tx store.Tx) error {
		v := tx.Get(space, keyOf('s', room))
		if v == nil {
			return nil
		}
		sub, err = parseSubject(v)
		return err
	})
	return sub, err
}

func (s *shelf) putSubject(ctx context.Context, room directory.ID, sub *subject) error {
	return s.db.Update(ctx, func(tx store.Tx) error { return tx.Put(space, keyOf('s', room), sub.append(nil)) })
}

// erase removes a room's affiliations, its subject and its vCard.
func (s *shelf) erase(ctx context.Context, room directory.ID) error {
	return s.db.Update(ctx, func(tx store.Tx) error { return eraseIn(tx, room) })
}

func eraseIn(tx store.Tx, room directory.ID) error {
	for k := range tx.Scan(space, store.Range{Prefix: keyOf('a', room)}) {
		if err := tx.Delete(space, k); err != nil {
			return err
		}
	}
	if err := tx.Delete(space, keyOf('v', room)); err != nil {
		return err
	}
	return tx.Delete(space, keyOf('s', room))
}
