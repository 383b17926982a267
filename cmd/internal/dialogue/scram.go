package dialogue

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"mellium.im/sasl"
)

// ownSCRAM is SCRAM (RFC 5802) where mellium's does not do: SHA-512, and a channel binding that the script
// chooses, rightly or wrongly.
func ownSCRAM(name, binding string, c *conn) (sasl.Mechanism, error) {
	hashes := map[string]func() hash.Hash{"SHA-1": sha1.New, "SHA-256": sha256.New, "SHA-512": sha512.New}
	plus := strings.HasSuffix(name, "-PLUS")
	h, ok := hashes[strings.TrimSuffix(strings.TrimPrefix(name, "SCRAM-"), "-PLUS")]
	if !ok {
		return sasl.Mechanism{}, fmt.Errorf("the mechanism %s is not known here", name)
	}
	if plus && binding == "" {
		binding = "tls-exporter"
	}
	x := &scram{hash: h, gs2: "n"}
	if binding != "" {
		data, err := bindingData(binding, c)
		if err != nil {
			return sasl.Mechanism{}, err
		}
		x.data = data
		switch binding {
		case "nothing":
			x.gs2 = "y" // "I could, but think that you cannot"
		case "nonsense":
			x.gs2 = "p=tls-exporter"
		default:
			x.gs2 = "p=" + binding
		}
	}
	return sasl.Mechanism{Name: name, Start: x.start, Next: x.next}, nil
}

type scram struct {
	hash             func() hash.Hash
	gs2              string // the flag for channel binding
	data             []byte // of the channel binding
	header, bare     string // of the client's first message
	serverSignature  string
	finalMessageSent bool
}

func (x *scram) start(n *sasl.Negotiator) (bool, []byte, any, error) {
	user, _, authzid := n.Credentials()
	x.header = x.gs2 + ","
	if len(authzid) > 0 {
		x.header += "a=" + scramName(string(authzid))
	}
	x.header += ","
	x.bare = "n=" + scramName(string(user)) + ",r=" + base64.StdEncoding.EncodeToString(n.Nonce())
	return true, []byte(x.header + x.bare), nil, nil
}

func scramName(s string) string { return strings.NewReplacer("=", "=3D", ",", "=2C").Replace(s) }

func (x *scram) next(n *sasl.Negotiator, challenge []byte, _ any) (bool, []byte, any, error) {
	if x.finalMessageSent {
		if !strings.HasPrefix(string(challenge), x.serverSignature) {
			return false, nil, nil, errors.New("the server does not know the password")
		}
		return false, nil, nil, nil
	}
	fields := map[string]string{}
	for f := range strings.SplitSeq(string(challenge), ",") {
		name, value, _ := strings.Cut(f, "=")
		fields[name] = value
	}
	salt, err := base64.StdEncoding.DecodeString(fields["s"])
	if err != nil {
		return false, nil, nil, err
	}
	rounds, err := strconv.Atoi(fields["i"])
	if err != nil {
		return false, nil, nil, err
	}
	if _, nonce, _ := strings.Cut(x.bare, ",r="); !strings.HasPrefix(fields["r"], nonce) || fields["r"] == nonce {
		return false, nil, nil, fmt.Errorf("the server's nonce %q does not continue the client's", fields["r"])
	}
	_, password, _ := n.Credentials()
	salted, err := pbkdf2.Key(x.hash, string(password), salt, rounds, x.hash().Size())
	if err != nil {
		return false, nil, nil, err
	}
	final := "c=" + base64.StdEncoding.EncodeToString(append([]byte(x.header), x.data...)) + ",r=" + fields["r"]
	said := x.bare + "," + string(challenge) + "," + final
	clientKey := x.mac(salted, "Client Key")
	stored := x.hash()
	stored.Write(clientKey)
	proof := make([]byte, len(clientKey))
	subtle.XORBytes(proof, clientKey, x.mac(stored.Sum(nil), said))
	x.serverSignature = "v=" + base64.StdEncoding.EncodeToString(x.mac(x.mac(salted, "Server Key"), said))
	x.finalMessageSent = true
	return true, []byte(final + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil, nil
}

func (x *scram) mac(key []byte, text string) []byte {
	m := hmac.New(x.hash, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
