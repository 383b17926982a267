package pep

import (
	"cmp"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/pubsub"
	"confab/xmpp/picture"
	"confab/xmpp/store"
)

// nsConversion announces that avatars are converted (XEP-0398 §2).
const nsConversion = "urn:xmpp:pep-vcard-conversion:0"

// avatar is the picture of an account as vCard and presence have it (XEP-0153).
type avatar struct {
	Known bool   `json:"known,omitempty"` // that there is one, or none
	Hash  string `json:"hash,omitempty"`  // SHA-1 of the picture, in small letters; empty: none
	ID    string `json:"id,omitempty"`    // of its item; empty: it is the hash
	Type  string `json:"type,omitempty"`
}

// item is the id of the picture's item.
func (a *avatar) item() string { return cmp.Or(a.ID, a.Hash) }

// The spaces. Keys are the user's id, 8 bytes.
const (
	// spaceAvatars: user → avatar, JSON.
	spaceAvatars store.Space = "pep.avatars"
	// spaceVCards: user → the vCard without its photo.
	spaceVCards store.Space = "pep.vcards"
)

func idKey(id directory.ID) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

// pictures is the avatars of all accounts.
type pictures struct {
	mu    sync.RWMutex
	known map[directory.ID]avatar
}

func (x *pictures) of(id directory.ID) avatar {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.known[id]
}

// set reports whether the picture itself is another one now.
func (x *pictures) set(id directory.ID, now avatar) (changed bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	changed = x.known[id].Hash != now.Hash
	x.known[id] = now
	return changed
}

func (x *pictures) forget(id directory.ID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.known, id)
}

// load reads all of them, once.
func (x *pictures) load(h *feature.Host) error {
	var from []byte
	for {
		const step = 1000
		n := 0
		err := h.State.View(context.Background(), func(tx store.Tx) error {
			for k, v := range tx.Scan(spaceAvatars, store.Range{From: from, Limit: step}) {
				from = append(append(from[:0:0], k...), 0)
				n++
				var pic avatar
				if err := json.Unmarshal(v, &pic); err != nil || len(k) != 8 {
					return errors.Join(err, errors.New("pep: the record of an avatar is broken"))
				}
				x.set(directory.ID(binary.BigEndian.Uint64(k)), pic)
			}
			return nil
		})
		if err != nil || n < step {
			return err
		}
	}
}

// storedAvatar reads what the picture of an account is.
func storedAvatar(t *pubsub.Transaction) (pic avatar, err error) {
	if b := t.Tx().Get(spaceAvatars, idKey(t.Owner())); b != nil {
		err = json.Unmarshal(b, &pic)
	}
	return pic, err
}

// setAvatar stores it. Others see it when it is on disk.
func (p *PEP) setAvatar(t *pubsub.Transaction, now avatar) error {
	b, err := json.Marshal(&now)
	if err != nil {
		return err
	}
	owner := t.Owner()
	t.Then(func() {
		if p.pictures.set(owner, now) {
			p.avatarChanged(owner)
		}
	})
	return t.Tx().Put(spaceAvatars, idKey(owner), b)
}

// avatarTouched finds out anew what the picture of the account is, after a
// change of a node.
func (p *PEP) avatarTouched(t *pubsub.Transaction, name string) error {
	had, err := storedAvatar(t)
	if err != nil {
		return err
	}
	now, err := readAvatar(t, had)
	if err != nil {
		return err
	}
	if name == nodeAvatar && !now.Known {
		now = avatar{} // it was never said which picture it is to be
	}
	if now == had {
		return nil
	}
	return p.setAvatar(t, now)
}

// readAvatar reads what the metadata says. Of several pictures it is the one
// that is not elsewhere, and that is there and what its id says (XEP-0398 §3.1).
func readAvatar(t *pubsub.Transaction, had avatar) (avatar, error) {
	has, err := t.Has(nodeMetadata)
	if err != nil {
		return avatar{}, err
	}
	it, err := t.Last(nodeMetadata)
	switch {
	case err != nil:
		return avatar{}, err
	case !has:
		return avatar{Known: had.Known}, nil
	case it == nil:
		return avatar{Known: true}, nil
	}
	metadata, err := xmpp.ParseNode(it.Payload)
	if err != nil {
		return avatar{}, nil
	}
	infos := 0
	for _, info := range metadata.Children {
		if !info.Is(xmpp.NSAvatarMD, "info") {
			continue
		}
		infos++
		if id := info.Attr("id"); info.Attr("url") == "" && hasPicture(t, id) {
			now := avatar{Known: true, Hash: strings.ToLower(id), Type: info.Attr("type")}
			if id != now.Hash {
				now.ID = id
			}
			return now, nil
		}
	}
	return avatar{Known: infos == 0}, nil // XEP-0084 §3.5: no info: no avatar
}

// hasPicture reports whether the data of a picture is there and has this hash.
func hasPicture(t *pubsub.Transaction, id string) bool {
	it, err := t.Item(nodeAvatar, id)
	if err != nil || it == nil {
		return false
	}
	data, err := xmpp.ParseNode(it.Payload)
	if err != nil {
		return false
	}
	picture, err := decodePicture(data.Text)
	return err == nil && strings.EqualFold(hashOf(picture), id)
}

func hashOf(picture []byte) string {
	h := sha1.Sum(picture)
	return hex.EncodeToString(h[:])
}

// decodePicture reads base64, in lines or not (RFC 2045 §6.8).
func decodePicture(text string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
}

// setPicture publishes a picture that came in a vCard (XEP-0398 §3.2): nil takes
// the one away that there is.
func (p *PEP) setPicture(t *pubsub.Transaction, picture []byte, kind string) error {
	had, err := storedAvatar(t)
	if err != nil {
		return err
	}
	if len(picture) == 0 {
		if had.Hash == "" { // there may be one elsewhere
			now, err := readAvatar(t, avatar{Known: true})
			if err != nil {
				return err
			}
			return p.setAvatar(t, now)
		}
		return t.Add(nodeMetadata, pubsub.Item{ID: current, Payload: []byte("<metadata xmlns='" + xmpp.NSAvatarMD + "'/>")})
	}
	hash := hashOf(picture)
	if hash == had.Hash {
		return nil
	}
	for _, name := range []string{nodeAvatar, nodeMetadata} {
		has, err := t.Has(name)
		if err != nil {
			return err
		}
		if !has {
			c := initial(name)
			c.Access = pubsub.Open // as vCards are
			if err := t.Create(name, c); err != nil {
				return err
			}
		}
	}
	data := []byte("<data xmlns='" + xmpp.NSAvatar + "'>")
	data = append(base64.StdEncoding.AppendEncode(data, picture), "</data>"...)
	if err := t.Add(nodeAvatar, pubsub.Item{ID: hash, Payload: data}); err != nil {
		return err
	}
	info := []byte("<metadata xmlns='" + xmpp.NSAvatarMD + "'><info")
	info = xmpp.AppendAttr(info, "bytes", strconv.Itoa(len(picture)))
	info = xmpp.AppendAttr(info, "id", hash)
	info = append(xmpp.AppendAttr(info, "type", kind), "/></metadata>"...)
	return t.Add(nodeMetadata, pubsub.Item{ID: hash, Payload: info})
}

// kindOf finds out what a picture is. What its sender says is a hint (XEP-0153 §5).
func kindOf(data []byte, said string) string {
	if kind := picture.Kind(data); kind != "" {
		return kind
	}
	if strings.HasPrefix(said, "image/") && len(said) < 64 {
		return said
	}
	return "image/png"
}

// update is what presence says of a picture.
func (a avatar) update() string {
	if a.Hash == "" {
		return "<x xmlns='" + xmpp.NSVCardUp + "'><photo/></x>"
	}
	return "<x xmlns='" + xmpp.NSVCardUp + "'><photo>" + a.Hash + "</photo></x>"
}

// dress puts the hash of the sender's picture into a presence on its way,
// whoever it is for, rooms too (XEP-0398 §4). The stanza itself is replaced,
// since every kind of receiver makes his own edit of it.
func (p *PEP) dress(d *feature.Dispatch) {
	pic := p.pictures.of(d.Session.User())
	if !pic.Known || !pic.missingIn(d.Stanza) {
		return
	}
	if st := dressed(d.Stanza, pic); st != nil {
		st.From, st.FromErr = d.Stanza.From, nil
		d.Stanza = st
	}
}

// missingIn reports whether a presence is to say another thing of the picture
// than it does. That there is none is for the client to say.
func (a avatar) missingIn(st *xmpp.Stanza) bool {
	x := st.Child(xmpp.NSVCardUp, "x")
	if x == nil {
		return true
	}
	photo := x.Node().Child("", "photo")
	if photo == nil {
		return true
	}
	said := strings.TrimSpace(photo.Text)
	return said != "" && !strings.EqualFold(said, a.Hash)
}

func dressed(st *xmpp.Stanza, pic avatar) *xmpp.Stanza {
	out, err := xmpp.Parse(xmpp.Apply(nil, st, &xmpp.Edit{
		Strip: []xmpp.Match{{Space: xmpp.NSVCardUp, Local: "x"}}, Add: []byte(pic.update()),
	}))
	if err != nil {
		return nil
	}
	return out
}

// avatarChanged has the presence of a user's sessions told again with another
// picture.
func (p *PEP) avatarChanged(id directory.ID) {
	u := p.host.Directory.ByID(id)
	if p.opts.Rebroadcast == nil || u == nil {
		return
	}
	acct, pic := p.host.Router.Account(u.JID), p.pictures.of(id)
	if acct == nil || !pic.Known {
		return
	}
	for _, s := range acct.Available(nil) {
		p.opts.Rebroadcast(s, func(stanza []byte) []byte {
			st, err := xmpp.Parse(slices.Clone(stanza))
			if err != nil {
				return stanza
			}
			out := dressed(st, pic)
			if out == nil {
				return stanza
			}
			return out.Raw
		})
	}
}
