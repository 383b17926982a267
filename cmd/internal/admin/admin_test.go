package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"confab/cmd/internal/config"
)

// Operations that only these tests have.
type echo struct {
	Items int `json:"items"`
}

var (
	opEcho = define(Operation{Name: "test echo", Audited: true}, func(c *call[int], p echo) (echo, error) {
		for i := range p.Items {
			if err := c.item(i); err != nil {
				return p, err
			}
			c.progress(i+1, p.Items)
		}
		return p, nil
	})
	opPanic = define(Operation{Name: "test panic"}, func(*call[None], None) (None, error) { panic("test") })
	blocked = make(chan error, 1)
	opBlock = define(Operation{Name: "test block"}, func(c *call[int], _ None) (None, error) {
		if err := c.item(1); err != nil {
			return None{}, err
		}
		c.progress(1, 1) // the item leaves
		<-c.Done()
		blocked <- c.Err()
		return None{}, c.Err()
	})
)

func testAdmin(t *testing.T) *Admin {
	t.Helper()
	return &Admin{Data: "/data", Audit: &Audit{Path: filepath.Join(t.TempDir(), "audit.log")}}
}

// open serves an Admin on a control socket and returns a client of it.
func open(t *testing.T, a *Admin) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control.sock")
	s, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(a) }()
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
	})
	return c
}

// An operation does and tells the same through every door.
func TestDoors(t *testing.T) {
	a := testAdmin(t)
	for name, door := range map[string]Door{"in process": a, "socket": open(t, a)} {
		t.Run(name, func(t *testing.T) {
			var items []int
			var done int
			got, err := opEcho.Call(t.Context(), door, "root", echo{Items: 1000}, Receiver[int]{
				Item:     func(i int) error { items = append(items, i); return nil },
				Progress: func(n, _ int) { done = n },
			})
			if err != nil || got.Items != 1000 || len(items) != 1000 || items[999] != 999 || done != 1000 {
				t.Errorf("%v, %v, %d items, %d done", got, err, len(items), done)
			}
			stop := errors.New("enough")
			if _, err := opEcho.Call(t.Context(), door, "root", echo{Items: 1000}, Receiver[int]{Item: func(int) error { return stop }}); !errors.Is(err, stop) {
				t.Errorf("an error of the receiver: %v", err)
			}

			for _, test := range []struct {
				r    Request
				code Code
			}{
				{Request{Operation: "user invent"}, Usage},
				{Request{Operation: "test echo", Params: json.RawMessage(`{"itmes":1}`)}, Usage},
				{Request{Operation: "test echo", Params: json.RawMessage(`{"items":"1"}`)}, Usage},
				{Request{Operation: "status"}, NotRunning},
			} {
				_, err := door.Do(t.Context(), test.r, Output{})
				var e *Error
				if !errors.As(err, &e) || e.Code != test.code {
					t.Errorf("%s %s: %v, want %s", test.r.Operation, test.r.Params, err, test.code)
				}
			}
		})
	}
}

// A bug in an operation does not end the server.
func TestPanic(t *testing.T) {
	client := open(t, testAdmin(t))
	if _, err := opPanic.Call(t.Context(), client, "root", None{}, Receiver[None]{}); err == nil || !strings.Contains(err.Error(), "bug") {
		t.Errorf("got %v", err)
	}
	if _, err := opEcho.Call(t.Context(), client, "root", echo{}, Receiver[int]{}); err != nil {
		t.Error(err)
	}
}

// Ctrl-C in a command stops what it had begun in the server.
func TestClientGoesAway(t *testing.T) {
	client := open(t, testAdmin(t))
	ctx, cancel := context.WithCancel(t.Context())
	_, err := opBlock.Call(ctx, client, "root", None{}, Receiver[int]{Item: func(int) error { cancel(); return nil }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	select {
	case err := <-blocked:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the operation got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the operation goes on")
	}
}

// What is not in the audit log is not done.
func TestAuditComesFirst(t *testing.T) {
	a := testAdmin(t)
	a.Audit.Path = filepath.Join(t.TempDir(), "none", "audit.log")
	items := 0
	_, err := opEcho.Call(t.Context(), a, "root", echo{Items: 1}, Receiver[int]{Item: func(int) error { items++; return nil }})
	if err == nil || items != 0 {
		t.Errorf("%v, %d items", err, items)
	}
}

// The log tells that there was a picture, not what it shows.
func TestAuditHasNoPictures(t *testing.T) {
	picture := []byte("a picture")
	a := Audit{Path: filepath.Join(t.TempDir(), "audit.log")}
	if err := a.started(time.Now(), &Request{By: "root", Operation: "alias set"}, AliasSetParams{Address: "sales@example.com", Avatar: &picture}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(a.Path)
	if err != nil {
		t.Fatal(err)
	}
	if want := `"params":{"address":"sales@example.com","avatar_bytes":9}`; !strings.Contains(string(b), want) {
		t.Errorf("the log says %s, not %s", b, want)
	}
}

// A server that dies in the middle has not said that all went well.
func TestAnswerCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("{\"item\":1}\n"))
		panic(http.ErrAbortHandler)
	})}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	client, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := opEcho.Call(t.Context(), client, "root", echo{}, Receiver[int]{}); err == nil {
		t.Error("no error")
	}
}

// A client that is no command, and requests that are none.
func TestStrangeRequests(t *testing.T) {
	client := open(t, testAdmin(t))
	response, err := client.http.Get("http://confab/")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %s", response.Status)
	}
	for _, body := range []string{"", "{", "[]"} {
		response, err := client.http.Post("http://confab/", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		var r reply
		if err := json.NewDecoder(response.Body).Decode(&r); err != nil || r.Error == nil || r.Error.Code != Usage {
			t.Errorf("%.10q: %+v, %v", body, r, err)
		}
		response.Body.Close()
	}
}

func TestHolder(t *testing.T) {
	if _, err := os.Stat("/proc/locks"); err != nil {
		t.Skip("this system does not tell who holds a lock")
	}
	s := config.Default()
	s.Data = t.TempDir()
	stores, err := OpenStores(s, StoreOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if free, err := Free(s); free || err != nil {
		t.Errorf("held: %v, %v", free, err)
	}
	_, err = OpenStores(s, StoreOptions{})
	if err == nil || !strings.Contains(err.Error(), "state.db is held by process ") {
		t.Errorf("got %v", err)
	}
	if err := stores.Close(); err != nil {
		t.Fatal(err)
	}
	if free, err := Free(s); !free || err != nil {
		t.Errorf("closed: %v, %v", free, err)
	}
}

func TestGeneratedPasswords(t *testing.T) {
	a, b := GeneratePassword(), GeneratePassword()
	if a == b || len(a) != 23 || strings.Count(a, "-") != 3 {
		t.Errorf("%s, %s", a, b)
	}
}
