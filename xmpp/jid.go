package xmpp

import (
	"strings"

	mjid "mellium.im/xmpp/jid"
)

// maxPart is the longest a part of an address may be, in bytes (RFC 7622 §3.1).
const maxPart = 1023

// JID is an XMPP address (RFC 7622), normalized: equal addresses are equal values, so it can be compared with ==
// and used as a map key. The zero value is no address.
type JID struct {
	s         string // the whole address
	at, slash uint16 // offsets of the separators in s; 0: there is none
}

func malformed(text string) *Error { return NewError(JIDMalformed, text) }

// ParseJID parses and normalizes an address. The error is an *Error, jid-malformed.
func ParseJID(s string) (JID, error) {
	// RFC 7622 §3.2: the separators are found before any transformation.
	var local, resource string
	domain := s
	if i := strings.IndexByte(s, '/'); i >= 0 {
		domain, resource = s[:i], s[i+1:]
		if resource == "" {
			return JID{}, malformed("the resource is empty")
		}
	}
	if i := strings.IndexByte(domain, '@'); i >= 0 {
		local, domain = domain[:i], domain[i+1:]
		if local == "" {
			return JID{}, malformed("the localpart is empty")
		}
	}
	return NewJID(local, domain, resource)
}

// NewJID makes an address of its parts and normalizes them. Local and resource may be empty.
func NewJID(local, domain, resource string) (JID, error) {
	m, err := mjid.New(local, domain, resource)
	if err != nil {
		return JID{}, malformed(err.Error())
	}
	return joinJID(m.Localpart(), m.Domainpart(), m.Resourcepart()), nil
}

// joinJID makes an address of normalized parts.
func joinJID(local, domain, resource string) JID {
	var j JID
	switch {
	case local == "" && resource == "":
		j.s = domain
	case resource == "":
		j.s = local + "@" + domain
	case local == "":
		j.s = domain + "/" + resource
	default:
		j.s = local + "@" + domain + "/" + resource
	}
	if local != "" {
		j.at = uint16(len(local))
	}
	if resource != "" {
		j.slash = uint16(len(j.s) - len(resource) - 1)
	}
	return j
}

// MustJID is ParseJID for constants; it panics on an error.
func MustJID(s string) JID {
	j, err := ParseJID(s)
	if err != nil {
		panic("xmpp: MustJID(" + s + "): " + err.Error())
	}
	return j
}

// Local returns the localpart, "" if there is none.
func (j JID) Local() string { return j.s[:j.at] }

// Domain returns the domainpart.
func (j JID) Domain() string { return j.DomainJID().s }

// Resource returns the resourcepart, "" if there is none.
func (j JID) Resource() string {
	if j.slash == 0 {
		return ""
	}
	return j.s[j.slash+1:]
}

// String returns the whole address.
func (j JID) String() string { return j.s }

// Bare returns the address without its resource.
func (j JID) Bare() JID {
	if j.slash != 0 {
		j.s, j.slash = j.s[:j.slash], 0
	}
	return j
}

// DomainJID returns the address of the domain alone.
func (j JID) DomainJID() JID {
	j = j.Bare()
	if j.at != 0 {
		j.s, j.at = j.s[j.at+1:], 0
	}
	return j
}

// WithResource returns the bare address with a resource; "" takes the resource away.
func (j JID) WithResource(r string) (JID, error) {
	if r == "" {
		return j.Bare(), nil
	}
	return NewJID(j.Local(), j.Domain(), r)
}

// IsZero reports whether j is no address.
func (j JID) IsZero() bool { return j.s == "" }

// IsBare reports whether j is an address without a resource.
func (j JID) IsBare() bool { return j.s != "" && j.slash == 0 }

// IsFull reports whether j has a resource.
func (j JID) IsFull() bool { return j.slash != 0 }

// IsDomain reports whether j is a domain alone.
func (j JID) IsDomain() bool { return j.s != "" && j.at == 0 && j.slash == 0 }

// EscapeLocal turns a user name into a localpart (XEP-0106): o'brien becomes o\27brien.
func EscapeLocal(s string) string { return mjid.Escape.String(s) }

// UnescapeLocal turns a localpart into the user name it stands for (XEP-0106).
func UnescapeLocal(s string) string { return mjid.Unescape.String(s) }

// JIDCache interns the addresses that peers send: known text costs no allocation. It is bounded and safe for
// concurrent use; the zero value is ready.
type JIDCache struct{}

// Parse is ParseJID. b is not kept.
func (c *JIDCache) Parse(b []byte) (JID, error) { return ParseJID(string(b)) }
