package transfer

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"confab/xmpp"
	"confab/xmpp/auth"
)

// Profile is what the administrator's directory says of a user besides the
// address. Others pass over it.
type Profile struct {
	Name     string
	Groups   []string
	Hidden   bool
	Disabled bool
	Admin    bool
}

var scramHashes = []auth.Hash{auth.SHA1, auth.SHA256, auth.SHA512}

// Take takes the first element of a name out of those of the user, nil if there
// is none.
func (u *User) take(space, local string) *xmpp.Node {
	i := slices.IndexFunc(u.Elements, func(n *xmpp.Node) bool { return n.Is(space, local) })
	if i < 0 {
		return nil
	}
	n := u.Elements[i]
	u.Elements = slices.Delete(u.Elements, i, i+1)
	return n
}

// Keys takes the credentials out of the elements (§4.3). Those of a hash that is
// not known here, or that are not good, are noted as passed over.
func (u *User) Keys() (keys auth.Keys) {
	for n := u.take(nsSCRAM, "scram-credentials"); n != nil; n = u.take(nsSCRAM, "scram-credentials") {
		k, err := key(n)
		if err == nil {
			err = auth.CheckKeys(append(slices.Clone(keys), k))
		}
		if err != nil {
			u.Passed["credentials"]++
			continue
		}
		keys = append(keys, k)
	}
	if text, ok := strings.CutPrefix(u.Password, "scram:"); ok {
		u.Password = ""
		if k, err := passwordKey(text); err == nil && keys == nil {
			return auth.Keys{k}
		}
		u.Passed["credentials"]++
	}
	return keys
}

// passwordKey reads what ejabberd writes in the place of a password: the stored
// key, the server key, the salt and the iterations for SHA-1, or for the hash
// that comes first. Its binaries may be in base64 twice.
//
// COMPAT(ejabberd): it may be changed to §4.3 one day.
func passwordKey(text string) (k auth.Key, err error) {
	parts := strings.Split(text, ",")
	k.Hash = auth.SHA1
	if len(parts) == 5 {
		switch parts[0] {
		case "sha256":
			k.Hash = auth.SHA256
		case "sha512":
			k.Hash = auth.SHA512
		}
		parts = parts[1:]
	}
	if len(parts) != 4 {
		return k, fmt.Errorf("there are %d parts", len(parts))
	}
	for i, to := range []*[]byte{&k.StoredKey, &k.ServerKey, &k.Salt} {
		if *to, err = base64.StdEncoding.DecodeString(parts[i]); err != nil {
			return k, err
		}
	}
	if k.Iterations, err = strconv.Atoi(parts[3]); err != nil {
		return k, err
	}
	if auth.CheckKeys(auth.Keys{k}) != nil {
		for _, to := range []*[]byte{&k.StoredKey, &k.ServerKey, &k.Salt} {
			if *to, err = base64.StdEncoding.DecodeString(string(*to)); err != nil {
				return k, err
			}
		}
	}
	return k, auth.CheckKeys(auth.Keys{k})
}

func key(n *xmpp.Node) (k auth.Key, err error) {
	i := slices.IndexFunc(scramHashes, func(h auth.Hash) bool { return "SCRAM-"+h.String() == n.Attr("mechanism") })
	if i < 0 {
		return k, fmt.Errorf("%s is not known", n.Attr("mechanism"))
	}
	k.Hash = scramHashes[i]
	if k.Iterations, err = strconv.Atoi(strings.TrimSpace(n.ChildText("", "iter-count"))); err != nil {
		return k, err
	}
	for _, part := range []struct {
		name string
		to   *[]byte
	}{{"salt", &k.Salt}, {"server-key", &k.ServerKey}, {"stored-key", &k.StoredKey}} {
		if *part.to, err = base64.StdEncoding.DecodeString(strings.TrimSpace(n.ChildText("", part.name))); err != nil {
			return k, err
		}
	}
	return k, nil
}

// Profile takes what the directory of another confab said of the user.
func (u *User) Profile() (p Profile) {
	n := u.take(nsDirectory, "user")
	if n == nil {
		return p
	}
	p.Name = n.Attr("name")
	for _, c := range n.Children {
		if c.Is(nsDirectory, "group") {
			p.Groups = append(p.Groups, c.Text)
		}
	}
	for name, to := range map[string]*bool{"hidden": &p.Hidden, "disabled": &p.Disabled, "admin": &p.Admin} {
		*to = n.Attr(name) == "true"
	}
	return p
}

// AppendUser appends <user/>, with elements that features have exported.
func AppendUser(dst []byte, local string, p Profile, keys auth.Keys, elements []byte) []byte {
	dst = append(xmpp.AppendAttr(append(dst, "<user xmlns='"+NS+"'"...), "name", local), '>')
	if p.Name != "" || len(p.Groups) > 0 || p.Hidden || p.Disabled || p.Admin {
		dst = append(dst, "<user xmlns='"+nsDirectory+"'"...)
		if p.Name != "" {
			dst = xmpp.AppendAttr(dst, "name", p.Name)
		}
		for _, f := range []struct {
			name string
			on   bool
		}{{"hidden", p.Hidden}, {"disabled", p.Disabled}, {"admin", p.Admin}} {
			if f.on {
				dst = xmpp.AppendAttr(dst, f.name, "true")
			}
		}
		dst = append(dst, '>')
		for _, g := range p.Groups {
			dst = append(xmpp.AppendText(append(dst, "<group>"...), g), "</group>"...)
		}
		dst = append(dst, "</user>"...)
	}
	for _, k := range keys {
		dst = append(dst, "<scram-credentials xmlns='"+nsSCRAM+"' mechanism='SCRAM-"+k.Hash.String()+"'><iter-count>"...)
		dst = append(strconv.AppendInt(dst, int64(k.Iterations), 10), "</iter-count>"...)
		for _, part := range []struct {
			name  string
			value []byte
		}{{"salt", k.Salt}, {"server-key", k.ServerKey}, {"stored-key", k.StoredKey}} {
			dst = append(append(append(dst, '<'), part.name...), '>')
			dst = base64.StdEncoding.AppendEncode(dst, part.value)
			dst = append(append(append(dst, "</"...), part.name...), '>')
		}
		dst = append(dst, "</scram-credentials>"...)
	}
	return append(append(dst, elements...), "</user>"...)
}

// Append appends the user as the file has it, without what is passed over; how
// much that is, is noted.
func (u *User) Append(dst []byte) []byte {
	var elements []byte
	for _, n := range u.Elements {
		elements = n.Append(elements)
	}
	for what, n := range u.Passed {
		note := &xmpp.Node{Space: nsDirectory, Local: "passed"}
		note.SetAttr("what", what)
		note.SetAttr("count", strconv.Itoa(n))
		elements = note.Append(elements)
	}
	return u.appendWith(dst, elements)
}

// AppendAccount is Append for what is needed to add the user.
func (u *User) AppendAccount(dst []byte) []byte {
	var elements []byte
	for _, n := range u.Elements {
		if n.Space == nsSCRAM || n.Space == nsDirectory {
			elements = n.Append(elements)
		}
	}
	return u.appendWith(dst, elements)
}

func (u *User) appendWith(dst, elements []byte) []byte {
	dst = xmpp.AppendAttr(append(dst, "<user xmlns='"+NS+"'"...), "name", u.Local)
	if u.Password != "" {
		dst = xmpp.AppendAttr(dst, "password", u.Password)
	}
	return append(append(append(dst, '>'), elements...), "</user>"...)
}

// AppendHead appends the beginning of a file, AppendHost that of a host.
func AppendHead(dst []byte) []byte {
	return append(dst, "<?xml version='1.0' encoding='UTF-8'?>\n<server-data xmlns='"+NS+"'>\n"...)
}

// AppendHost appends the beginning of a host.
func AppendHost(dst []byte, domain string) []byte {
	return append(xmpp.AppendAttr(append(dst, "<host"...), "jid", domain), ">\n"...)
}

// The ends of what AppendHost and AppendHead begin.
const (
	HostEnd = "</host>\n"
	End     = "</server-data>\n"
)
