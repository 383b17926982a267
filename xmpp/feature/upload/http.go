package upload

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// patience is how long a peer may take for the next piece of a file.
const patience = time.Minute

// shared lets web clients from anywhere use the addresses (§8): what is behind
// them is open to everybody who knows them, and nobody logs in.
func shared(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Access-Control-Allow-Origin", "*")
		head.Set("Access-Control-Expose-Headers", "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag")
		head.Set("Cross-Origin-Resource-Policy", "cross-origin")
		h(w, r)
	})
}

// preflight answers what a browser asks before it sends or fetches something.
func preflight(w http.ResponseWriter, _ *http.Request) {
	head := w.Header()
	head.Set("Allow", "GET, HEAD, OPTIONS, PUT")
	head.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS, PUT")
	head.Set("Access-Control-Allow-Headers", "Content-Type, Range, If-None-Match, If-Range")
	head.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
}

// refusal is why a file was not taken.
type refusal struct {
	status int
	text   string
}

func (e *refusal) Error() string { return e.text }

// put takes a file (§7).
func (u *Uploads) put(w http.ResponseWriter, r *http.Request) {
	s, err := u.admit(r)
	if err == nil {
		err = u.receive(w, r, s)
	}
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(patience)) // no news if w has none
	if err == nil {
		w.WriteHeader(http.StatusCreated)
		return
	}
	u.Stats.Failed.Add(1)
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		http.Error(w, refused.text, refused.status)
	case errors.Is(err, errQuota):
		http.Error(w, "there are as many files of yours as there may be", http.StatusInsufficientStorage)
	case errors.Is(err, syscall.ENOSPC):
		u.host.Log.Error("the disk is full, a file was not taken", "error", err)
		http.Error(w, "there is no space left", http.StatusInsufficientStorage)
	default:
		u.host.Log.Error("a file was not taken", "error", err)
		http.Error(w, "the file could not be kept", http.StatusInternalServerError)
	}
}

// admit finds the slot of an upload, and holds the upload against it before
// anything of it is read.
func (u *Uploads) admit(r *http.Request) (*slot, error) {
	id, ok := parseID(r.PathValue("id"))
	if !ok {
		return nil, &refusal{http.StatusNotFound, "there is no such slot"}
	}
	s, busy := u.slots.find(id)
	if s == nil {
		if _, there, err := u.file(r.Context(), id); err != nil {
			return nil, err
		} else if there {
			return nil, &refusal{http.StatusConflict, "the file is here already"}
		}
	}
	switch {
	case s == nil || s.name != r.PathValue("name"):
		return nil, &refusal{http.StatusNotFound, "there is no such slot; slots can be used for five minutes"}
	case busy:
		return nil, &refusal{http.StatusConflict, "another upload to this slot is under way"}
	case r.ContentLength < 0:
		return nil, &refusal{http.StatusLengthRequired, "Content-Length is missing"}
	case r.ContentLength > s.size:
		return nil, &refusal{http.StatusRequestEntityTooLarge, "the file is larger than announced"}
	case r.ContentLength < s.size:
		return nil, &refusal{http.StatusBadRequest, "the file is smaller than announced"}
	}
	if text := r.Header.Get("Content-Type"); text != "" && s.mediaType != "" && kindOf(normalType(text)) != kindOf(s.mediaType) {
		return nil, &refusal{http.StatusUnsupportedMediaType, "the file is of another type than announced"}
	}
	if owner := u.host.Directory.ByID(s.owner); owner == nil || owner.Disabled {
		return nil, &refusal{http.StatusForbidden, "the account was disabled or deleted"}
	}
	if !u.slots.take(s) {
		return nil, &refusal{http.StatusConflict, "another upload to this slot is under way"}
	}
	return s, nil
}

// receive writes an upload to disk. Nothing of it is left if it fails.
func (u *Uploads) receive(w http.ResponseWriter, r *http.Request, s *slot) (err error) {
	defer func() {
		if err != nil {
			u.slots.back(s)
		} else {
			u.slots.done(s)
		}
	}()
	half, err := u.half(s.id)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			half.Close()
			os.Remove(half.Name())
		}
	}()
	body := &arriving{body: r.Body, control: http.NewResponseController(w)}
	n, err := io.Copy(half, body)
	if body.broken != nil || err == nil && n != s.size {
		return &refusal{http.StatusBadRequest, "the upload broke off"}
	}
	if err != nil {
		return err
	}
	if err := u.settle(half, s.id); err != nil {
		return err
	}
	f := &File{ID: s.id, Owner: s.owner, Created: u.host.Now(), Size: s.size, MediaType: s.mediaType, Name: s.name}
	if f.MediaType == "" {
		if f.MediaType = normalType(r.Header.Get("Content-Type")); f.MediaType == "" {
			f.MediaType = "application/octet-stream"
		}
	}
	if err := u.record(context.WithoutCancel(r.Context()), f); err != nil {
		os.Remove(u.place(s.id))
		return err
	}
	u.Stats.Stored.Add(1)
	u.Stats.StoredBytes.Add(s.size)
	return nil
}

// arriving is the body of an upload. Each piece has its own time.
type arriving struct {
	body    io.Reader
	control *http.ResponseController
	broken  error // by the peer, not by our disk
}

func (a *arriving) Read(p []byte) (int, error) {
	until := time.Now().Add(patience)
	a.control.SetReadDeadline(until)
	a.control.SetWriteDeadline(until) // HTTP/2 ends a request whose answer is late, even while it is still coming
	n, err := a.body.Read(p)
	if err != nil && err != io.EOF {
		a.broken = err
	}
	return n, err
}

// leaving is a file on its way to a peer. Each piece has its own time.
type leaving struct {
	io.ReadSeeker
	deadline func(time.Time) error
}

func (l *leaving) Read(p []byte) (int, error) {
	l.deadline(time.Now().Add(patience))
	return l.ReadSeeker.Read(p)
}

// get hands out a file.
func (u *Uploads) get(w http.ResponseWriter, r *http.Request) {
	f, content, err := u.open(r)
	if err != nil {
		u.host.Log.Error("a file could not be read", "error", err)
		http.Error(w, "the file could not be read", http.StatusInternalServerError)
		return
	}
	if content == nil {
		http.NotFound(w, r)
		return
	}
	defer content.Close()
	head := w.Header()
	head.Set("Content-Type", f.MediaType)
	head.Set("Content-Disposition", disposition(f))
	// A page that somebody uploaded must not act in the name of this host.
	head.Set("Content-Security-Policy", "default-src 'none'; img-src 'self'; media-src 'self'; frame-ancestors 'none'; sandbox")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Cache-Control", "private, max-age=31536000, immutable")
	head.Set("ETag", `"`+f.ID.String()+`"`)
	u.Stats.Served.Add(1)
	http.ServeContent(w, r, "", f.Created, &leaving{content, http.NewResponseController(w).SetWriteDeadline})
}

// open opens the file of a request; content is nil if there is none.
func (u *Uploads) open(r *http.Request) (f File, content *os.File, err error) {
	id, ok := parseID(r.PathValue("id"))
	if !ok {
		return f, nil, nil
	}
	f, ok, err = u.file(r.Context(), id)
	if err != nil || !ok || f.Name != r.PathValue("name") { // an address under another name may lie about what is behind it
		return f, nil, err
	}
	content, err = os.Open(u.place(id))
	if errors.Is(err, os.ErrNotExist) { // removed this moment
		if _, ok, _ := u.file(r.Context(), id); !ok {
			return f, nil, nil
		}
	}
	return f, content, err
}

// harmless are the types that a browser may show: no script runs in them.
var harmless = []string{
	"audio/aac", "audio/amr", "audio/flac", "audio/m4a", "audio/mp4", "audio/mpeg", "audio/ogg", "audio/opus", "audio/wav", "audio/webm", "audio/x-m4a", "audio/x-wav",
	"image/apng", "image/avif", "image/bmp", "image/gif", "image/heic", "image/heif", "image/jpeg", "image/jxl", "image/png", "image/webp",
	"text/plain",
	"video/3gpp", "video/mp4", "video/mpeg", "video/ogg", "video/quicktime", "video/webm", "video/x-matroska",
}

// disposition says whether a browser shows a file or saves it.
func disposition(f File) string {
	kind := "attachment"
	if slices.Contains(harmless, kindOf(f.MediaType)) {
		kind = "inline"
	}
	if text := mime.FormatMediaType(kind, map[string]string{"filename": f.Name}); text != "" && !strings.ContainsAny(text, "\r\n") {
		return text
	}
	return kind
}
