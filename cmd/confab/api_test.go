package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"confab/cmd/internal/dialogue"
)

// apiWorld is a server of two domains that offers the API.
func apiWorld(t *testing.T, api string) *world {
	t.Helper()
	return startWorld(t, dialogue.Scene{
		Domains: []dialogue.Domain{
			{Name: "example.com", Users: []dialogue.User{{Local: "alice", Password: "pw"}, {Local: "bob", Password: "pw"}}},
			{Name: "capulet.example", Users: []dialogue.User{{Local: "tybalt", Password: "pw"}}},
		},
		Settings: []dialogue.Setting{{Key: "web.api", Value: api}},
	}).(*world)
}

func (w *world) token(args ...string) string {
	w.t.Helper()
	out, err := w.Operate("", append([]string{"token", "create"}, args...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// call makes a request of the API; headers are pairs.
func (w *world) call(method, path, token, body string, headers ...string) (int, http.Header, string) {
	w.t.Helper()
	r, err := http.NewRequest(method, "https://example.com"+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := w.files().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(b)
}

func TestAPI(t *testing.T) {
	w := apiWorld(t, "on")
	token := w.token("intranet", "--domain", "example.com")
	root := w.token("root", "--days", "1")

	for name, test := range map[string]struct {
		method, path, token, body string
		headers                   []string
		code                      int
		text                      string
	}{
		"no token":             {"POST", "/api/v1/user/list", "", "", nil, 401, `"forbidden"`},
		"a wrong token":        {"POST", "/api/v1/user/list", token + "x", "", nil, 401, `"forbidden"`},
		"a password":           {"POST", "/api/v1/user/list", "", "", []string{"Authorization", "Basic YWxpY2U6cHc="}, 401, `"forbidden"`},
		"a page of a browser":  {"POST", "/api/v1/user/list", token, "", []string{"Origin", "https://example.com"}, 403, "browser"},
		"preflight":            {"OPTIONS", "/api/v1/user/list", "", "", []string{"Origin", "https://evil.example", "Access-Control-Request-Method", "POST"}, 403, "browser"},
		"by GET":               {"GET", "/api/v1/user/list", token, "", nil, 405, `"usage"`},
		"by DELETE":            {"DELETE", "/api/v1/user/list", token, "", nil, 405, `"usage"`},
		"unknown":              {"POST", "/api/v1/user/invent", token, "", nil, 404, `"not-found"`},
		"elsewhere":            {"POST", "/api/v2/user/list", token, "", nil, 404, `"not-found"`},
		"a space for a slash":  {"POST", "/api/v1/user%20list", token, "", nil, 404, `"not-found"`},
		"another token":        {"POST", "/api/v1/token/create", root, `{"name":"more"}`, nil, 404, `"not-found"`},
		"no JSON":              {"POST", "/api/v1/user/list", token, "domain=x", nil, 400, `"usage"`},
		"no object":            {"POST", "/api/v1/user/list", token, "[]", nil, 400, `"usage"`},
		"null":                 {"POST", "/api/v1/user/list", token, "null", nil, 400, `"usage"`},
		"unknown parameter":    {"POST", "/api/v1/user/list", token, `{"x":1}`, nil, 400, `"usage"`},
		"wrong type":           {"POST", "/api/v1/user/list", token, `{"domain":1}`, nil, 400, `"usage"`},
		"as a form":            {"POST", "/api/v1/user/list", token, `{}`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, `"usage"`},
		"as text":              {"POST", "/api/v1/user/list", token, `{}`, []string{"Content-Type", "text/plain"}, 415, `"usage"`},
		"too long":             {"POST", "/api/v1/user/list", token, `{"domain":"` + strings.Repeat("x", 9<<20) + `"}`, nil, 413, `"usage"`},
		"nobody":               {"POST", "/api/v1/user/show", token, `{"address":"nobody"}`, nil, 404, `"not-found"`},
		"somebody else's user": {"POST", "/api/v1/user/show", token, `{"address":"tybalt@capulet.example"}`, nil, 404, `"not-found"`},
		"of another domain":    {"POST", "/api/v1/user/add", token, `{"address":"x@capulet.example"}`, nil, 404, `"not-found"`},
		"taken":                {"POST", "/api/v1/user/add", token, `{"address":"alice"}`, nil, 409, `"conflict"`},
		"the server":           {"POST", "/api/v1/stop", token, "", nil, 403, `"forbidden"`},
		"the history":          {"POST", "/api/v1/history/search", token, `{}`, nil, 403, `"forbidden"`},
		"a user":               {"POST", "/api/v1/user/show", token, `{"address":"alice"}`, nil, 200, `"address":"alice@example.com"`},
		"any domain's":         {"POST", "/api/v1/user/show", root, `{"address":"tybalt@capulet.example"}`, nil, 200, `"address":"tybalt@capulet.example"`},
		"an empty list":        {"POST", "/api/v1/alias/list", token, "", nil, 200, `{"result":{"aliases":0}}`},
	} {
		code, header, body := w.call(test.method, test.path, test.token, test.body, test.headers...)
		if code != test.code || !strings.Contains(body, test.text) {
			t.Errorf("%s: %d %s", name, code, body)
		}
		if got := header.Get("Content-Type"); got != "application/json" {
			t.Errorf("%s: Content-Type %q", name, got)
		}
		if header.Get("Cache-Control") != "no-store" || header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Access-Control-Allow-Origin") != "" || header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %v", name, header)
		}
		if code == 401 && !strings.HasPrefix(header.Get("WWW-Authenticate"), "Bearer ") {
			t.Errorf("%s: WWW-Authenticate %q", name, header.Get("WWW-Authenticate"))
		}
		if code == 405 && header.Get("Allow") != "POST" {
			t.Errorf("%s: Allow %q", name, header.Get("Allow"))
		}
	}

	_, _, body := w.call("POST", "/api/v1/user/list", token, `{}`)
	var list struct {
		Items  []struct{ Address string }
		Result struct{ Users int }
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Items) != 2 || list.Result.Users != 2 || list.Items[1].Address != "bob@example.com" {
		t.Errorf("%s: %v", body, err)
	}
	code, _, body := w.call("GET", "/api/v1/", token, "")
	if code != 200 || !strings.Contains(body, `{"path":"/api/v1/alias/create","title":"Make an alias","params":[{"name":"address","type":"string"}`) ||
		strings.Contains(body, "token") || strings.Contains(body, "/reload") {
		t.Errorf("%d %s", code, body)
	}
	if code, _, body = w.call("GET", "/api/v1/", root, ""); !strings.Contains(body, "/reload") || strings.Contains(body, "token/create") {
		t.Errorf("%d %s", code, body)
	}
}

// What is done over HTTP is done, and in the audit log with the name of the token
// and without passwords.
func TestAPIDoes(t *testing.T) {
	w := apiWorld(t, "on")
	token := w.token("intranet", "--domain", "example.com")
	code, _, body := w.call("POST", "/api/v1/user/add", token, `{"address":"carol","name":"Carol <b>","password":"geheim"}`)
	if code != 200 || !strings.Contains(body, `"name":"Carol \u003cb\u003e"`) {
		t.Fatalf("%d %s", code, body)
	}
	if code, _, body = w.call("POST", "/api/v1/alias/create", token, `{"address":"sales","members":["alice","carol"],"settings":{"post":"members"}}`); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	out, err := w.Operate("", "alias", "show", "sales@example.com")
	if err != nil || !strings.Contains(out, "Carol <b>") || !strings.Contains(out, "post = members") {
		t.Errorf("%v %s", err, out)
	}
	log, err := os.ReadFile(filepath.Join(w.loaded.Data, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"by":"token intranet (HTTP from 127.0.0.1)","operation":"alias create"`, `"operation":"token create"`} {
		if !strings.Contains(string(log), want) {
			t.Errorf("%s is not in the audit log:\n%s", want, log)
		}
	}
	if strings.Contains(string(log), "geheim") || strings.Contains(string(log), token) {
		t.Errorf("a secret is in the audit log:\n%s", log)
	}
}

func TestTokens(t *testing.T) {
	w := apiWorld(t, "on")
	token := w.token("short", "--days", "1")
	if _, err := w.Operate("", "token", "create", "short"); err == nil {
		t.Error("two tokens of one name")
	}
	if _, err := w.Operate("", "token", "create", "x", "--domain", "example.org"); err == nil {
		t.Error("a token for a domain that is not served")
	}
	state := func(want int) {
		t.Helper()
		if code, _, body := w.call("POST", "/api/v1/alias/list", token, ""); code != want {
			t.Errorf("%d, want %d: %s", code, want, body)
		}
	}
	state(200)
	w.Advance(25 * time.Hour)
	state(401)
	token = w.token("long")
	state(200)
	out, err := w.Operate("", "token", "list")
	if err != nil || !strings.Contains(out, "long") || strings.Contains(out, token) {
		t.Errorf("%v %s", err, out)
	}
	if _, err := w.Operate("", "token", "revoke", "long"); err != nil {
		t.Error(err)
	}
	state(401)
	if _, err := w.Operate("", "token", "revoke", "long"); err == nil {
		t.Error("it was revoked twice")
	}

	// Guessing ends soon, and does not keep out who has a token.
	for range 30 {
		w.call("POST", "/api/v1/alias/list", "confab-guess", "")
	}
	code, header, _ := w.call("POST", "/api/v1/alias/list", "confab-guess", "")
	if code != 429 || header.Get("Retry-After") == "" {
		t.Errorf("%d %v", code, header)
	}
	token = w.token("another")
	state(200)
}

// It is off unless the settings say otherwise.
func TestAPIOff(t *testing.T) {
	w := apiWorld(t, "off")
	if code, _, body := w.call("POST", "/api/v1/alias/list", w.token("x"), ""); code != 404 {
		t.Errorf("%d %s", code, body)
	}
}
