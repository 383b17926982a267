package bytestreams

import (
	"errors"
	"io"
)

// The part of SOCKS5 (RFC 1928) that XEP-0065 §8.2 leaves: no authentication,
// the command CONNECT, and a hash as a host name.
const (
	version = 5

	noAuthentication = 0
	noneAcceptable   = 0xFF

	connect    = 1
	domainName = 3

	// Replies (RFC 1928 §6).
	succeeded              = 0
	generalFailure         = 1
	notAllowed             = 2
	commandNotSupported    = 7
	addressKindUnsupported = 8
)

// address is DST.ADDR: the SHA-1 of the stream's id and both parties, in hexadecimal.
type address [40]byte

var errSOCKS = errors.New("bytestreams: no SOCKS5 as XEP-0065 has it")

// greeting reads what a client says first (RFC 1928 §3). ok says that it can do
// without authentication.
func greeting(r io.Reader) (ok bool, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return false, err
	}
	if head[0] != version {
		return false, errSOCKS
	}
	var methods [255]byte
	if _, err := io.ReadFull(r, methods[:head[1]]); err != nil {
		return false, err
	}
	for _, m := range methods[:head[1]] {
		ok = ok || m == noAuthentication
	}
	return ok, nil
}

// request reads what a client asks for (RFC 1928 §4): which address, or with
// which reply it is refused. It reads no more than the request.
func request(r io.Reader) (a address, reply byte, err error) {
	var head [5]byte // VER, CMD, RSV, ATYP, and the length or the first byte of the address
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return a, 0, err
	}
	switch {
	case head[0] != version:
		return a, 0, errSOCKS
	case head[3] != domainName:
		return a, addressKindUnsupported, nil
	}
	var rest [255 + 2]byte
	n := int(head[4])
	if _, err := io.ReadFull(r, rest[:n+2]); err != nil {
		return a, 0, err
	}
	switch {
	case head[1] != connect:
		return a, commandNotSupported, nil
	case n != len(a) || !isHash(rest[:n]) || rest[n] != 0 || rest[n+1] != 0: // XEP-0065 §6.3.2
		return a, notAllowed, nil
	}
	copy(a[:], rest[:n])
	return a, succeeded, nil
}

func isHash(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// answer writes a reply to a request. BND.ADDR is what was asked for (§6.3.2).
func answer(reply byte, a *address) []byte {
	b := []byte{version, reply, 0, domainName}
	if reply != succeeded {
		return append(b, 0, 0, 0)
	}
	return append(append(append(b, byte(len(a))), a[:]...), 0, 0)
}
