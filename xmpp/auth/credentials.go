package auth

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// Space auth, by the first byte of the key:
//
//	k ID    the keys of a user; the ID has 8 bytes, big endian
//	s       the secret that unknown users' salts are made of
//	t ID A  the tokens of a user's client A, see tokens
//	g ID    the generation of a user's tokens
const space = "auth"

var keySecret = []byte("s")

func keyUser(id directory.ID) []byte {
	return binary.BigEndian.AppendUint64([]byte("k"), uint64(id))
}

// NewKeys derives keys from a password, for the hashes given or else for all.
func (a *Auth) NewKeys(password string, of ...Hash) (Keys, error) {
	prepared, err := prepare(password)
	if err != nil {
		return nil, err
	}
	return a.derive(prepared, of...), nil
}

func (a *Auth) derive(prepared string, of ...Hash) Keys {
	if len(of) == 0 {
		of = hashes
	}
	keys := make(Keys, len(of))
	for i, h := range of {
		keys[i] = newKey(h, prepared, a.iterations)
	}
	return keys
}

// SetPassword gives a user a password, in the place of any before.
func (a *Auth) SetPassword(ctx context.Context, id directory.ID, password string) error {
	keys, err := a.NewKeys(password)
	if err != nil {
		return err
	}
	return a.SetKeys(ctx, id, keys)
}

// SetKeys gives a user keys that come from elsewhere, in the place of any
// before. The user cannot log in by other hashes until a login with PLAIN or a
// new password has added them; see Mechanisms. Tokens are revoked. also runs in
// the same transaction, as directory.NewUser.Also does.
func (a *Auth) SetKeys(ctx context.Context, id directory.ID, keys Keys, also ...func(tx store.Tx) error) error {
	if err := keys.check(); err != nil {
		return err
	}
	u := a.directory.ByID(id)
	if u == nil {
		return fmt.Errorf("%w with the id %d", directory.ErrNotFound, id)
	}
	put := a.Enrol(u.Domain, keys)
	return a.db.Update(ctx, func(tx store.Tx) error {
		for _, fn := range also {
			if err := fn(tx); err != nil {
				return err
			}
		}
		if err := put(tx, id); err != nil {
			return err
		}
		return revokeTokens(tx, id)
	})
}

// Generation changes when the password of a user is set, the user is disabled,
// or all that stands for the password is revoked: it tells of a secret given
// out earlier whether it still counts.
func Generation(tx store.Tx, id directory.ID) uint64 { return generation(tx, id) }

// Enrol returns what gives keys to a user of a domain in a transaction: for
// directory.NewUser.Also. The keys are those of NewKeys, or have been checked
// by CheckKeys.
func (a *Auth) Enrol(domain string, keys Keys) func(tx store.Tx, id directory.ID) error {
	record, after := appendKeys(nil, keys), shapeOf(keys)
	return func(tx store.Tx, id directory.ID) error {
		var before shape
		if old, err := parseKeys(tx.Get(space, keyUser(id))); err == nil {
			before = shapeOf(old)
		}
		tx.OnCommit(func() { a.reshape(domain, before, after) })
		return tx.Put(space, keyUser(id), record)
	}
}

// CheckKeys says what is wrong with keys that come from elsewhere.
func CheckKeys(keys Keys) error { return keys.check() }

// CheckPassword says if a password is the user's, disabled or not. An error
// says that the store could not be read or that ctx was over.
func (a *Auth) CheckPassword(ctx context.Context, u *directory.User, password string) (bool, error) {
	w, err := a.look(ctx, u.Domain, u.Local)
	if err != nil {
		return false, err
	}
	ok, err := a.verify(ctx, w, password)
	return ok && w.user.ID == u.ID, err
}

// Keys returns the credentials of a user, nil if there are none.
func (a *Auth) Keys(ctx context.Context, id directory.ID) (keys Keys, err error) {
	err = a.db.View(ctx, func(tx store.Tx) error {
		record := tx.Get(space, keyUser(id))
		if record == nil {
			return nil
		}
		var err error
		keys, err = parseKeys(record)
		return err
	})
	return keys, err
}

// HasPassword says if a user has credentials at all.
func (a *Auth) HasPassword(ctx context.Context, id directory.ID) (has bool, err error) {
	err = a.db.View(ctx, func(tx store.Tx) error {
		has = tx.Get(space, keyUser(id)) != nil
		return nil
	})
	return has, err
}

// forget goes with the deletion of a user.
func (a *Auth) forget(tx store.Tx, id directory.ID) error {
	keys, err := parseKeys(tx.Get(space, keyUser(id)))
	u := a.directory.Tombstone(id)
	if err == nil && u != nil {
		tx.OnCommit(func() { a.reshape(u.Domain, shapeOf(keys), "") })
	}
	if err := tx.Delete(space, keyUser(id)); err != nil {
		return err
	}
	return forgetTokens(tx, id)
}

// who is somebody who says that he is a user: what must be known to let him
// prove it, or to have him fail as if he could have.
type who struct {
	auth         *Auth
	domain, name string
	jid          xmpp.JID // the address that was meant, zero if it cannot be one
	user         *directory.User
	record       []byte // what keys was read from
	keys         Keys
	molds        []mold // of fake keys, in the place of those that are missing: one for each hash
	shaped       int    // how many of them an account like that would have

	generation uint64 // of the user's tokens
}

// look finds out who is meant by name. Whether there is such a user makes no
// difference in what is done.
func (a *Auth) look(ctx context.Context, domain, name string) (*who, error) {
	w := &who{auth: a, domain: domain}
	var err error
	if w.jid, err = a.directory.LoginJID(domain, name); err == nil {
		w.user = a.directory.Resolve(w.jid)
		name = w.jid.Local()
	}
	w.name = name
	var id directory.ID
	if w.user != nil {
		id = w.user.ID
	}
	var record []byte
	err = a.db.View(ctx, func(tx store.Tx) error {
		kept := tx.Get(space, keyUser(id))
		known := kept != nil
		if !known {
			kept = unknownRecord
		}
		if record = bytes.Clone(kept); known {
			w.record = record
		}
		w.generation = generation(tx, id)
		return nil
	})
	if err != nil {
		return nil, err
	}
	w.molds, w.shaped = a.molds(domain, name)
	keys, err := parseKeys(record)
	if w.record != nil {
		w.keys = keys
	}
	return w, err
}

// unknownRecord is read where there is none.
var unknownRecord = func() []byte {
	var keys Keys
	for _, h := range hashes {
		keys = append(keys, Key{Hash: h, Iterations: minIterations, Salt: make([]byte, saltSize), StoredKey: make([]byte, h.size()), ServerKey: make([]byte, h.size())})
	}
	return appendKeys(nil, keys)
}()

// key is the key to ask for by a hash. A fake one is made even if it is not needed.
func (w *who) key(h Hash) *Key {
	fake := w.fake(h)
	if k := w.keys.get(h); k != nil {
		return k
	}
	return fake
}

// quickest is the key to check a password by that was sent as it is.
func (w *who) quickest() *Key {
	for _, h := range quick {
		if w.keys.get(h) != nil || w.keys == nil && slices.ContainsFunc(w.molds[:w.shaped], func(m mold) bool { return m.hash == h }) {
			return w.key(h)
		}
	}
	return nil // not reached: keys that are kept have been checked, fake ones are for any hash
}

// proved says if the proof was right, which is 1 or 0, and for a key that is
// not fake.
func (w *who) proved(h Hash, right int) bool {
	return right == 1 && w.user != nil && w.keys.get(h) != nil
}

// verify hashes a password once, by whichever hash there is.
func (a *Auth) verify(ctx context.Context, w *who, password string) (bool, error) {
	prepared, err := prepare(password)
	if err != nil {
		prepared = password // wrong, but that takes as long as any
	}
	if err := xmpp.Heavy.Take(ctx); err != nil {
		return false, err
	}
	defer xmpp.Heavy.Give()
	right := w.quickest().matches(prepared)
	return right && err == nil && w.user != nil && w.keys != nil, nil
}

// upgrade gives a user whose password was right the keys that are missing. If
// that fails it is tried again at the next login.
func (a *Auth) upgrade(ctx context.Context, w *who, password string) {
	var missing []Hash
	for _, h := range hashes {
		if w.keys.get(h) == nil {
			missing = append(missing, h)
		}
	}
	prepared, err := prepare(password)
	if len(missing) == 0 || err != nil {
		return
	}
	put := a.Enrol(w.user.Domain, append(slices.Clone(w.keys), a.derive(prepared, missing...)...))
	var done bool
	err = a.db.Update(ctx, func(tx store.Tx) error {
		// Not over a password that was set meanwhile.
		if done = bytes.Equal(tx.Get(space, keyUser(w.user.ID)), w.record); !done {
			return nil
		}
		return put(tx, w.user.ID)
	})
	if err == nil && done {
		a.stats.Upgraded.Add(1)
	}
}
