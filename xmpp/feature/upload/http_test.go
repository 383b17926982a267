package upload

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"confab/xmpp/directory"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/store/storetest"
)

// do makes a request without a socket.
func (h *house) do(method, path, body string, header ...string) *http.Response {
	h.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if r.Header.Get("Content-Length") == "none" {
		r.ContentLength = -1
	}
	w := httptest.NewRecorder()
	h.mux.ServeHTTP(w, r)
	return w.Result()
}

// send uploads and checks the status.
func (h *house) send(path, body string, status int, header ...string) {
	h.t.Helper()
	if got := h.do("PUT", path, body, header...); got.StatusCode != status {
		text, _ := io.ReadAll(got.Body)
		h.t.Errorf("PUT %s: %d %s", path, got.StatusCode, text)
	}
}

// fetch gets a file, checks the status and returns the content.
func (h *house) fetch(path string, status int, header ...string) (*http.Response, string) {
	h.t.Helper()
	got := h.do("GET", path, "", header...)
	text, err := io.ReadAll(got.Body)
	if got.StatusCode != status || err != nil {
		h.t.Errorf("GET %s: %d %v", path, got.StatusCode, err)
	}
	return got, string(text)
}

func TestSentAndFetched(t *testing.T) {
	h := open(t)
	romeo := h.Online(t, "romeo@example.com/orchard")
	path := h.slot(romeo, "filename='très cool.jpg' size='11' content-type='image/jpeg'")
	h.fetch(path, 404)
	h.send(path, "hello world", 201, "Content-Type", "image/jpeg")
	h.send(path, "hello world", 409)
	h.send(path, "other words", 409)
	if files := h.onDisk(); len(files) != 1 || !strings.HasPrefix(files[0], h.opts.Folder) || strings.Contains(files[0], "cool") {
		t.Errorf("on disk: %q", files)
	}

	got, text := h.fetch(path, 200)
	if text != "hello world" {
		t.Errorf("got %q", text)
	}
	for name, want := range map[string]string{
		"Content-Type": "image/jpeg", "Content-Length": "11", "Content-Disposition": "inline; filename*=utf-8''tr%C3%A8s%20cool.jpg",
		"X-Content-Type-Options":  "nosniff",
		"Content-Security-Policy": "default-src 'none'; img-src 'self'; media-src 'self'; frame-ancestors 'none'; sandbox",
		"Accept-Ranges":           "bytes", "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "",
		"Cache-Control": "private, max-age=31536000, immutable", "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT",
	} {
		if value := got.Header.Get(name); value != want {
			t.Errorf("%s: %q, not %q", name, value, want)
		}
	}

	head := h.do("HEAD", path, "")
	if body, _ := io.ReadAll(head.Body); head.StatusCode != 200 || len(body) != 0 || head.Header.Get("Content-Length") != "11" {
		t.Errorf("HEAD: %d %q %v", head.StatusCode, body, head.Header)
	}
	part, text := h.fetch(path, 206, "Range", "bytes=6-")
	if text != "world" || part.Header.Get("Content-Range") != "bytes 6-10/11" {
		t.Errorf("a part: %q %v", text, part.Header)
	}
	if _, text = h.fetch(path, 206, "Range", "bytes=-3"); text != "rld" {
		t.Errorf("the end: %q", text)
	}
	if _, text = h.fetch(path, 206, "Range", "bytes=0-3", "If-Range", got.Header.Get("ETag")); text != "hell" {
		t.Errorf("if unchanged: %q", text)
	}
	h.fetch(path, 416, "Range", "bytes=11-")
	h.fetch(path, 304, "If-None-Match", got.Header.Get("ETag"))

	if f, ok, err := h.Find(t.Context(), "https://old.example.com"+path); !ok || err != nil || f.Name != "très cool.jpg" || f.Size != 11 || f.Owner != h.ID("romeo@example.com") {
		t.Errorf("found %+v, %v, %v", f, ok, err)
	}
	if _, ok, err := h.Find(t.Context(), "https://example.com/"); ok || err != nil {
		t.Errorf("found what is none: %v", err)
	}
}

// A browser shows pictures and the like, and saves everything else.
func TestWhatIsShown(t *testing.T) {
	h := open(t)
	romeo := h.Online(t, "romeo@example.com/orchard")
	for _, test := range []struct{ announced, sent, kept, disposition string }{
		{"image/png", "image/png", "image/png", "inline"},
		{"IMAGE/PNG", "image/png", "image/png", "inline"},
		{"image/png", "", "image/png", "inline"},
		{"", "image/png", "image/png", "inline"},
		{"", "", "application/octet-stream", "attachment"},
		{"", "nonsense", "application/octet-stream", "attachment"},
		{"text/plain", "text/plain", "text/plain; charset=utf-8", "inline"},
		{"text/plain; charset=koi8-r", "text/plain", "text/plain; charset=koi8-r", "inline"},
		{"video/mp4", "video/mp4", "video/mp4", "inline"},
		{"text/html", "text/html", "text/html", "attachment"},
		{"text/html;x=image/png", "text/html", "text/html", "attachment"},
		{"application/xhtml+xml", "application/xhtml+xml", "application/xhtml+xml", "attachment"},
		{"image/svg+xml", "image/svg+xml", "image/svg+xml", "attachment"},
		{"application/pdf", "application/pdf", "application/pdf", "attachment"},
		{"text/javascript", "text/javascript", "text/javascript", "attachment"},
	} {
		path := h.slot(romeo, "filename='a' size='3' content-type='"+test.announced+"'")
		h.send(path, "abc", 201, "Content-Type", test.sent)
		got, _ := h.fetch(path, 200)
		if kind, want := got.Header.Get("Content-Type"), test.kept; kind != want {
			t.Errorf("%+v: type %s", test, kind)
		}
		if text := got.Header.Get("Content-Disposition"); text != test.disposition+"; filename=a" {
			t.Errorf("%+v: %s", test, text)
		}
	}
}

func TestNotAsAnnounced(t *testing.T) {
	h := open(t)
	romeo := h.Online(t, "romeo@example.com/orchard")
	path := h.slot(romeo, "filename='a' size='3' content-type='image/png'")
	h.send(path, "ab", 400)
	h.send(path, "abcd", 413)
	h.send(path, "abc", 411, "Content-Length", "none")
	h.send(path, "", 400)
	h.send(path, "abc", 415, "Content-Type", "text/html")
	h.send(path[:len(path)-1]+"b", "abc", 404)
	if files := h.onDisk(); len(files) != 0 {
		t.Errorf("left: %q", files)
	}
	h.send(path, "abc", 201) // the slot is as good as before
	if n := h.Clock.Timers(); n != 0 {
		t.Errorf("%d timers are left of a slot that was used", n)
	}
}

// Nothing in an address leads anywhere but to the files.
func TestPathTricks(t *testing.T) {
	h := open(t)
	romeo := h.Online(t, "romeo@example.com/orchard")
	path := h.slot(romeo, "filename='a.txt' size='3'")
	h.send(path, "abc", 201)
	id := strings.Split(path, "/")[2]
	secret := filepath.Join(filepath.Dir(h.opts.Folder), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"/upload/", "/upload/" + id, "/upload/" + id + "/", "/upload/" + id + "/b.txt", "/upload/" + id + "/a.txt/", "/upload/" + id + "/a.txt%00",
		"/upload/" + strings.ToUpper(id) + "/a.txt", "/upload/" + id + "a/a.txt",
		"/upload/..%2fsecret/a.txt", "/upload/%2e%2e/secret", "/upload/" + id + "/..%2f..%2f..%2fsecret", "/upload/" + id + "/%2e%2e%2f%2e%2e%2fsecret",
		"/upload/..%5c..%5csecret/a.txt", "/upload/" + id[:2] + "/" + id, "/upload/half/" + id, "/upload/%00/a", "/upload//etc/passwd",
	} {
		for _, method := range []string{"GET", "PUT"} {
			got := h.do(method, path, "abc")
			if body, _ := io.ReadAll(got.Body); got.StatusCode < 300 || bytes.Contains(body, []byte("secret\n")) || string(body) == "secret" {
				t.Errorf("%s %s: %d %q", method, path, got.StatusCode, body)
			}
		}
	}
	if files := h.onDisk(); len(files) != 1 {
		t.Errorf("on disk: %q", files)
	}
	for _, method := range []string{"POST", "DELETE", "PATCH"} {
		if got := h.do(method, path, "abc"); got.StatusCode != 405 {
			t.Errorf("%s: %d", method, got.StatusCode)
		}
	}
}

// A web client of another host may send and fetch (trap 25 of browsers: they ask
// first, and see no answer without the header, be it an error).
func TestSharing(t *testing.T) {
	h := open(t)
	romeo := h.Online(t, "romeo@example.com/orchard")
	path := h.slot(romeo, "filename='a' size='3'")
	got := h.do("OPTIONS", path, "", "Origin", "https://chat.example", "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "content-type")
	if got.StatusCode != 204 {
		t.Errorf("preflight: %d", got.StatusCode)
	}
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS, PUT",
		"Access-Control-Allow-Headers": "Content-Type, Range, If-None-Match, If-Range", "Access-Control-Allow-Credentials": "",
	} {
		if value := got.Header.Get(name); value != want {
			t.Errorf("%s: %q", name, value)
		}
	}
	for _, test := range []struct{ method, path, body string }{{"PUT", path, "abcd"}, {"PUT", path, "abc"}, {"GET", path, ""}, {"HEAD", path, ""}, {"GET", path + "x", ""}} {
		if got := h.do(test.method, test.path, test.body); got.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%v: %d, and nobody sees it", test, got.StatusCode)
		}
	}
}

func TestSlotsExpire(t *testing.T) {
	h := open(t)
	romeo := h.Online(t, "romeo@example.com/orchard")
	path := h.slot(romeo, "filename='a' size='3'")
	h.Clock.Pass(slotLife - time.Second)
	late := h.slot(romeo, "filename='a' size='3'")
	h.Clock.Pass(time.Second)
	h.send(path, "abc", 404)
	h.send(late, "abc", 201)
	h.Clock.Pass(slotLife)
	h.send(late, "abc", 409)
	h.fetch(late, 200)
}

func TestWhoIsGoneSendsNothing(t *testing.T) {
	h := open(t)
	romeo, juliet := h.Online(t, "romeo@example.com/orchard"), h.Online(t, "juliet@example.com/balcony")
	first, second := h.slot(romeo, "filename='a' size='3'"), h.slot(juliet, "filename='a' size='3'")
	if err := h.Directory.Update(t.Context(), h.ID("romeo@example.com"), func(u *directory.User) { u.Disabled = true }); err != nil {
		t.Fatal(err)
	}
	if err := h.Directory.Delete(t.Context(), h.ID("juliet@example.com")); err != nil {
		t.Fatal(err)
	}
	h.send(first, "abc", 403)
	h.send(second, "abc", 403)
}

// halfway is a connection on which an upload has begun.
func (h *house) halfway(p *featuretest.Person, size int) (path string, conn net.Conn) {
	h.t.Helper()
	s := httptest.NewServer(h.mux)
	h.t.Cleanup(s.Close)
	path = h.slot(p, fmt.Sprintf("filename='a' size='%d'", size))
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: example.com\r\nContent-Length: %d\r\n\r\nabc", path, size)
	id, _ := parseID(strings.Split(path, "/")[2])
	featuretest.Eventually(h.t, "the upload to begin", func() bool {
		info, err := os.Stat(filepath.Join(h.opts.Folder, halves, id.String()))
		return err == nil && info.Size() == 3
	})
	return path, conn
}

// timed is an answer that knows until when a request may come, and be answered.
type timed struct {
	*httptest.ResponseRecorder
	read, write time.Time
}

func (w *timed) SetReadDeadline(t time.Time) error  { w.read = t; return nil }
func (w *timed) SetWriteDeadline(t time.Time) error { w.write = t; return nil }

// pieces is a body that comes in pieces, each after the time that was given for the last.
type pieces struct {
	*timed
	list  []string
	fault string
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.read.IsZero() || p.write.Before(p.read) {
		p.fault = fmt.Sprintf("what comes until %v is to be answered until %v", p.read, p.write)
	}
	p.read, p.write = time.Time{}, time.Time{}
	if len(p.list) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.list[0])
	p.list = p.list[1:]
	return n, nil
}

// An upload may take as long as something comes: over HTTP/2 the time for the answer runs from the beginning of the request.
func TestLongUpload(t *testing.T) {
	h := open(t)
	path := h.slot(h.Online(t, "romeo@example.com/orchard"), "filename='a' size='9'")
	w := &timed{ResponseRecorder: httptest.NewRecorder()}
	body := &pieces{timed: w, list: []string{"abc", "def", "ghi"}}
	r := httptest.NewRequest("PUT", path, body)
	r.ContentLength = 9
	h.mux.ServeHTTP(w, r)
	if w.Code != 201 || body.fault != "" {
		t.Errorf("%d, %s", w.Code, body.fault)
	}
}

func TestHalfUpload(t *testing.T) {
	h := open(t)
	romeo := h.Online(t, "romeo@example.com/orchard")
	path, conn := h.halfway(romeo, 6)
	h.send(path, "abcdef", 409) // one at a time
	h.fetch(path, 404)
	conn.Close()
	featuretest.Eventually(t, "the half to go", func() bool { return len(h.onDisk()) == 0 })
	featuretest.Eventually(t, "the slot to be free", func() bool { return h.do("PUT", path, "abcdef").StatusCode == 201 })

	// One that goes on past the life of its slot is taken.
	path, conn = h.halfway(romeo, 6)
	h.Clock.Pass(2 * slotLife)
	h.send(path, "abcdef", 409)
	fmt.Fprint(conn, "def")
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != 201 {
		t.Errorf("%d", answer.StatusCode)
	}
	if _, text := h.fetch(path, 200); text != "abcdef" {
		t.Errorf("got %q", text)
	}

	// One that breaks off then is gone for good.
	path, conn = h.halfway(romeo, 6)
	h.Clock.Pass(2 * slotLife)
	conn.Close()
	featuretest.Eventually(t, "the slot to go", func() bool { return h.do("PUT", path, "abcdef").StatusCode == 404 })
	if files := h.onDisk(); len(files) != 2 {
		t.Errorf("on disk: %q", files)
	}
	if n := h.Stats.Stored.Load(); n != 2 {
		t.Errorf("%d files were counted", n)
	}
}

// What cannot be noted is not kept.
func TestStoreFails(t *testing.T) {
	h := open(t)
	romeo := h.Online(t, "romeo@example.com/orchard")
	path := h.slot(romeo, "filename='a' size='3'")
	failing := storetest.Fail(h.State)
	h.Host.State = failing
	failing.Fail(syscall.ENOSPC)
	h.send(path, "abc", 507)
	failing.Fail(storetest.ErrFull)
	h.send(path, "abc", 500)
	failing.Fail(nil)
	if files := h.onDisk(); len(files) != 0 {
		t.Errorf("left: %q", files)
	}
	h.send(path, "abc", 201)

	// A record without its file is a fault, and is told so.
	id, _ := parseID(strings.Split(path, "/")[2])
	if err := os.Remove(h.place(id)); err != nil {
		t.Fatal(err)
	}
	h.fetch(path, 500)
	if n, err := h.remove(context.Background(), []ID{id}); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	h.fetch(path, 404)
}
