package pep

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/store"
)

// nsConversion announces that avatars are converted (XEP-0398 §2).
const nsConversion = "urn:xmpp:pep-vcard-conversion:0"

// avatar is the picture of an account as vCard and presence have it (XEP-0153).
type avatar struct {
	Known bool   `json:"known,omitempty"` // that there is one, or none
	Hash  string `json:"hash,omitempty"`  // SHA-1 of the picture, which is the id of its item; empty: none
	Type  string `json:"type,omitempty"`
}

// avatarTouched finds out anew what the picture of the account is, after a
// change of a node.
func (t *transaction) avatarTouched(name string) error {
	if name != nodeAvatar && name != nodeMetadata {
		return nil
	}
	now, err := t.readAvatar()
	if err != nil {
		return err
	}
	if name == nodeAvatar && !now.Known {
		now = avatar{} // it was never said which picture it is to be
	}
	had := t.account.Avatar
	if t.avatar != nil {
		had = *t.avatar
	}
	if now != had {
		t.avatar = &now
	}
	return nil
}

// readAvatar reads what the metadata says. Of several pictures it is the one
// that is not elsewhere, and that is there and what its id says (XEP-0398 §3.1).
func (t *transaction) readAvatar() (avatar, error) {
	n, err := t.node(nodeMetadata)
	if err != nil {
		return avatar{}, err
	}
	if n.nodeRecord == nil {
		return avatar{Known: t.account.Avatar.Known || n.before != nil}, nil
	}
	for it, err := range scanItems(t.tx, t.owner, n.Num, store.Range{Reverse: true, Limit: 1}) {
		if err != nil {
			return avatar{}, err
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
			if id := info.Attr("id"); info.Attr("url") == "" && t.hasPicture(id) {
				return avatar{Known: true, Hash: strings.ToLower(id), Type: info.Attr("type")}, nil
			}
		}
		return avatar{Known: infos == 0}, nil // XEP-0084 §3.5: no info: no avatar
	}
	return avatar{Known: true}, nil
}

// hasPicture reports whether the data of a picture is there and has this hash.
func (t *transaction) hasPicture(id string) bool {
	n, err := t.node(nodeAvatar)
	if err != nil || n.nodeRecord == nil {
		return false
	}
	it, ok, err := getItem(t.tx, t.owner, n.Num, id)
	if err != nil || !ok {
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
func (t *transaction) setPicture(picture []byte, kind string) error {
	if len(picture) == 0 {
		if t.account.Avatar.Hash == "" {
			t.avatar = &avatar{Known: true}
			return nil
		}
		return t.add(nodeMetadata, nil, Item{ID: "current", Payload: []byte("<metadata xmlns='" + xmpp.NSAvatarMD + "'/>")})
	}
	hash := hashOf(picture)
	if hash == t.account.Avatar.Hash {
		return nil
	}
	for _, name := range []string{nodeAvatar, nodeMetadata} {
		n, err := t.node(name)
		if err != nil {
			return err
		}
		if n.nodeRecord == nil {
			c := initial(name)
			c.Access = Open // as vCards are
			if err := t.create(name, c); err != nil {
				return err
			}
		}
	}
	data := []byte("<data xmlns='" + xmpp.NSAvatar + "'>")
	data = append(base64.StdEncoding.AppendEncode(data, picture), "</data>"...)
	if err := t.add(nodeAvatar, nil, Item{ID: hash, Payload: data}); err != nil {
		return err
	}
	info := []byte("<metadata xmlns='" + xmpp.NSAvatarMD + "'><info")
	info = xmpp.AppendAttr(info, "bytes", strconv.Itoa(len(picture)))
	info = xmpp.AppendAttr(info, "id", hash)
	info = append(xmpp.AppendAttr(info, "type", kind), "/></metadata>"...)
	return t.add(nodeMetadata, nil, Item{ID: hash, Payload: info})
}

// kindOf finds out what a picture is. What its sender says is a hint (XEP-0153 §5).
func kindOf(picture []byte, said string) string {
	for _, k := range []struct{ kind, magic string }{
		{"image/png", "\x89PNG\r\n\x1a\n"}, {"image/jpeg", "\xff\xd8\xff"}, {"image/gif", "GIF8"},
	} {
		if strings.HasPrefix(string(picture[:min(len(picture), 8)]), k.magic) {
			return k.kind
		}
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

// picture returns what is known of a user's picture.
func (p *PEP) picture(id directory.ID) (pic avatar) {
	if a := p.known(id); a != nil {
		a.mu.Lock()
		pic = a.avatar
		a.mu.Unlock()
	}
	return pic
}

// dress puts the hash of the sender's picture into a presence on its way,
// whoever it is for, rooms too (XEP-0398 §4). The stanza itself is replaced,
// since every kind of receiver makes his own edit of it.
func (p *PEP) dress(d *feature.Dispatch) {
	pic := p.picture(d.Session.User())
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
	acct, pic := p.host.Router.Account(u.JID), p.picture(id)
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
