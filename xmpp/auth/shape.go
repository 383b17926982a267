package auth

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"math"
	"slices"

	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// shape is what can be seen of credentials from outside: for each hash that has
// a key, the iterations and how the salt looks. An empty one is no credentials.
//
// Users whose credentials come from elsewhere may differ in it from those who
// got a password here. Unknown users have the shapes that the known ones have,
// as often as these, so that no shape gives anybody away.
type shape string

// salts of these two kinds are told apart by their looks: random bytes, and the
// text of a UUID, as Prosody has it.
const (
	saltBytes = iota
	saltUUID
)

func shapeOf(keys Keys) shape {
	var b []byte
	for _, h := range hashes {
		if k := keys.get(h); k != nil {
			kind := byte(saltBytes)
			if isUUID(k.Salt) {
				kind = saltUUID
			}
			b = append(b, byte(h), kind, byte(len(k.Salt)))
			b = binary.BigEndian.AppendUint32(b, uint32(k.Iterations))
		}
	}
	return shape(b)
}

// mold is what a shape has for one hash.
type mold struct {
	hash       Hash
	uuid       bool
	salt       int
	iterations int
}

func (s shape) molds() []mold {
	var all []mold
	for b := []byte(s); len(b) >= 7; b = b[7:] {
		all = append(all, mold{
			hash: Hash(b[0]), uuid: b[1] == saltUUID, salt: int(b[2]),
			iterations: int(binary.BigEndian.Uint32(b[3:])),
		})
	}
	return all
}

func isUUID(b []byte) bool {
	if len(b) != 36 {
		return false
	}
	for i, c := range b {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (c == '-') {
			return false
		}
		if !bytes.ContainsRune([]byte("0123456789abcdef-"), rune(c)) {
			return false
		}
	}
	return true
}

// load reads the secret, or makes it, and counts the shapes.
func (a *Auth) load(ctx context.Context) error {
	err := a.db.View(ctx, func(tx store.Tx) error {
		a.secret = bytes.Clone(tx.Get(space, keySecret))
		return nil
	})
	if err != nil {
		return err
	}
	if a.secret == nil {
		a.secret = make([]byte, 32)
		rand.Read(a.secret)
		err := a.db.Update(ctx, func(tx store.Tx) error { return tx.Put(space, keySecret, a.secret) })
		if err != nil {
			return err
		}
	}
	const atOnce = 4096
	r := store.Range{Prefix: []byte("k"), Limit: atOnce}
	for n := atOnce; n == atOnce; {
		n = 0
		err := a.db.View(ctx, func(tx store.Tx) error {
			for key, value := range tx.Scan(space, r) {
				keys, err := parseKeys(value)
				if err != nil {
					return err
				}
				if u := a.directory.ByID(directory.ID(binary.BigEndian.Uint64(key[1:]))); u != nil {
					a.reshape(u.Domain, "", shapeOf(keys))
				}
				n++
				r.From = append(bytes.Clone(key), 0)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// reshape counts that a user's credentials have another shape.
func (a *Auth) reshape(domain string, before, after shape) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.shapes[domain]
	if m == nil {
		m = make(map[shape]int)
		a.shapes[domain] = m
	}
	if after != "" {
		m[after]++
	}
	if before == "" {
		return
	}
	if m[before]--; m[before] <= 0 {
		delete(m, before)
	}
}

// Coverage says how many users of a domain have credentials, and how many of
// them have a key for a hash.
func (a *Auth) Coverage(domain string) (users int, keys map[Hash]int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	keys = make(map[Hash]int)
	for s, n := range a.shapes[domain] {
		users += n
		for _, m := range s.molds() {
			keys[m.hash] += n
		}
	}
	return users, keys
}

// offered are the hashes by which one can log in to a domain; see Mechanisms.
func (a *Auth) offered(domain string) []Hash {
	if a.hashes != nil {
		return a.hashes
	}
	users, keys := a.Coverage(domain)
	most, all := hashes[0], []Hash(nil)
	for _, h := range hashes {
		if (users-keys[h])*10 <= users {
			all = append(all, h)
		}
		if keys[h] > keys[most] {
			most = h
		}
	}
	if all == nil {
		return []Hash{most}
	}
	return all
}

// molds are those of the keys of a name that has none: one for each hash, and
// shaped are the first of them that belong to the shape.
func (a *Auth) molds(domain, name string) (molds []mold, shaped int) {
	molds = a.shapeFor(domain, name).molds()
	shaped = len(molds)
	for _, h := range hashes {
		if !slices.ContainsFunc(molds, func(m mold) bool { return m.hash == h }) {
			molds = append(molds, mold{hash: h, salt: saltSize, iterations: a.iterations})
		}
	}
	if shaped == 0 { // nobody has credentials here
		shaped = len(molds)
	}
	return molds, shaped
}

// fake makes a key by a hash for somebody who has none, the same at each time;
// no password fits it.
func (w *who) fake(h Hash) *Key {
	m := w.molds[slices.IndexFunc(w.molds, func(m mold) bool { return m.hash == h })]
	k := &Key{Hash: h, Iterations: m.iterations}
	k.Salt = w.auth.derived(m.salt, "salt", h.String(), w.domain, w.name)
	if m.uuid {
		k.Salt = uuid(k.Salt)
	}
	k.StoredKey = w.auth.derived(h.size(), "key", h.String(), w.domain, w.name)
	k.ServerKey = k.StoredKey
	return k
}

// shapeFor chooses the shape for a name that has no credentials: each of those
// in the domain with the share that it has of the users, and so that a change
// of the shares changes the choice for few names (rendezvous hashing).
func (a *Auth) shapeFor(domain, name string) shape {
	a.mu.Lock()
	defer a.mu.Unlock()
	best, least := shape(""), math.Inf(1)
	for s, n := range a.shapes[domain] {
		h := binary.BigEndian.Uint64(a.derived(8, "shape", string(s), domain, name))
		u := (float64(h>>11) + 1) / (1 << 53) // in (0, 1]
		if cost := -math.Log(u) / float64(n); cost < least || best == "" {
			best, least = s, cost
		}
	}
	return best
}

// derived are n bytes that follow from parts and from nothing that others know.
func (a *Auth) derived(n int, parts ...string) []byte {
	mac := a.macs.Get().(hash.Hash)
	mac.Reset()
	text := make([]byte, 0, 128)
	for _, p := range parts {
		text = append(binary.BigEndian.AppendUint32(text, uint32(len(p))), p...)
	}
	mac.Write(text)
	key := mac.Sum(text[:0])
	a.macs.Put(mac)
	b, err := hkdf.Expand(sha256.New, key, "", n)
	if err != nil {
		panic(err) // n is at most maxSalt
	}
	return b
}

// uuid is a UUID's text, version 4, made of the bytes of b.
func uuid(b []byte) []byte {
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b[:16])
	return []byte(s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:])
}
