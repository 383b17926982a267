package main

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"confab/cmd/internal/dialogue"
	"confab/xmpp/feature/featuretest"
)

// The lessons of other servers' security holes, a test each. Those that can be
// told as a dialogue are in cmd/internal/server/testdata/security; these need
// more hands than a dialogue has.

func secured(t *testing.T, settings ...dialogue.Setting) *world {
	t.Helper()
	return startWorld(t, dialogue.Scene{Domains: []dialogue.Domain{{Name: "example.com", Users: []dialogue.User{
		{Local: "romeo", Password: "pw-romeo"}, {Local: "juliet", Password: "pw-juliet"},
	}}}, Settings: settings}).(*world)
}

// Whoever does not finish the handshake of TLS is cut off; many of them do not keep others out.
func TestSlowHandshakes(t *testing.T) {
	const many = 50
	w := secured(t)
	begin := func() (slow []net.Conn) {
		for range many {
			c, err := net.Dial("tcp", w.Addr(dialogue.DirectTLS))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			c.SetDeadline(time.Now().Add(patience))
			c.Write([]byte{0x16, 0x03, 0x01}) // a record begins
			slow = append(slow, c)
		}
		return slow
	}
	begin()
	if _, err := online(w.Addr(dialogue.DirectTLS), "example.com", "romeo", "pw-romeo"); err != nil {
		t.Error("nobody else gets in:", err)
	}
	w.settings.Flags["limits-tls-handshake"] = "200ms"
	if _, err := w.server.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range begin() {
		if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Fatal("a handshake may take for ever")
		}
	}
	featuretest.Eventually(t, "the last of them to be counted", func() bool {
		return w.server.Admin().Live.Counters()["tls_failures"] >= many
	})
}

// Whatever is good for somebody who knows it cannot be foretold from others of
// its kind: they have 120 bits and more, and two have nothing in common.
func TestPredictableTokens(t *testing.T) {
	w := secured(t)
	kinds := map[string]func() string{
		"a stream id": func() string {
			c, err := net.Dial("tcp", w.Addr(dialogue.STARTTLS))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			fmt.Fprint(c, "<stream:stream to='example.com' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")
			return find(t, c, `id='([^']+)'`)
		},
		"an invitation": func() string {
			out, err := w.Operate("", "user", "invite", "nurse")
			if err != nil {
				t.Fatal(err)
			}
			return regexp.MustCompile(`preauth=(\S+)`).FindStringSubmatch(out)[1]
		},
		"a token for the next login": func() string {
			c, err := tls.Dial("tcp", w.Addr(dialogue.DirectTLS), &tls.Config{RootCAs: w.Roots(), ServerName: "example.com", NextProtos: []string{"xmpp-client"}})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(patience))
			fmt.Fprint(c, "<stream:stream to='example.com' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"+
				"<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AHJvbWVvAHB3LXJvbWVv</initial-response>"+
				"<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/><request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/></authenticate>")
			return strings.TrimPrefix(find(t, c, `token='([^']+)'`), "secret-token:fast-")
		},
	}
	romeo := mustOnline(t, w.Addr(dialogue.DirectTLS), "romeo")
	kinds["the address of a file"] = func() string {
		romeo.send("<iq type='get' id='slot' to='upload.example.com'><request xmlns='urn:xmpp:http:upload:0' filename='a' size='1'/></iq>")
		answer, err := romeo.await("iq")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(answer.child("slot").child("get").attr("url"), "/")[4]
	}
	kinds["a session to be resumed"] = func() string {
		c := mustOnline(t, w.Addr(dialogue.DirectTLS), "juliet")
		defer c.conn.Close()
		c.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
		e, err := c.await("enabled")
		if err != nil {
			t.Fatal(err)
		}
		_, id, _ := strings.Cut(e.attr("id"), "-")
		return id
	}
	for kind, next := range kinds {
		var all []string
		for range 16 {
			token := next()
			if len(token) < 24 { // 24 letters of 5 bits
				t.Errorf("%s is %q, which can be guessed", kind, token)
			}
			for _, other := range all {
				common := 0
				for common < min(len(token), len(other)) && token[common] == other[common] {
					common++
				}
				if common > 8 { // of 16 that are random, once in 2^33
					t.Errorf("%s: %q and %q begin alike", kind, other, token)
				}
			}
			all = append(all, token)
		}
	}
}

func find(t *testing.T, r io.Reader, pattern string) string {
	t.Helper()
	re, all := regexp.MustCompile(pattern), []byte(nil)
	for b := make([]byte, 4096); ; {
		n, err := r.Read(b)
		all = append(all, b[:n]...)
		if m := re.FindSubmatch(all); m != nil {
			return string(m[1])
		}
		if err != nil {
			t.Fatalf("%v behind %s", err, all)
		}
	}
}

// What the administrator or anybody else has written is text on pages, and never
// more; nothing is loaded from elsewhere.
func TestUnescapedSettingsInWebPages(t *testing.T) {
	const evil = `"'><script>alert(1)</script>`
	w := secured(t)
	w.settings.Flags["web-url"] = "https://example.com/" + evil
	if _, err := w.settings.Load(); err == nil {
		t.Error("markup is accepted as the address of the server")
	}
	delete(w.settings.Flags, "web-url")
	out, err := w.Operate("", "user", "invite", "--name", evil, "--group", evil, `x"><script>alert(1)</script>@example.com`)
	if err != nil {
		t.Fatal(err)
	}
	page := regexp.MustCompile(`page: (\S+)`).FindStringSubmatch(out)[1]
	for _, address := range []string{page, page + evil, strings.Replace(page, "/invite/", "/"+evil+"/", 1), page + "?x=" + evil} {
		r, err := w.files().Get(strings.ReplaceAll(address, ">", "%3E"))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(strings.ToLower(string(body)), "<script") {
			t.Errorf("%s: %s", address, body)
		}
		if csp := r.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe-inline") {
			t.Errorf("%s: %q", address, csp)
		}
	}
}

// A file is never a page of the server's own in somebody's browser, and has the
// size that was announced.
func TestUploadsWithoutNosniffSizeCheckAndDisposition(t *testing.T) {
	w := secured(t)
	romeo := mustOnline(t, w.Addr(dialogue.DirectTLS), "romeo")
	slot := func(kind string, size int) (put, get string) {
		fmt.Fprintf(romeo.conn, "<iq type='get' id='slot' to='upload.example.com'><request xmlns='urn:xmpp:http:upload:0' filename='page.html' size='%d' content-type='%s'/></iq>", size, kind)
		answer, err := romeo.await("iq")
		if err != nil {
			t.Fatal(err)
		}
		return answer.child("slot").child("put").attr("url"), answer.child("slot").child("get").attr("url")
	}
	send := func(address, kind, content string) int {
		r, err := http.NewRequest("PUT", address, strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", kind)
		done, err := w.files().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		done.Body.Close()
		return done.StatusCode
	}
	const page = "<html><script>alert(1)</script></html>"
	for _, kind := range []string{"text/html", "image/svg+xml", "application/xhtml+xml", "application/javascript"} {
		put, get := slot(kind, len(page))
		if status := send(put, kind, page+"more"); status/100 != 4 {
			t.Errorf("%s, larger than announced: %d", kind, status)
		}
		if status := send(put, kind, page[1:]); status/100 != 4 {
			t.Errorf("%s, smaller than announced: %d", kind, status)
		}
		if status := send(put, kind, page); status != http.StatusCreated {
			t.Fatalf("%s: %d", kind, status)
		}
		r, err := w.files().Get(get)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		h := r.Header
		if h.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(h.Get("Content-Disposition"), "attachment") || !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %v", kind, h)
		}
	}
}

// The work that a login costs does not tell whether there is such a user: an
// unknown name is hashed for as often, by the same hash.
func TestUserEnumerationByTime(t *testing.T) {
	w := secured(t)
	a := w.server.Admin().Auth
	before := map[string]string{}
	for _, name := range []string{"romeo", "nobody"} {
		c, err := tls.Dial("tcp", w.Addr(dialogue.DirectTLS), &tls.Config{RootCAs: w.Roots(), ServerName: "example.com", NextProtos: []string{"xmpp-client"}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		fmt.Fprint(c, "<stream:stream to='example.com' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")
		find(t, c, `(</stream:features>)`)
		for _, hash := range []string{"SHA-1", "SHA-256", "SHA-512"} {
			fmt.Fprintf(c, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-%s'>%s</auth>", hash, base64.StdEncoding.EncodeToString([]byte("n,,n="+name+",r=abc")))
			challenge, err := base64.StdEncoding.DecodeString(find(t, c, `<challenge[^>]*>([^<]+)</challenge>`))
			if err != nil {
				t.Fatal(err)
			}
			work := regexp.MustCompile(`r=[^,]+,s=([^,]+),(.*)`).FindStringSubmatch(string(challenge))
			if work == nil {
				t.Fatalf("%s", challenge)
			}
			asked := fmt.Sprint(len(work[1]), " ", work[2])
			if had, ok := before[hash]; ok && had != asked {
				t.Errorf("%s: %s for nobody, %s for somebody", hash, asked, had)
			}
			before[hash] = asked
			fmt.Fprint(c, "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
			find(t, c, `(</failure>)`)
		}
	}
	// What counts as a wrong password does so for both.
	wrong := a.Stats().Wrong.Load()
	for _, name := range []string{"romeo", "nobody"} {
		if _, err := login(w.Addr(dialogue.DirectTLS), "example.com", name, "wrong"); err == nil {
			t.Errorf("%s got in", name)
		}
	}
	if n := a.Stats().Wrong.Load() - wrong; n != 2 {
		t.Errorf("%d of 2 were wrong passwords", n)
	}
}

// Somebody who does not read what he is sent costs the server so much and no
// more, and holds up nobody else.
func TestASlowReader(t *testing.T) {
	w := secured(t, dialogue.Setting{Key: "limits.stanza", Value: "64KiB"}, dialogue.Setting{Key: "limits.out_buffer", Value: "64KiB"}, dialogue.Setting{Key: "roster.domain", Value: "off"})
	romeo, juliet := mustOnline(t, w.Addr(dialogue.DirectTLS), "romeo"), mustOnline(t, w.Addr(dialogue.DirectTLS), "juliet")
	counters := w.server.Admin().Live.Counters
	body := bytes.Repeat([]byte("a"), 50<<10)
	deadline := time.Now().Add(patience)
	for counters()["slow_peers"] == 0 {
		if time.Now().After(deadline) {
			t.Fatal("nobody is held to be slow")
		}
		// A headline is kept nowhere; the ping says that it was handled.
		fmt.Fprintf(romeo.conn, "<message type='headline' to='%s'><body>%s</body></message><iq type='get' id='p' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>", juliet.jid, body)
		if _, err := romeo.await("iq"); err != nil {
			t.Fatal(err)
		}
		if n := counters()["bytes_waiting"]; n > 256<<10 {
			t.Fatalf("%d bytes wait for her", n)
		}
	}
	if _, err := online(w.Addr(dialogue.DirectTLS), "example.com", "romeo", "pw-romeo"); err != nil {
		t.Error(err)
	}
	juliet.conn.Close()
}
