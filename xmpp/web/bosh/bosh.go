// Package bosh is the door for clients that speak XMPP in HTTP requests (XEP-0124,
// XEP-0206). There are no response acknowledgements, no several streams in a
// session and no script syntax.
package bosh

import (
	"crypto/rand"
	"errors"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"confab/xmpp"
	"confab/xmpp/c2s"
	"confab/xmpp/feature"
	"confab/xmpp/web"
)

// What sessions are granted. XEP-0124 §7.2 names the attributes.
const (
	maxWait    = 60 * time.Second
	maxHold    = 2
	inactivity = 60 * time.Second
	polling    = 5 * time.Second
	maxPause   = 2 * time.Minute

	// promptly is how long the answer to what a client has said may take to go out
	// with its request, if it polls.
	promptly = time.Second
	// maxQueued bounds what has come and is not read, in bytes.
	maxQueued = 8 << 20

	// maxSessions bounds the memory that all together take.
	maxSessions = 50_000
)

// Options are what the door needs. All but BodyTimeout are required.
type Options struct {
	Take    func(c2s.Arrival) bool // what sessions are handed to
	Origins func() web.Origins     // asked at each request
	// Limits tells how large an element may be, before a login and after it; a
	// request may have some of them.
	Limits func() (before, after int)
	// BodyTimeout is how long the body of a request may take to come; 0: 20 s.
	BodyTimeout time.Duration
	Clock       xmpp.Clock
}

// Routes is the door.
func Routes(o Options) []feature.Route { return newDoor(o).routes() }

func newDoor(o Options) *door {
	if o.BodyTimeout == 0 {
		o.BodyTimeout = 20 * time.Second
	}
	return &door{Options: o, sessions: map[string]*session{}}
}

func (d *door) routes() []feature.Route {
	return []feature.Route{
		{Pattern: "POST " + web.BOSHPath, Handler: http.HandlerFunc(d.post)},
		{Pattern: "OPTIONS " + web.BOSHPath, Handler: http.HandlerFunc(d.options)},
	}
}

type door struct {
	Options

	mu       sync.Mutex
	sessions map[string]*session
}

func (d *door) options(w http.ResponseWriter, r *http.Request) {
	if !d.Origins().CORS(w, r) {
		http.Error(w, "pages of this site may not connect", http.StatusForbidden)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (d *door) post(w http.ResponseWriter, r *http.Request) {
	if !d.Origins().CORS(w, r) {
		http.Error(w, "pages of this site may not connect", http.StatusForbidden)
		return
	}
	if !acceptable(r.Header) {
		http.Error(w, "XML in UTF-8, not compressed, is what is understood here", http.StatusUnsupportedMediaType)
		return
	}
	deadlines := http.NewResponseController(w)
	_ = deadlines.SetReadDeadline(time.Now().Add(d.BodyTimeout)) // a test's writer has none
	text, limit, err := d.read(r)
	if err != nil { // the deadline stays: the rest of the body is not waited for either
		w.Header().Set("Connection", "close")
		if errors.Is(err, errTooLong) {
			write(w, "", terminal(policyViolation, nil))
		} else {
			http.Error(w, "the request did not come whole", http.StatusRequestTimeout)
		}
		return
	}
	_ = deadlines.SetReadDeadline(time.Time{}) // or the connection would end while its request waits
	b, err := parse(text, limit)
	if err != nil {
		write(w, "", terminal(badRequest, nil))
		return
	}
	s, refused := d.session(b, r)
	if refused != none {
		write(w, "", terminal(refused, nil))
		return
	}
	_ = deadlines.SetWriteDeadline(time.Now().Add(maxWait + web.Timeout))
	answer := s.take(b)
	select {
	case text := <-answer:
		write(w, s.content, text)
	case <-r.Context().Done():
		s.gone(answer)
	}
}

// acceptable reports whether a body may be what is wanted. What HTML forms send
// is not; what else old clients call XML is let in (XEP-0124 §5).
func acceptable(h http.Header) bool {
	if e := h.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return false
	}
	text := h.Get("Content-Type")
	if text == "" {
		return true
	}
	kind, parameters, err := mime.ParseMediaType(text)
	if err != nil || kind == "multipart/form-data" || kind == "application/x-www-form-urlencoded" {
		return false
	}
	charset := parameters["charset"]
	return charset == "" || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "us-ascii")
}

var errTooLong = errors.New("bosh: the request is too long")

// wrapperRoom is what a body may have besides payloads.
const wrapperRoom = 4 << 10

var sidOf = regexp.MustCompile(`^\s*(?:<\?xml\s[^>]*>)?[^>]*\ssid\s*=\s*['"]([A-Za-z0-9]+)['"]`)

// read reads a request as far as its session may send so much at once.
func (d *door) read(r *http.Request) (text []byte, limit int, err error) {
	before, after := d.Limits()
	limit = before + wrapperRoom
	text, err = io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
	if err != nil || len(text) <= limit {
		return text, limit, err
	}
	m := sidOf.FindSubmatch(text[:wrapperRoom])
	if m == nil {
		return nil, 0, errTooLong
	}
	if s := d.find(string(m[1])); s == nil || !s.loggedIn.Load() {
		return nil, 0, errTooLong
	}
	// What waits in a client while it has no request free comes all at once.
	limit = 4*after + wrapperRoom
	more, err := io.ReadAll(io.LimitReader(r.Body, int64(limit+1-len(text))))
	if text = append(text, more...); err == nil && len(text) > limit {
		err = errTooLong
	}
	return text, limit, err
}

func (d *door) find(sid string) *session {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sessions[sid]
}

func (d *door) forget(s *session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sessions, s.sid)
}

// session is the one that a request is of: a new one if it names none.
func (d *door) session(b *body, r *http.Request) (*session, condition) {
	if _, ok := b.node.Lookup("sid"); ok {
		if s := d.find(b.sid); s != nil {
			return s, none
		}
		return nil, itemNotFound
	}
	if b.node.Attr("to") == "" {
		return nil, improperAddressing
	}
	s, refused := d.create(b, r)
	if refused != none {
		return nil, refused
	}
	d.mu.Lock()
	if len(d.sessions) >= maxSessions {
		d.mu.Unlock()
		return nil, internalServerError
	}
	d.sessions[s.sid] = s
	d.mu.Unlock()
	if !d.Take(c2s.Arrival{Conn: s, Peer: s.peer, Transport: "bosh"}) {
		d.forget(s)
		return nil, internalServerError
	}
	return s, none
}

// create makes a session as its first request asks for it (XEP-0124 §7.1).
func (d *door) create(b *body, r *http.Request) (*session, condition) {
	s := &session{
		door: d, sid: rand.Text(), peer: web.PeerOf(r).Addr, wait: maxWait, hold: 1, first: true,
		last: b.rid - 1, early: map[uint64]*request{},
	}
	s.changed.L = &s.mu
	var ok bool
	if s.content, ok = contentType(b.node.Attr("content")); !ok || b.terminate || b.restart || b.rid == 0 {
		return nil, badRequest
	}
	for name, use := range map[string]func(int){
		"wait": func(n int) { s.wait = min(s.wait, time.Duration(n)*time.Second) },
		"hold": func(n int) { s.hold = min(maxHold, n) },
	} {
		text, ok := b.node.Lookup(name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return nil, badRequest
		}
		use(int(min(n, 3600)))
	}
	if s.wait == 0 {
		s.hold = 0
	}
	s.requests = s.hold + 1
	s.attributes = s.granted(b.node.Attr("ver"))
	return s, none
}

// granted are the attributes of the answer to a session's first request (§7.2).
func (s *session) granted(version string) string {
	b := xmpp.AppendAttr(nil, "sid", s.sid)
	for _, a := range []struct {
		name  string
		value int
	}{
		{"wait", int(s.wait / time.Second)}, {"requests", s.requests}, {"hold", s.hold},
		{"inactivity", int(inactivity / time.Second)}, {"polling", int(polling / time.Second)}, {"maxpause", int(maxPause / time.Second)},
	} {
		b = xmpp.AppendAttr(b, a.name, strconv.Itoa(a.value))
	}
	b = xmpp.AppendAttr(b, "ver", lower(version))
	b = append(b, " xmlns:xmpp='"+NSXMPP+"' xmpp:version='1.0' xmpp:restartlogic='true'"...)
	return string(b)
}

// lower is the version of XEP-0124 that both sides speak.
func lower(theirs string) string {
	const ours, minor = "1.11", 11
	before, after, _ := strings.Cut(theirs, ".")
	if n, err := strconv.Atoi(after); before == "1" && err == nil && n >= 0 && n < minor {
		return "1." + strconv.Itoa(n)
	}
	return ours
}

// contentType is the type of a session's answers, if it is one that a client may
// wish for.
func contentType(wish string) (string, bool) {
	if wish == "" {
		return "text/xml; charset=utf-8", true
	}
	kind, parameters, err := mime.ParseMediaType(wish)
	if charset := parameters["charset"]; err != nil || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return "", false
	}
	switch kind {
	case "text/xml", "application/xml", "text/plain", "text/html":
		return kind + "; charset=utf-8", true
	}
	return "", false
}

func write(w http.ResponseWriter, content string, text []byte) {
	if content == "" {
		content = "text/xml; charset=utf-8"
	}
	h := w.Header()
	h.Set("Content-Type", content)
	h.Set("Content-Length", strconv.Itoa(len(text)))
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(text) // a client that did not get it asks again
}
