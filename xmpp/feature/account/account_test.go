package account_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/auth"
	"confab/xmpp/feature"
	"confab/xmpp/feature/account"
	"confab/xmpp/feature/featuretest"
)

type house struct {
	*featuretest.House
	*auth.Auth
	romeo *featuretest.Person
}

func open(t *testing.T) *house {
	h := new(house)
	h.House = featuretest.New(t, func(host *feature.Host) []feature.Feature {
		a, err := auth.Open(context.Background(), auth.Options{Store: host.State, Directory: host.Directory, Iterations: 4096})
		if err != nil {
			t.Fatal(err)
		}
		h.Auth = a
		return []feature.Feature{account.New(host, a)}
	})
	if err := h.SetPassword(context.Background(), h.ID("romeo@example.com"), "old"); err != nil {
		t.Fatal(err)
	}
	h.romeo = h.Connect(t, "romeo@example.com/orchard")
	return h
}

// has reports whether a password is romeo's.
func (h *house) has(t *testing.T, password string) bool {
	t.Helper()
	ok, err := h.CheckPassword(context.Background(), h.Directory.User(xmpp.MustJID("romeo@example.com")), password)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// ask sends a request and returns the answer.
func (h *house) ask(t *testing.T, inside string) string {
	t.Helper()
	h.romeo.Sends("<iq type='set' id='1' to='example.com'><query xmlns='jabber:iq:register'>" + inside + "</query></iq>")
	left := h.romeo.Conn.Left()
	if len(left) != 1 {
		t.Fatalf("heard %q", left)
	}
	return left[0]
}

func submit(fields ...string) string {
	b := "<x xmlns='jabber:x:data' type='submit'>"
	for i := 0; i < len(fields); i += 2 {
		b += "<field var='" + fields[i] + "'><value>" + fields[i+1] + "</value></field>"
	}
	return b + "</x>"
}

func TestChange(t *testing.T) {
	for name, inside := range map[string]string{
		"plain":         "<username>romeo</username><password>new</password>",
		"address":       "<username>romeo@example.com</username><password>new</password>",
		"capitals":      "<username>Romeo</username><password>new</password>",
		"form":          submit("FORM_TYPE", "jabber:iq:register:changepassword", "username", "romeo", "old_password", "old", "password", "new"),
		"form, no type": submit("username", "romeo", "password", "new"),
	} {
		h := open(t)
		if got := h.ask(t, inside); !strings.Contains(got, "type='result'") {
			t.Errorf("%s: %s", name, got)
		}
		if !h.has(t, "new") || h.has(t, "old") {
			t.Errorf("%s: the password is not the new one", name)
		}
	}
}

func TestRefused(t *testing.T) {
	h := open(t)
	for _, test := range []struct{ inside, condition string }{
		{"", "bad-request"},
		{"<username>romeo</username>", "bad-request"},
		{"<password>new</password>", "bad-request"},
		{"<username>romeo</username><password/>", "bad-request"},
		{"<username>romeo</username><password></password>", "bad-request"},
		{"<username>juliet</username><password>new</password>", "not-allowed"},
		{"<username>stranger</username><password>new</password>", "not-allowed"},
		{"<username>juliet@capulet.example</username><password>new</password>", "not-allowed"},
		{"<username>a@b@c</username><password>new</password>", "not-allowed"},
		{"<remove/>", "not-allowed"},
		{"<remove/><username>romeo</username>", "bad-request"},
		{submit("FORM_TYPE", "jabber:iq:search", "username", "romeo", "password", "new"), "bad-request"},
		{"<x xmlns='jabber:x:data' type='form'/>", "bad-request"},
		{"<x xmlns='jabber:x:data' type='cancel'/>", "bad-request"},
		{submit("username", "romeo"), "bad-request"},
		{submit("username", "romeo", "username", "romeo", "password", "new"), "bad-request"},
		{"<username>romeo</username><password>" + strings.Repeat("x", 5000) + "</password>", "not-acceptable"},
		{"<username>romeo</username><password>a\nb</password>", "not-acceptable"},
	} {
		got := h.ask(t, test.inside)
		if !strings.Contains(got, "<"+test.condition+" ") || strings.Contains(got, ">new<") {
			t.Errorf("%.100s: %s, not %s", test.inside, got, test.condition)
		}
	}
	if !h.has(t, "old") {
		t.Error("the password is no longer the old one")
	}
}

// Nobody has the server hash without end.
func TestTooOften(t *testing.T) {
	h := open(t)
	const inside = "<username>romeo</username><password>new</password>"
	for range 5 {
		if got := h.ask(t, inside); !strings.Contains(got, "type='result'") {
			t.Fatal(got)
		}
	}
	if got := h.ask(t, inside); !strings.Contains(got, "<resource-constraint ") {
		t.Error(got)
	}
	h.Clock.Pass(time.Minute)
	if got := h.ask(t, inside); !strings.Contains(got, "type='result'") {
		t.Error(got)
	}
}

func TestRegistered(t *testing.T) {
	h := open(t)
	for _, to := range []string{"", " to='example.com'"} {
		h.romeo.Sends("<iq type='get' id='1'" + to + "><query xmlns='jabber:iq:register'/></iq>")
		if left := strings.Join(h.romeo.Conn.Left(), ""); !strings.Contains(left, "<registered/><username>romeo</username><password/>") {
			t.Errorf("heard %s", left)
		}
	}
}
