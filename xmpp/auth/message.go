package auth

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf8"
)

// maxNonce bounds the client's half of the nonce, which the server repeats.
const maxNonce = 512

// firstMessage is the client-first-message of RFC 5802 §7.
type firstMessage struct {
	flag    byte   // 'n': cannot bind, 'y': the server cannot, 'p': bound
	binding string // the type of channel binding, with 'p'
	authzid string
	name    string
	nonce   string
	header  []byte // gs2-header, with the comma at its end
	bare    []byte // client-first-message-bare
}

// parseFirst reads a client-first-message; the message is kept in what it returns.
func parseFirst(b []byte) (m firstMessage, f *Failure) {
	if !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0 {
		return m, malformed("The message is not text.")
	}
	flag, rest, ok := bytes.Cut(b, []byte{','})
	authzid, bare, ok2 := bytes.Cut(rest, []byte{','})
	if !ok || !ok2 {
		return m, malformed("The message has no GS2 header.")
	}
	m.header, m.bare = b[:len(b)-len(bare):len(b)-len(bare)], bare
	switch {
	case string(flag) == "n", string(flag) == "y":
		m.flag = flag[0]
	case bytes.HasPrefix(flag, []byte("p=")) && bindingName(flag[2:]):
		m.flag, m.binding = 'p', string(flag[2:])
	default:
		return m, malformed("The GS2 header has no channel binding flag.")
	}
	if len(authzid) > 0 {
		if m.authzid, ok = saslname(authzid, "a="); !ok {
			return m, malformed("The authorization identity is not written as it should be.")
		}
	}
	name, rest, ok := bytes.Cut(bare, []byte{','})
	if bytes.HasPrefix(name, []byte("m=")) {
		return m, malformed("There is an extension that is not known here.") // RFC 5802 §5.1
	}
	if m.name, ok2 = saslname(name, "n="); !ok || !ok2 {
		return m, malformed("The user name is not written as it should be.")
	}
	nonce, rest, more := bytes.Cut(rest, []byte{','})
	if !bytes.HasPrefix(nonce, []byte("r=")) || !printable(nonce[2:]) || len(nonce) > 2+maxNonce {
		return m, malformed("The nonce is not written as it should be.")
	}
	m.nonce = string(nonce[2:])
	if more && !extensions(rest) {
		return m, malformed("What follows the nonce is no attribute.")
	}
	return m, nil
}

// finalMessage is the client-final-message of RFC 5802 §7.
type finalMessage struct {
	binding []byte // gs2-header and data of the channel binding
	nonce   []byte
	proof   []byte
	bare    []byte // client-final-message-without-proof
}

// parseFinal reads a client-final-message, which is kept in what it returns.
func parseFinal(b []byte) (m finalMessage, f *Failure) {
	if !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0 {
		return m, malformed("The message is not text.")
	}
	i := bytes.LastIndex(b, []byte(",p="))
	if i < 0 {
		return m, malformed("The message has no proof.")
	}
	m.bare = b[:i]
	binding, rest, ok := bytes.Cut(m.bare, []byte{','})
	nonce, rest, more := bytes.Cut(rest, []byte{','})
	if !ok || !bytes.HasPrefix(binding, []byte("c=")) || !bytes.HasPrefix(nonce, []byte("r=")) ||
		more && !extensions(rest) {
		return m, malformed("The message is not written as it should be.")
	}
	m.nonce = nonce[2:]
	var err, err2 error
	m.binding, err = base64.StdEncoding.AppendDecode(nil, binding[2:])
	m.proof, err2 = base64.StdEncoding.AppendDecode(nil, b[i+3:])
	if err != nil || err2 != nil || len(m.binding) == 0 {
		return m, malformed("The message has wrong base64 in it.")
	}
	return m, nil
}

// saslname reads a name behind a prefix (RFC 5802 §5.1).
func saslname(b []byte, prefix string) (string, bool) {
	s, ok := strings.CutPrefix(string(b), prefix)
	if !ok || s == "" {
		return "", false
	}
	var name strings.Builder
	for {
		before, after, found := strings.Cut(s, "=")
		name.WriteString(before)
		if !found {
			return name.String(), true
		}
		switch {
		case strings.HasPrefix(after, "2C"):
			name.WriteByte(',')
		case strings.HasPrefix(after, "3D"):
			name.WriteByte('=')
		default:
			return "", false
		}
		s = after[2:]
	}
}

// bindingName says if b may be the name of a channel binding.
func bindingName(b []byte) bool {
	for _, c := range b {
		if !letter(c) && (c < '0' || c > '9') && c != '.' && c != '-' {
			return false
		}
	}
	return len(b) > 0 && len(b) <= 64
}

// printable says if b may be a nonce: printable ASCII; commas are cut off before.
func printable(b []byte) bool {
	for _, c := range b {
		if c < 0x21 || c > 0x7E {
			return false
		}
	}
	return len(b) > 0
}

// extensions says if b is attributes to be passed over (RFC 5802 §5.1), and
// none that demands to be understood.
func extensions(b []byte) bool {
	for attr := range bytes.SplitSeq(b, []byte{','}) {
		if len(attr) < 3 || !letter(attr[0]) || attr[0] == 'm' || attr[1] != '=' {
			return false
		}
	}
	return true
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// checkPlainMessage checks what RFC 4616 §2 demands of the parts of a message.
func checkPlainMessage(name, password, authzid string) *Failure {
	switch {
	case !utf8.ValidString(name) || !utf8.ValidString(password) || !utf8.ValidString(authzid):
		return malformed("The message is not text.")
	case name == "" || password == "":
		return malformed("The name or the password is missing.")
	}
	return nil
}
