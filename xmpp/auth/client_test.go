package auth

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store/bolt"
	"confab/xmpp/store/storetest"
)

const (
	here = "capulet.example"
	few  = minIterations // what tests can afford
)

// house is an Auth with what is under it.
type house struct {
	*Auth
	t         testing.TB
	db        *storetest.Failing
	directory *directory.Directory
}

func newHouse(t testing.TB) *house {
	t.Helper()
	db, err := bolt.Open(filepath.Join(t.TempDir(), "state.db"), bolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	h := &house{t: t, db: storetest.Fail(db)}
	h.directory, err = directory.Open(t.Context(), h.db, directory.Options{Domains: []string{here, "example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	h.open(Options{})
	return h
}

// open opens the credentials again.
func (h *house) open(o Options) {
	h.t.Helper()
	o.Store, o.Directory = h.db, h.directory
	if o.Iterations == 0 {
		o.Iterations = few
	}
	var err error
	if h.Auth, err = Open(h.t.Context(), o); err != nil {
		h.t.Fatal(err)
	}
}

// add adds a user, with a password if it is not empty.
func (h *house) add(local, password string) *directory.User {
	h.t.Helper()
	if err := h.directory.Add(h.t.Context(), directory.NewUser{Domain: here, Local: local}); err != nil {
		h.t.Fatal(err)
	}
	u := h.directory.Login(here, local)
	if password != "" {
		if err := h.SetPassword(h.t.Context(), u.ID, password); err != nil {
			h.t.Fatal(err)
		}
	}
	return u
}

func (h *house) setKeys(u *directory.User, keys ...Key) {
	h.t.Helper()
	if err := h.SetKeys(h.t.Context(), u.ID, keys); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) update(u *directory.User, fn func(*directory.User)) {
	h.t.Helper()
	if err := h.directory.Update(h.t.Context(), u.ID, fn); err != nil {
		h.t.Fatal(err)
	}
}

// channel is a channel that can be bound in both ways.
var channel = Binding{Exporter: []byte("exporter data"), EndPoint: []byte("end point data"), Secure: true}

// start begins an attempt on a channel that offers all that it can.
func (h *house) start(mechanism string, b Binding) *Exchange {
	h.t.Helper()
	x, err := h.Start(Attempt{
		Domain: here, Mechanism: mechanism, Binding: b,
		Offered: h.Mechanisms(here, b), Announced: b.Types(),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return x
}

// plain logs in with PLAIN.
func (h *house) plain(authzid, name, password string) (*directory.User, error) {
	h.t.Helper()
	x := h.start("PLAIN", Binding{Secure: true})
	resp, done, err := x.Step(context.Background(), []byte(authzid+"\x00"+name+"\x00"+password))
	if err == nil && (!done || resp != nil) {
		h.t.Errorf("PLAIN goes on: %v %q", done, resp)
	}
	return x.User(), err
}

// client is the client's side of SCRAM, written from RFC 5802 apart from the
// server's code, so that it can also do what clients should not.
type client struct {
	mechanism string
	name      string // as it is in the message
	password  string
	header    string // gs2-header
	data      []byte // of the channel binding
	nonce     string

	salted          func(salt []byte, iterations int) []byte // instead of password
	first           string                                   // the server's first message
	serverSignature []byte
}

func (c *client) hash() func() hash.Hash {
	switch {
	case strings.Contains(c.mechanism, "SHA-1"):
		return sha1.New
	case strings.Contains(c.mechanism, "SHA-256"):
		return sha256.New
	}
	return sha512.New
}

func (c *client) hmac(key []byte, text string) []byte {
	m := hmac.New(c.hash(), key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

func (c *client) begin() []byte {
	if c.nonce == "" {
		c.nonce = rand.Text()
	}
	return []byte(c.header + "n=" + c.name + ",r=" + c.nonce)
}

// answer is the client-final-message.
func (c *client) answer(first []byte) ([]byte, error) {
	c.first = string(first)
	attrs := make(map[string]string)
	for attr := range strings.SplitSeq(c.first, ",") {
		name, value, _ := strings.Cut(attr, "=")
		attrs[name] = value
	}
	salt, err := base64.StdEncoding.DecodeString(attrs["s"])
	iterations, err2 := strconv.Atoi(attrs["i"])
	if err = errors.Join(err, err2); err != nil || !strings.HasPrefix(attrs["r"], c.nonce) || len(attrs["r"]) < len(c.nonce)+16 {
		return nil, fmt.Errorf("first message %q: %v", first, err)
	}
	var salted []byte
	if c.salted != nil {
		salted = c.salted(salt, iterations)
	} else if salted, err = pbkdf2.Key(c.hash(), c.password, salt, iterations, c.hash()().Size()); err != nil {
		return nil, err
	}
	bare := "c=" + base64.StdEncoding.EncodeToString(append([]byte(c.header), c.data...)) + ",r=" + attrs["r"]
	message := "n=" + c.name + ",r=" + c.nonce + "," + c.first + "," + bare
	clientKey := c.hmac(salted, "Client Key")
	stored := c.hash()()
	stored.Write(clientKey)
	proof := c.hmac(stored.Sum(nil), message)
	subtle.XORBytes(proof, proof, clientKey)
	c.serverSignature = c.hmac(c.hmac(salted, "Server Key"), message)
	return []byte(bare + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

// login runs an exchange to its end.
func (c *client) login(x *Exchange) (*directory.User, error) {
	ctx := context.Background()
	first, done, err := x.Step(ctx, c.begin())
	if err != nil {
		return x.User(), err
	}
	if done || x.User() != nil {
		return nil, errors.New("done without a proof")
	}
	final, err := c.answer(first)
	if err != nil {
		return nil, err
	}
	last, done, err := x.Step(ctx, final)
	if err != nil {
		return x.User(), err
	}
	if want := "v=" + base64.StdEncoding.EncodeToString(c.serverSignature); !done || string(last) != want {
		return nil, fmt.Errorf("done %v, server says %q, not %q", done, last, want)
	}
	return x.User(), nil
}

// scram logs in over the channel.
func (h *house) scram(mechanism, name, password string) (*directory.User, error) {
	h.t.Helper()
	return bound(mechanism, name, password).login(h.start(mechanism, channel))
}

// bound is a client that binds with tls-exporter if the mechanism wants it to.
func bound(mechanism, name, password string) *client {
	c := &client{mechanism: mechanism, name: name, password: password, header: "n,,"}
	if strings.HasSuffix(mechanism, "-PLUS") {
		c.header, c.data = "p=tls-exporter,,", channel.Exporter
	}
	return c
}

func condition(err error) string {
	var f *Failure
	if !errors.As(err, &f) {
		return fmt.Sprint(err)
	}
	return string(f.Condition)
}

func cause(err error) Cause {
	var f *Failure
	if !errors.As(err, &f) {
		return 0xff
	}
	return f.Cause
}

func jid(local string) xmpp.JID { return xmpp.MustJID(local + "@" + here) }
