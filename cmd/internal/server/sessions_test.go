//go:build unix

package server

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"confab/xmpp/auth"
	"confab/xmpp/directory"
	"confab/xmpp/xmpptest"
)

// What BenchmarkSessions counts comes exactly once.
func TestSessions(t *testing.T) {
	c := gather(t, 200)
	c.login(t)
	c.message(t)
	c.message(t)
	c.announce(t)
	c.settle(t)
}

// atATime is how many clients do something at a time, and how many people write to the others: a rate bounds what each may.
const atATime = 10

// crowd is people who are served.
type crowd struct {
	server          *Server
	door            *xmpptest.Listener
	people, writers []*device
	said, told      int // messages and announcements so far, to each
}

// gather starts a server for n people and those who write to them.
func gather(t testing.TB, n int) *crowd {
	c := &crowd{door: xmpptest.Listen(), people: make([]*device, n), writers: make([]*device, atATime)}
	c.server = newServer(t, Options{}, map[string]string{"roster-domain": "off"})
	keys := auth.Keys{{Hash: auth.SHA256, Iterations: 4096, Salt: make([]byte, 16), StoredKey: storedKey[:], ServerKey: make([]byte, sha256.Size)}}
	var accounts []auth.NewAccount
	for kind, devices := range map[string][]*device{"user": c.people, "writer": c.writers} {
		for i := range devices {
			devices[i] = &device{local: kind + strconv.Itoa(i)}
			accounts = append(accounts, auth.NewAccount{NewUser: directory.NewUser{Domain: "example.com", Local: devices[i].local}, Keys: keys})
		}
	}
	if err := c.server.auth.Import(t.Context(), accounts, auth.Import{}); err != nil {
		t.Fatal(err)
	}
	c.server.listeners["tls"] = append(c.server.listeners["tls"], c.door)
	done := make(chan error, 1)
	go func() { done <- c.server.Run(context.Background()) }()
	t.Cleanup(func() {
		for _, d := range append(c.people, c.writers...) {
			if d.raw != nil {
				d.raw.Close()
			}
		}
		c.server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

// each does something with each of the devices, with some at a time, in their order.
func each(t testing.TB, devices []*device, fn func(*device) error) {
	t.Helper()
	var all sync.WaitGroup
	for first := range atATime {
		all.Go(func() {
			for i := first; i < len(devices) && !t.Failed(); i += atATime {
				if err := fn(devices[i]); err != nil {
					t.Errorf("%s: %v", devices[i].local, err)
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// login has everybody come online.
func (c *crowd) login(t testing.TB) {
	config := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"xmpp-client"}, CurvePreferences: []tls.CurveID{tls.X25519}}
	online := func(d *device) error {
		raw, err := c.door.Dial()
		if err != nil {
			return err
		}
		d.raw, d.tls = raw, tls.Client(raw, config)
		return d.login()
	}
	each(t, c.writers, online)
	each(t, c.people, online)
}

// message has a message written to each, and waits until all have it.
func (c *crowd) message(t testing.TB) {
	c.said++
	var writing sync.WaitGroup
	for w, from := range c.writers {
		writing.Go(func() {
			for i := w; i < len(c.people); i += atATime {
				err := from.send("<message to='%s@example.com' type='chat' id='m%d-%d'><body>said %d</body></message>", c.people[i].local, c.said, i, c.said)
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	each(t, c.people, func(d *device) error { return d.hears(">said %d<", c.said) })
	writing.Wait()
}

// announce makes an announcement and returns how long it took until all had it.
func (c *crowd) announce(t testing.TB) time.Duration {
	c.told++
	began := time.Now()
	var telling sync.WaitGroup
	telling.Go(func() {
		n, err := c.server.notices.Announce("example.com", fmt.Sprintf("told %d", c.told))
		if want := len(c.people) + len(c.writers); n != want || err != nil {
			t.Errorf("%d people were told, not %d: %v", n, want, err)
		}
	})
	each(t, c.people, func(d *device) error { return d.hears(">told %d<", c.told) })
	took := time.Since(began)
	telling.Wait()
	return took
}

// settle acknowledges what has come, and sees to it that nothing came twice.
func (c *crowd) settle(t testing.TB) {
	each(t, c.people, func(d *device) error {
		if err := d.ping(); err != nil {
			return err
		}
		if d.said != c.said || d.told != c.told {
			return fmt.Errorf("has had %d messages and %d announcements, not %d and %d", d.said, d.told, c.said, c.told)
		}
		return nil
	})
}

// device is as little of a client as can be: between what it does it has its connection, and how much it has had.
type device struct {
	local      string
	raw        net.Conn
	tls        *tls.Conn // nil: let go
	stanzas    int       // since stream management is on
	said, told int
}

func (d *device) send(format string, args ...any) error {
	_, err := fmt.Fprintf(d.tls, format, args...)
	return err
}

// Everybody has the same password, of which nothing is known but its client key: no client has to derive it.
var (
	clientKey = []byte("Open, locks, whoever knocks! ...")
	storedKey = sha256.Sum256(clientKey)
)

// login opens a stream, logs in, binds and becomes available.
func (d *device) login() error {
	first := "n=" + d.local + ",r=" + d.local
	err := d.send("<?xml version='1.0'?><stream:stream to='example.com' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"+
		"<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-256'><initial-response>%s</initial-response>"+
		"<bind xmlns='urn:xmpp:bind:0'><enable xmlns='urn:xmpp:carbons:2'/><enable xmlns='urn:xmpp:sm:3' resume='true'/></bind></authenticate>", encode("n,,"+first))
	if err != nil {
		return err
	}
	text, err := d.hear("</challenge>")
	if err != nil {
		return err
	}
	_, text, _ = strings.Cut(strings.TrimSuffix(text, "</challenge>"), "<challenge xmlns='urn:xmpp:sasl:2'>")
	challenge, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return err
	}
	nonce, _, _ := strings.Cut(string(challenge), ",")
	last := "c=" + encode("n,,") + "," + nonce
	proof := hmac.New(sha256.New, storedKey[:]) // RFC 5802 §3
	proof.Write([]byte(first + "," + string(challenge) + "," + last))
	p := proof.Sum(nil)
	subtle.XORBytes(p, p, clientKey)
	if err := d.send("<response xmlns='urn:xmpp:sasl:2'>%s</response><presence/>", encode(last+",p="+encode(string(p)))); err != nil {
		return err
	}
	return d.ping()
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// ping has an answer come behind all that was sent before, and acknowledges that.
func (d *device) ping() error {
	if err := d.send("<iq type='get' id='ping' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>"); err != nil {
		return err
	}
	if _, err := d.hear("id='ping'"); err != nil {
		return err
	}
	return d.send("<a xmlns='urn:xmpp:sm:3' h='%d'/>", d.stanzas)
}

// patience is how long a client waits for what has to come.
const patience = time.Minute

var texts = sync.Pool{New: func() any { return new([16 << 10]byte) }}

// hear reads until something has come, and counts. It returns all that it has read.
func (d *device) hear(what string) (string, error) {
	buf := texts.Get().(*[16 << 10]byte)
	defer texts.Put(buf)
	d.raw.SetReadDeadline(time.Now().Add(patience))
	text := buf[:0]
	for !bytes.Contains(text, []byte(what)) {
		n, err := d.tls.Read(buf[len(text):])
		if text = buf[:len(text)+n]; err != nil {
			return "", fmt.Errorf("waiting for %s: %w behind %q", what, err, text)
		}
	}
	for _, tag := range []string{"<message ", "<presence ", "<iq "} {
		d.stanzas += bytes.Count(text, []byte(tag))
	}
	d.said += bytes.Count(text, []byte(">said "))
	d.told += bytes.Count(text, []byte(">told "))
	return string(text), nil
}

func (d *device) hears(format string, n int) error {
	_, err := d.hear(fmt.Sprintf(format, n))
	return err
}
