package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"confab/cmd/internal/admin"
	"confab/cmd/internal/dialogue"
)

// files is a client's side of the web: it takes the server's certificate, and
// finds every host at the server's address.
func (w *world) files() *http.Client {
	address := w.server.Listening()["https"][0]
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		Proxy:           func(*http.Request) (*url.URL, error) { return nil, nil },
		TLSClientConfig: &tls.Config{RootCAs: w.Roots(), ServerName: "example.com"},
		DialContext:     dialTo(address),
	}}
}

// upload sends a file as a client does, and returns its address.
func (w *world) upload(c *client, name, content string) string {
	w.t.Helper()
	err := c.send(fmt.Sprintf("<iq type='get' id='slot' to='upload.example.com'><request xmlns='urn:xmpp:http:upload:0' filename='%s' size='%d' content-type='image/png'/></iq>", name, len(content)))
	if err != nil {
		w.t.Fatal(err)
	}
	answer, err := c.await("iq")
	if err != nil {
		w.t.Fatal(err)
	}
	put, get := answer.child("slot").child("put").attr("url"), answer.child("slot").child("get").attr("url")
	r, err := http.NewRequest("PUT", put, strings.NewReader(content))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "image/png")
	done, err := w.files().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	done.Body.Close()
	if done.StatusCode != http.StatusCreated {
		w.t.Fatalf("PUT %s: %s", put, done.Status)
	}
	return get
}

// fetch gets a file and returns its content, or the status if that is no 200.
func (w *world) fetch(address string) string {
	w.t.Helper()
	got, err := w.files().Get(address)
	if err != nil {
		w.t.Fatal(err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if got.StatusCode != http.StatusOK {
		return got.Status
	}
	return string(body)
}

// A file is sent, fetched, found in the history, and kept as long as the history
// that links it.
func TestFiles(t *testing.T) {
	w := startWorld(t, dialogue.Scene{Domains: []dialogue.Domain{{Name: "example.com", Users: []dialogue.User{
		{Local: "alice", Password: "pw-alice"}, {Local: "bob", Password: "pw-bob"},
	}}}, Settings: []dialogue.Setting{{Key: "archive.retention", Value: "30d"}}}).(*world)
	alice, err := online(w.Addr(dialogue.DirectTLS), "example.com", "alice", "pw-alice")
	if err != nil {
		t.Fatal(err)
	}
	defer alice.conn.Close()
	content := strings.Repeat("png", 1<<18)
	addresses := map[string]string{}
	for _, name := range []string{"sent.png", "own.png", "unsent.png"} {
		addresses[name] = w.upload(alice, name, content)
		if got := w.fetch(addresses[name]); got != content {
			t.Errorf("%s: fetched %.20s…, %d bytes", name, got, len(got))
		}
	}
	say := func(to, text string) {
		t.Helper()
		if err := alice.send(fmt.Sprintf("<message type='chat' to='%s@example.com'><body>%s</body></message><iq type='get' id='p' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>", to, text)); err != nil {
			t.Fatal(err)
		}
		if _, err := alice.await("iq"); err != nil {
			t.Fatal(err)
		}
	}
	say("bob", addresses["sent.png"])
	say("alice", addresses["own.png"])

	listed, err := w.Operate("", "history", "files", "alice", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range lines[admin.SharedFile](t, listed) {
		found = append(found, fmt.Sprint(f.Name, " ", f.Type, " ", f.Size, " ", f.URL == addresses[f.Name]))
	}
	if got := fmt.Sprint(found); got != "[sent.png image/png 786432 true own.png image/png 786432 true]" {
		t.Errorf("history files: %s", got)
	}

	if err := w.Stop(dialogue.Orderly); err != nil {
		t.Fatal(err)
	}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	for name, address := range addresses { // the port may be another one
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.fetch("https://example.com" + u.Path); got != content {
			t.Errorf("%s, after a restart: %.20s", name, got)
		}
	}

	// Her history goes; bob still has one of the messages.
	printed, err := w.Operate("", "user", "delete", "alice", "--purge", "--yes")
	if err != nil || !strings.Contains(printed, "messages purged: 2, files: 2") {
		t.Errorf("%v: %s", err, printed)
	}
	for name, want := range map[string]string{"sent.png": content, "own.png": "404 Not Found", "unsent.png": "404 Not Found"} {
		if got := w.fetch(addresses[name]); got != want {
			t.Errorf("%s, after the purge: %.20s", name, got)
		}
	}

	// His message ends by its age, and the file with it.
	w.Advance(31 * 24 * time.Hour)
	if got := w.fetch(addresses["sent.png"]); got != content {
		t.Errorf("too early: %.20s", got)
	}
	w.Advance(4 * 24 * time.Hour)
	if got := w.fetch(addresses["sent.png"]); got != "404 Not Found" {
		t.Errorf("too late: %.20s", got)
	}
	if left, err := filepath.Glob(filepath.Join(w.loaded.Data, "upload", "??", "*")); len(left) > 0 || err != nil {
		t.Errorf("left on disk: %q, %v", left, err)
	}
}

// dialTo connects to one address, whatever is asked for.
func dialTo(address string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}
