package invite

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/auth"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/store"
)

type house struct {
	*featuretest.House
	*Invites
	auth *auth.Auth
	mux  *http.ServeMux
}

func open(t testing.TB, folder string) *house {
	t.Helper()
	h := &house{mux: http.NewServeMux()}
	h.House = featuretest.Open(t, folder, func(host *feature.Host) []feature.Feature {
		var err error
		if h.auth, err = auth.Open(t.Context(), auth.Options{Store: host.State, Directory: host.Directory, Clock: host.Clock, Iterations: 4096}); err != nil {
			t.Fatal(err)
		}
		h.Invites = New(host, Options{Auth: h.auth, URL: func(domain string) string { return "https://" + domain + ":5443" }})
		return []feature.Feature{h.Feature()}
	})
	for _, r := range h.routes() {
		h.mux.Handle(r.Pattern, r.Handler)
	}
	return h
}

func (h *house) invite(t testing.TB, i Invitation) string {
	t.Helper()
	i.Domain = "example.com"
	token, _, err := h.Invite(t.Context(), i)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// request asks for a page and returns the status and the body.
func (h *house) request(method, token, form string) (int, string) {
	r := httptest.NewRequest(method, "/invite/"+url.PathEscape(token), strings.NewReader(form))
	r.RemoteAddr = "192.0.2.1"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.mux.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func (h *house) knows(t testing.TB, address, password string) bool {
	t.Helper()
	u := h.Directory.User(xmpp.MustJID(address))
	if u == nil {
		return false
	}
	ok, err := h.auth.CheckPassword(t.Context(), u, password)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// A password is chosen on the page; the account is there, as the administrator
// wanted it, and the page is good no more.
func TestPage(t *testing.T) {
	h := open(t, t.TempDir())
	token := h.invite(t, Invitation{Local: "o'brien", Name: "Miles O'Brien", Groups: []string{"Engineers"}})
	if status, body := h.request("GET", token, ""); status != 200 || !strings.Contains(body, "xmpp:o%5C27brien@example.com?register;preauth="+token) {
		t.Errorf("%d %s", status, body)
	}
	for _, form := range []string{"", "password=a&again=b", "password=&again=", "password=%00&again=%00", "%zz", strings.Repeat("a", 9<<10)} {
		if status, body := h.request("POST", token, form); status/100 != 4 || !strings.Contains(body, "problem") {
			t.Errorf("%.20s: %d %s", form, status, body)
		}
	}
	if h.Directory.User(xmpp.MustJID(`o\27brien@example.com`)) != nil {
		t.Fatal("there is an account already")
	}
	if status, body := h.request("POST", token, "password=secret&again=secret"); status != 200 || !strings.Contains(body, "Welcome") {
		t.Errorf("%d %s", status, body)
	}
	u := h.Directory.User(xmpp.MustJID(`o\27brien@example.com`))
	if u == nil || u.Name != "Miles O'Brien" || len(u.Groups) != 1 || !h.knows(t, u.JID.String(), "secret") {
		t.Errorf("the user is %+v", u)
	}
	for _, method := range []string{"GET", "POST"} {
		if status, _ := h.request(method, token, "password=other&again=other"); status != 404 {
			t.Errorf("%s again: %d", method, status)
		}
	}
}

// Nothing that an administrator writes becomes more than text on the page.
func TestPageEscapes(t *testing.T) {
	h := open(t, t.TempDir())
	token := h.invite(t, Invitation{Local: "a<script>alert(1)</script>&amp;"})
	status, body := h.request("GET", token, "")
	if status != 200 || regexp.MustCompile(`(?i)<script|javascript:|href="http:|src=`).MatchString(body) {
		t.Errorf("%d %s", status, body)
	}
	r := httptest.NewRequest("GET", "/invite/"+token, nil)
	w := httptest.NewRecorder()
	h.mux.ServeHTTP(w, r)
	csp := w.Header().Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%v", w.Header())
	}
}

// A token that was never given out, one that was used, taken back, replaced, or
// is too old: the answers are the same.
func TestAllAlike(t *testing.T) {
	h := open(t, t.TempDir())
	used := h.invite(t, Invitation{Local: "used"})
	h.request("POST", used, "password=secret&again=secret")
	revoked := h.invite(t, Invitation{Local: "revoked"})
	if err := h.Revoke(t.Context(), xmpp.MustJID("revoked@example.com")); err != nil {
		t.Fatal(err)
	}
	replaced := h.invite(t, Invitation{Local: "replaced"})
	h.invite(t, Invitation{Local: "replaced"})
	old := h.invite(t, Invitation{Local: "old", Expires: h.Now().Add(time.Hour)})
	h.Clock.Pass(time.Hour)
	_, unknown := h.request("GET", "AAAAAAAAAAAAAAAAAAAAAAAAAA", "")
	unknown = regexp.MustCompile(`nonce="[^"]*"`).ReplaceAllString(unknown, "")
	for what, token := range map[string]string{"used": used, "revoked": revoked, "replaced": replaced, "old": old} {
		status, body := h.request("GET", token, "")
		if body = regexp.MustCompile(`nonce="[^"]*"`).ReplaceAllString(body, ""); status != 404 || body != unknown {
			t.Errorf("%s: %d %s", what, status, body)
		}
		v := &feature.Visitor{Domain: "example.com"}
		st, _ := xmpp.Parse([]byte("<iq xmlns='jabber:client' type='set' id='1'><preauth xmlns='urn:xmpp:pars:0' token='" + token + "'/></iq>"))
		if answer, ok := h.Table.Visit(v, st); !ok || !strings.Contains(string(answer), "item-not-found") {
			t.Errorf("%s: %s", what, answer)
		}
	}
	if list := h.List(); len(list) != 1 || list[0].Local != "replaced" {
		t.Errorf("open: %+v", list)
	}
}

// However many used and wrong pages are asked for from an address, who is invited
// there sees his own.
func TestWrongPages(t *testing.T) {
	h := open(t, t.TempDir())
	token := h.invite(t, Invitation{Local: "nurse"})
	for range 100 {
		if status, _ := h.request("GET", "guess", ""); status != 404 {
			t.Fatal(status)
		}
	}
	if status, _ := h.request("GET", token, ""); status != 200 {
		t.Error(status)
	}
}

// A token is good once, however many try at the same moment.
func TestOnce(t *testing.T) {
	h := open(t, t.TempDir())
	token := h.invite(t, Invitation{Local: "nurse"})
	hash, r := h.find(token, "")
	keys, err := h.auth.NewKeys("secret")
	if err != nil {
		t.Fatal(err)
	}
	var made atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			switch err := h.redeem(context.Background(), hash, r, keys); {
			case err == nil:
				made.Add(1)
			case !errors.Is(err, errGone): // that somebody else had it is not what who sent a form twice is to read
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 {
		t.Errorf("%d accounts", made.Load())
	}
}

// An invitation for a new password counts until the password is set otherwise,
// or the user is disabled or deleted.
func TestReset(t *testing.T) {
	h := open(t, t.TempDir())
	id := h.ID("romeo@example.com")
	if err := h.auth.SetPassword(t.Context(), id, "old"); err != nil {
		t.Fatal(err)
	}
	token := h.invite(t, Invitation{Local: "romeo", Reset: true})
	if status, _ := h.request("POST", token, "password=new&again=new"); status != 200 || !h.knows(t, "romeo@example.com", "new") {
		t.Errorf("%d", status)
	}
	token = h.invite(t, Invitation{Local: "romeo", Reset: true})
	if err := h.auth.SetPassword(t.Context(), id, "newer"); err != nil {
		t.Fatal(err)
	}
	if status, _ := h.request("POST", token, "password=stolen&again=stolen"); status != 404 || h.knows(t, "romeo@example.com", "stolen") {
		t.Errorf("after passwd: %d", status)
	}
	token = h.invite(t, Invitation{Local: "alice", Reset: true})
	if err := h.Directory.Update(t.Context(), h.ID("alice@example.com"), func(u *directory.User) { u.Disabled = true }); err != nil {
		t.Fatal(err)
	}
	if status, _ := h.request("POST", token, "password=stolen&again=stolen"); status != 404 {
		t.Errorf("of somebody disabled: %d", status)
	}
	token = h.invite(t, Invitation{Local: "bob", Reset: true})
	if err := h.Directory.Delete(t.Context(), h.ID("bob@example.com")); err != nil {
		t.Fatal(err)
	}
	if status, _ := h.request("GET", token, ""); status != 404 || len(h.List()) != 2 {
		t.Errorf("of somebody deleted: %d, %v", status, h.List())
	}
}

// Invitations survive a restart, and the file does not say what the tokens are.
func TestKept(t *testing.T) {
	folder := t.TempDir()
	h := open(t, folder)
	token := h.invite(t, Invitation{Local: "nurse"})
	err := h.State.View(t.Context(), func(tx store.Tx) error {
		for key, value := range tx.Scan(space, store.Range{}) {
			if strings.Contains(string(key)+string(value), token) {
				t.Error("the token is in the file")
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(h.State.Close(), h.Held.Close()); err != nil {
		t.Fatal(err)
	}
	h = open(t, folder)
	if status, _ := h.request("POST", token, "password=secret&again=secret"); status != 200 || !h.knows(t, "nurse@example.com", "secret") {
		t.Errorf("after a restart: %d", status)
	}
}

// A name is kept for who was invited for it, as long as the invitation is open.
func TestNameIsKept(t *testing.T) {
	h := open(t, t.TempDir())
	h.invite(t, Invitation{Local: "nurse", Expires: h.Now().Add(time.Hour)})
	add := directory.NewUser{Domain: "example.com", Local: "nurse"}
	if err := h.Directory.Add(t.Context(), add); !errors.Is(err, directory.ErrExists) {
		t.Errorf("a user: %v", err)
	}
	if err := h.Directory.AddAliases(t.Context(), directory.NewAlias{Domain: "example.com", Local: "nurse"}); !errors.Is(err, directory.ErrExists) {
		t.Errorf("an alias: %v", err)
	}
	err := h.Directory.Update(t.Context(), h.ID("romeo@example.com"), func(u *directory.User) { u.Local = "nurse" })
	if !errors.Is(err, directory.ErrExists) {
		t.Errorf("another name: %v", err)
	}
	h.Clock.Pass(time.Hour)
	if err := h.Directory.Add(t.Context(), add); err != nil {
		t.Errorf("later: %v", err)
	}
}

// What cannot be invited.
func TestRefused(t *testing.T) {
	h := open(t, t.TempDir())
	for _, c := range []struct {
		i    Invitation
		want error
	}{
		{Invitation{Domain: "example.com", Local: "romeo"}, directory.ErrExists},
		{Invitation{Domain: "example.com", Local: "nobody", Reset: true}, directory.ErrNotFound},
		{Invitation{Domain: "example.org", Local: "nurse"}, directory.ErrDomain},
		{Invitation{Domain: "example.com", Local: ""}, directory.ErrName},
		{Invitation{Domain: "example.com", Local: "nurse", Expires: h.Now()}, ErrUsage},
		{Invitation{Domain: "example.com", Local: "nurse", Expires: h.Now().Add(1000 * 24 * time.Hour)}, ErrUsage},
	} {
		if _, _, err := h.Invite(t.Context(), c.i); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v, not %v", c.i, err, c.want)
		}
	}
	if err := h.Revoke(t.Context(), xmpp.MustJID("nurse@example.com")); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
}

// FuzzVisit: whatever a stranger sends is answered, or left to the stream.
func FuzzVisit(f *testing.F) {
	f.Add("<iq xmlns='jabber:client' type='set' id='1'><preauth xmlns='urn:xmpp:pars:0' token='x'/></iq>")
	f.Add("<iq xmlns='jabber:client' type='get' id='1'><query xmlns='jabber:iq:register'/></iq>")
	f.Add("<iq xmlns='jabber:client' type='set' id='1'><query xmlns='jabber:iq:register'><username>a</username><password>b</password></query></iq>")
	f.Add("<iq xmlns='jabber:client' type='set' id='1'><query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'><field var='username'/></x></query></iq>")
	h := open(f, f.TempDir())
	token := h.invite(f, Invitation{Local: "nurse"})
	f.Fuzz(func(t *testing.T, s string) {
		st, err := xmpp.Parse([]byte(s))
		if err != nil {
			return
		}
		v := &feature.Visitor{Domain: "example.com", Allow: func(time.Duration) {}}
		for range 2 {
			if answer, ok := h.Table.Visit(v, st); ok {
				if _, err := xmpp.Parse(answer); err != nil {
					t.Errorf("%s is answered by %s", s, answer)
				}
			}
			v.Kept = &guest{token: hashOf(token)}
		}
	})
}
