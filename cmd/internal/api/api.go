// Package api offers the operations of package admin over HTTP, with the names
// that they have on the command line: POST /api/v1/alias/create carries out
// 'alias create', with its parameters as a JSON object. GET /api/v1/ lists what
// there is.
//
// Who asks shows a token, which 'confab token create' makes, in the header
// Authorization; there are no cookies and no passwords, so nothing that a
// browser would send by itself. Requests that a page in a browser makes are
// refused, whoever they are from.
package api

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"confab/cmd/internal/admin"
	"confab/xmpp"
	"confab/xmpp/feature"
)

// Options are what the API needs.
type Options struct {
	Admin   func() *admin.Admin
	Enabled func() bool // asked at each request
	Clock   xmpp.Clock
	Log     *slog.Logger
	Stats   *Stats // may be nil
}

// Stats counts requests; every field may be read at any time.
type Stats struct {
	Requests atomic.Int64
	Refused  atomic.Int64 // without a token that is good, or too many
}

const (
	prefix = "/api/v1/"

	// maxBody bounds the parameters of a request: an import of 20,000 users fits.
	maxBody = 8 << 20
	// patience is how long an operation may take.
	patience = 10 * time.Minute
)

// Routes are the API as package web takes it.
func Routes(o Options) []feature.Route {
	if o.Stats == nil {
		o.Stats = new(Stats)
	}
	a := &api{Options: o, guard: newGuard(o.Clock)}
	return []feature.Route{{Pattern: "/api/", Handler: a}}
}

type api struct {
	Options
	guard *guard
}

// status is the HTTP status of a kind of failure.
var status = map[admin.Code]int{
	admin.Usage: http.StatusBadRequest, admin.NotFound: http.StatusNotFound, admin.Conflict: http.StatusConflict,
	admin.Forbidden: http.StatusForbidden, admin.NotRunning: http.StatusServiceUnavailable, admin.Failed: http.StatusInternalServerError,
}

// refuse answers with an error, in the form that failures of operations have.
func refuse(w http.ResponseWriter, code int, kind admin.Code, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": &admin.Error{Code: kind, Text: text}})
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if !a.Enabled() {
		http.NotFound(w, r)
		return
	}
	if r.Header.Get("Origin") != "" || strings.HasPrefix(r.Header.Get("Sec-Fetch-Site"), "cross") {
		refuse(w, http.StatusForbidden, admin.Forbidden, "this is for programs, not for pages in a browser")
		return
	}
	a.Stats.Requests.Add(1)
	token, ok := a.authenticate(w, r)
	if !ok {
		a.Stats.Refused.Add(1)
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, prefix)
	if !ok {
		refuse(w, http.StatusNotFound, admin.NotFound, "the API is at "+prefix)
		return
	}
	if path == "" {
		a.list(w, r, token)
		return
	}
	op := admin.Named(strings.ReplaceAll(path, "/", " "))
	switch {
	case op == nil || op.AtDesk || strings.Contains(path, " "):
		refuse(w, http.StatusNotFound, admin.NotFound, "there is no such operation; GET "+prefix+" lists all")
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, admin.Usage, "operations are POSTed")
	default:
		a.perform(w, r, token, op)
	}
}

// authenticate finds the token of a request; if it is not ok, the request is answered.
func (a *api) authenticate(w http.ResponseWriter, r *http.Request) (admin.Token, bool) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	var token admin.Token
	var ok bool
	if strings.EqualFold(scheme, "Bearer") {
		var err error
		if token, ok, err = a.Admin().Authenticate(r.Context(), strings.TrimSpace(text)); err != nil {
			a.Log.Error("a token could not be looked up", "error", err)
			refuse(w, http.StatusInternalServerError, admin.Failed, "this failed; the log says more")
			return token, false
		}
	}
	if !ok {
		if !a.guard.allow("address "+r.RemoteAddr, failures) {
			w.Header().Set("Retry-After", "60")
			refuse(w, http.StatusTooManyRequests, admin.Forbidden, "too many requests without a token")
			return token, false
		}
		if r.Header.Get("Authorization") != "" {
			a.Log.Warn("somebody showed a token that is none", "from", r.RemoteAddr)
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="confab"`)
		refuse(w, http.StatusUnauthorized, admin.Forbidden, "show a token: Authorization: Bearer …; 'confab token create' makes one")
		return token, false
	}
	if !a.guard.allow("token "+token.Name, requests) {
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusTooManyRequests, admin.Forbidden, "too many requests")
		return token, false
	}
	return token, true
}

// described is an operation in the list.
type described struct {
	Path   string        `json:"path"`
	Title  string        `json:"title,omitempty"`
	Items  bool          `json:"items,omitempty"` // it tells items besides its result
	Params []admin.Field `json:"params"`
}

// list tells what the holder of a token may ask for.
func (a *api) list(w http.ResponseWriter, r *http.Request, token admin.Token) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, admin.Usage, "the list is read by GET")
		return
	}
	list := []described{}
	for _, op := range admin.Operations() {
		if op.AtDesk || token.Domain != "" && !a.Admin().MayReach(op, token.Domain) {
			continue
		}
		list = append(list, described{prefix + strings.ReplaceAll(op.Name, " ", "/"), op.Title, op.Streams(), op.Fields()})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"operations": list})
}

// perform carries out an operation.
func (a *api) perform(w http.ResponseWriter, r *http.Request, token admin.Token, op *admin.Operation) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.ContentLength != 0 && (err != nil || kind != "application/json") {
		refuse(w, http.StatusUnsupportedMediaType, admin.Usage, "parameters are a JSON object, with Content-Type: application/json")
		return
	}
	params, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		code := http.StatusBadRequest
		if errors.As(err, new(*http.MaxBytesError)) {
			code = http.StatusRequestEntityTooLarge
		}
		refuse(w, code, admin.Usage, "the parameters cannot be read, or are too long")
		return
	}
	if len(params) > 0 && !isObject(params) {
		refuse(w, http.StatusBadRequest, admin.Usage, "the parameters are not a JSON object")
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(patience)) // what cannot be extended ends sooner
	out := &answer{w: w}
	door := admin.Door(a.Admin())
	if token.Domain != "" {
		door = admin.For(door, token.Domain)
	}
	result, err := door.Do(r.Context(), admin.Request{
		Operation: op.Name, Params: params, By: "token " + token.Name + " (HTTP from " + r.RemoteAddr + ")",
	}, admin.Output{Item: out.item})
	if err == nil {
		out.finish(result)
		return
	}
	e, known := admin.Known(err)
	if !known {
		a.Log.Error("an operation failed", "operation", op.Name, "token", token.Name, "error", err)
		e = &admin.Error{Code: admin.Failed, Text: "this failed; the log says more"}
	}
	if out.begun {
		panic(http.ErrAbortHandler) // so that nobody takes half an answer for the whole
	}
	refuse(w, status[e.Code], e.Code, e.Text)
}

func isObject(b []byte) bool {
	var m map[string]json.RawMessage
	return json.Unmarshal(b, &m) == nil && m != nil
}

// answer writes {"items": […], "result": …}; without items, the result alone.
type answer struct {
	w     http.ResponseWriter
	begun bool
}

func (a *answer) begin() {
	a.begun = true
	a.w.Header().Set("Content-Type", "application/json")
}

func (a *answer) item(item json.RawMessage) error {
	sep := ",\n"
	if !a.begun {
		a.begin()
		sep = "{\"items\":[\n"
	}
	_, err := a.w.Write(append([]byte(sep), item...))
	return err
}

func (a *answer) finish(result json.RawMessage) {
	if a.begun {
		_, _ = a.w.Write([]byte("\n],\"result\":"))
	} else {
		a.begin()
		_, _ = a.w.Write([]byte(`{"result":`))
	}
	_, _ = a.w.Write(append(result, "}\n"...))
}
