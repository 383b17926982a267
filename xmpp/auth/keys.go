package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/runes"
	"golang.org/x/text/secure/precis"
	"golang.org/x/text/transform"
	"golang.org/x/text/unicode/norm"
	"mellium.im/sasl"
)

// Hash is the hash function of a SCRAM mechanism.
type Hash uint8

// The hash functions; records hold these numbers.
const (
	SHA1 Hash = iota + 1
	SHA256
	SHA512
)

// hashes are all hash functions, the strongest first.
var hashes = []Hash{SHA512, SHA256, SHA1}

// quick are the hash functions by what they cost most processors.
var quick = []Hash{SHA256, SHA1, SHA512}

func (h Hash) new() func() hash.Hash {
	switch h {
	case SHA1:
		return sha1.New
	case SHA256:
		return sha256.New
	default:
		return sha512.New
	}
}

func (h Hash) size() int {
	switch h {
	case SHA1:
		return sha1.Size
	case SHA256:
		return sha256.Size
	default:
		return sha512.Size
	}
}

func (h Hash) valid() bool { return h >= SHA1 && h <= SHA512 }

// String returns the name of the hash as mechanisms have it.
func (h Hash) String() string {
	switch h {
	case SHA1:
		return "SHA-1"
	case SHA256:
		return "SHA-256"
	case SHA512:
		return "SHA-512"
	}
	return fmt.Sprintf("Hash(%d)", uint8(h))
}

func (h Hash) mechanism() string { return "SCRAM-" + h.String() }

// sum is HMAC(key, text), the function that SCRAM is made of.
func (h Hash) sum(key, text []byte) []byte {
	m := hmac.New(h.new(), key)
	m.Write(text)
	return m.Sum(nil)
}

func (h Hash) digest(text []byte) []byte {
	d := h.new()()
	d.Write(text)
	return d.Sum(nil)
}

// Key is what the server keeps to know a password by one hash (RFC 5802 §3),
// as servers export it.
type Key struct {
	Hash       Hash
	Iterations int
	Salt       []byte
	StoredKey  []byte
	ServerKey  []byte
}

// Keys are the credentials of a user, at most one key for each hash.
type Keys []Key

// get returns the key for a hash, nil if there is none.
func (k Keys) get(h Hash) *Key {
	for i := range k {
		if k[i].Hash == h {
			return &k[i]
		}
	}
	return nil
}

// Bounds of what a key may be. Fewer iterations are refused by clients (RFC 5802
// §5.1), many more would be a burden to the server at each PLAIN.
const (
	minIterations = 4096
	maxIterations = 1_000_000
	saltSize      = 16
	maxSalt       = 128
	maxPassword   = 1024
)

func checkIterations(n int) error {
	if n < minIterations || n > maxIterations {
		return fmt.Errorf("%d iterations: there must be %d to %d", n, minIterations, maxIterations)
	}
	return nil
}

// check finds what is wrong with keys from elsewhere.
func (k Keys) check() error {
	if len(k) == 0 {
		return errors.New("there are no credentials")
	}
	for i, key := range k {
		size := 0
		if key.Hash.valid() {
			size = key.Hash.size()
		}
		switch {
		case size == 0:
			return fmt.Errorf("%v is none of the hashes known here", key.Hash)
		case k.get(key.Hash) != &k[i]:
			return fmt.Errorf("there are two keys for %v", key.Hash)
		case len(key.StoredKey) != size || len(key.ServerKey) != size:
			return fmt.Errorf("a key for %v is not %d bytes long", key.Hash, size)
		case len(key.Salt) == 0 || len(key.Salt) > maxSalt:
			return fmt.Errorf("the salt for %v is not of 1 to %d bytes", key.Hash, maxSalt)
		}
		if err := checkIterations(key.Iterations); err != nil {
			return fmt.Errorf("the key for %v: %w", key.Hash, err)
		}
	}
	return nil
}

// newKey derives a key from a prepared password, with a new salt.
func newKey(h Hash, prepared string, iterations int) Key {
	salt := make([]byte, saltSize)
	rand.Read(salt)
	return deriveKey(h, prepared, salt, iterations)
}

func deriveKey(h Hash, prepared string, salt []byte, iterations int) Key {
	salted := sasl.SCRAMSaltPassword(h.new(), []byte(prepared), salt, iterations)
	return Key{
		Hash: h, Iterations: iterations, Salt: salt,
		StoredKey: h.digest(h.sum(salted, []byte("Client Key"))),
		ServerKey: h.sum(salted, []byte("Server Key")),
	}
}

// matches says if a prepared password is that of the key.
func (k *Key) matches(prepared string) bool {
	got := deriveKey(k.Hash, prepared, k.Salt, k.Iterations)
	return subtle.ConstantTimeCompare(got.StoredKey, k.StoredKey) == 1
}

// opaque is SASLprep (RFC 4013) by the means of its successor (RFC 8265 §4.2):
// RFC 5802 asks for the former, whose NFKC clients apply before they hash.
var opaque = precis.NewFreeform(
	precis.AdditionalMapping(func() transform.Transformer {
		return transform.Chain(
			runes.Remove(runes.Predicate(mappedToNothing)),
			runes.Map(func(r rune) rune {
				if unicode.Is(unicode.Zs, r) {
					return ' '
				}
				return r
			}),
		)
	}),
	precis.Norm(norm.NFKC),
	precis.DisallowEmpty,
)

// mappedToNothing is table B.1 of RFC 3454.
func mappedToNothing(r rune) bool {
	switch {
	case r == 0xAD, r == 0x34F, r == 0x1806, r == 0x2060, r == 0xFEFF,
		r >= 0x180B && r <= 0x180D, r >= 0x200B && r <= 0x200D, r >= 0xFE00 && r <= 0xFE0F:
		return true
	}
	return false
}

// prepare brings a password into the form that is hashed.
func prepare(password string) (string, error) {
	if len(password) > maxPassword {
		return "", fmt.Errorf("the password is longer than %d bytes", maxPassword)
	}
	p, err := opaque.String(password)
	if err != nil || p == "" || !utf8.ValidString(password) {
		return "", errors.New("the password is empty or has characters that cannot be typed, as line ends")
	}
	return p, nil
}

// A record is its layout and then, for each key, the hash, the iterations and
// three strings with their lengths.
const layout = 1

func appendKeys(dst []byte, keys Keys) []byte {
	dst = append(dst, layout)
	for _, k := range keys {
		dst = append(dst, byte(k.Hash))
		dst = binary.AppendUvarint(dst, uint64(k.Iterations))
		for _, b := range [][]byte{k.Salt, k.StoredKey, k.ServerKey} {
			dst = append(binary.AppendUvarint(dst, uint64(len(b))), b...)
		}
	}
	return dst
}

var errRecord = errors.New("auth: damaged record")

// parseKeys reads a record; the keys do not point into it.
func parseKeys(b []byte) (Keys, error) {
	if len(b) == 0 || b[0] != layout {
		return nil, errRecord
	}
	b = slices.Clone(b[1:])
	var keys Keys
	for len(b) > 0 {
		k := Key{Hash: Hash(b[0])}
		b = b[1:]
		i, n := binary.Uvarint(b)
		if n <= 0 || i > maxIterations {
			return nil, errRecord
		}
		k.Iterations, b = int(i), b[n:]
		for _, to := range []*[]byte{&k.Salt, &k.StoredKey, &k.ServerKey} {
			l, n := binary.Uvarint(b)
			if n <= 0 || l > uint64(len(b)-n) {
				return nil, errRecord
			}
			*to, b = b[n:n+int(l):n+int(l)], b[n+int(l):]
		}
		keys = append(keys, k)
	}
	if keys.check() != nil {
		return nil, errRecord
	}
	return keys, nil
}
