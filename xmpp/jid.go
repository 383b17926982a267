package xmpp

import (
	"math"
	"strings"
	"unicode/utf8"

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

func malformed(text string) error { return NewError(JIDMalformed, text) }

// The shared errors of ParseJID: what an attacker sends should not cost memory.
var (
	errNoLocal    = malformed("the localpart is empty")
	errNoDomain   = malformed("the domain is empty")
	errNoResource = malformed("the resource is empty")
	errPartLong   = malformed("a part of the address is longer than 1023 bytes")
	errJIDUTF8    = malformed("the address is not UTF-8")
	errDomain     = malformed("the domain is not valid")
	errUnstable   = malformed("the address has no stable normal form")
)

// ParseJID parses and normalizes an address. The error is an *Error, jid-malformed. Nothing is allocated for ASCII that is
// in its normal form already.
func ParseJID(s string) (JID, error) {
	if j, ok := asciiJID(s); ok {
		return j, nil
	}
	// RFC 7622 §3.2: the separators are found before any transformation.
	var local, resource string
	domain := s
	if i := strings.IndexByte(s, '/'); i >= 0 {
		domain, resource = s[:i], s[i+1:]
		if resource == "" {
			return JID{}, errNoResource
		}
	}
	if i := strings.IndexByte(domain, '@'); i >= 0 {
		local, domain = domain[:i], domain[i+1:]
		if local == "" {
			return JID{}, errNoLocal
		}
	}
	return NewJID(local, domain, resource)
}

// NewJID makes an address of its parts and normalizes them. Local and resource may be empty.
func NewJID(local, domain, resource string) (JID, error) {
	j, err := preparedJID(local, domain, resource)
	if err != nil {
		return JID{}, err
	}
	// Some strings change again when they are prepared again. Their equality would depend on who looked at them, so
	// they are no addresses (RFC 8264 §7 asks for idempotence).
	again, err := preparedJID(j.Local(), j.Domain(), j.Resource())
	if err != nil || again != j {
		return JID{}, errUnstable
	}
	return j, nil
}

// preparedJID applies the PRECIS profiles and IDNA (RFC 7622 §3.2-§3.4).
func preparedJID(local, domain, resource string) (JID, error) {
	if len(local) > maxPart || len(domain) > maxPart+1 || len(resource) > maxPart {
		return JID{}, errPartLong
	}
	if !utf8.ValidString(local) || !utf8.ValidString(domain) || !utf8.ValidString(resource) {
		return JID{}, errJIDUTF8
	}
	if strings.HasPrefix(domain, "[") {
		domain = strings.ToLower(domain) // an IPv6 address
	}
	m, err := mjid.New(local, domain, resource)
	if err != nil {
		return JID{}, malformed(err.Error())
	}
	l, d, r := m.Localpart(), m.Domainpart(), m.Resourcepart()
	switch {
	case l == "" && local != "":
		return JID{}, errNoLocal
	case r == "" && resource != "":
		return JID{}, errNoResource
	case len(l) > maxPart || len(d) > maxPart || len(r) > maxPart:
		return JID{}, errPartLong
	case d == "":
		return JID{}, errNoDomain
	}
	if err := checkDomain(d); err != nil {
		return JID{}, err
	}
	return joinJID(l, d, r), nil
}

// checkDomain refuses what IDNA's mapping lets through but would be read as something else in an address.
func checkDomain(d string) error {
	if d[0] == '[' {
		return nil // checked as an IPv6 address already
	}
	if strings.ContainsAny(d, " \"&'/:<>@[]\\") {
		return errDomain
	}
	for label := range strings.SplitSeq(d, ".") {
		if label == "" {
			return errDomain
		}
	}
	return nil
}

// Classes of ASCII bytes in addresses. In ASCII the PRECIS profiles come down to these: a localpart is printable
// without blank and the characters of RFC 7622 §3.3.1, in lower case; a resource is printable; a domain is
// letters, digits, hyphens and dots.
const (
	jidLocal = 1 << iota
	jidDomain
	jidResource
	jidUpper
)

var jidClass = func() (t [256]uint8) {
	for c := ' '; c <= '~'; c++ {
		t[c] |= jidResource
		if c != ' ' && !strings.ContainsRune("\"&'/:<>@", c) {
			t[c] |= jidLocal
		}
		switch {
		case 'A' <= c && c <= 'Z':
			t[c] |= jidDomain | jidUpper
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '.':
			t[c] |= jidDomain
		}
	}
	return t
}()

// asciiJID is ParseJID for the addresses that almost everybody has. It answers false when in doubt.
func asciiJID(s string) (j JID, ok bool) {
	end := strings.IndexByte(s, '/')
	if end < 0 {
		end = len(s)
	} else {
		if end > math.MaxUint16 || len(s)-end-1 > maxPart || end+1 == len(s) || !inClass(s[end+1:], jidResource) {
			return j, false
		}
		j.slash = uint16(end)
	}
	domain := 0
	if at := strings.IndexByte(s[:end], '@'); at >= 0 {
		if at == 0 || at > maxPart || !inClass(s[:at], jidLocal) {
			return j, false
		}
		j.at, domain = uint16(at), at+1
	}
	if !asciiDomain(s[domain:end]) {
		return JID{}, false
	}
	for i := range end {
		if jidClass[s[i]]&jidUpper != 0 {
			s = strings.ToLower(s[:end]) + s[end:]
			break
		}
	}
	j.s = s
	return j, true
}

// inClass reports whether all bytes of s are of a class.
func inClass(s string, c uint8) bool {
	for i := range len(s) {
		if jidClass[s[i]]&c == 0 {
			return false
		}
	}
	return true
}

// asciiDomain reports whether s is a plain host name: labels that IDNA leaves alone but for their case.
func asciiDomain(s string) bool {
	if s == "" || len(s) > 255 || !inClass(s, jidDomain) {
		return false
	}
	label := 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != '.' {
			continue
		}
		n := i - label
		if n == 0 || n > 63 || s[label] == '-' || s[i-1] == '-' || n >= 4 && s[label+2] == '-' && s[label+3] == '-' {
			return false
		}
		label = i + 1
	}
	return true
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

// escaped are the characters that XEP-0106 has sequences for.
const escaped = " \"&'/:<>@\\"

// escapeSeq reports the character that the sequence at the start of s stands for, 0 if it is none.
func escapeSeq(s string) byte {
	if len(s) < 3 || s[0] != '\\' {
		return 0
	}
	hi, lo := unhex(s[1]), unhex(s[2])
	if hi < 0 || lo < 0 {
		return 0
	}
	if c := byte(hi<<4 | lo); c < utf8.RuneSelf && strings.IndexByte(escaped, c) >= 0 {
		return c
	}
	return 0
}

// EscapeLocal turns a user name into a localpart (XEP-0106): o'brien becomes o\27brien. A backslash is escaped only where
// what follows would read as a sequence (§4.2). A space at the start or end stays, as it cannot be escaped (§4.1): such
// a name is refused as an address.
func EscapeLocal(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case strings.IndexByte(escaped, c) < 0,
			c == ' ' && (i == 0 || i == len(s)-1),
			c == '\\' && escapeSeq(s[i:]) == 0:
			b.WriteByte(c)
		default:
			b.WriteByte('\\')
			b.WriteByte("0123456789abcdef"[c>>4])
			b.WriteByte("0123456789abcdef"[c&15])
		}
	}
	return b.String()
}

// UnescapeLocal turns a localpart into the user name it stands for (XEP-0106). Only the ten sequences of §3.3 are
// replaced, and \20 not at the start or end.
func UnescapeLocal(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := escapeSeq(s[i:])
		if c == 0 || s[i:i+3] != strings.ToLower(s[i:i+3]) || c == ' ' && (i == 0 || i+3 == len(s)) {
			b.WriteByte(s[i])
			continue
		}
		b.WriteByte(c)
		i += 2
	}
	return b.String()
}
