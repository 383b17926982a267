package private_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/feature/private"
)

type house struct {
	*featuretest.House
	*private.Private
}

func open(t *testing.T, folder string) *house {
	h := new(house)
	h.House = featuretest.Open(t, folder, func(host *feature.Host) []feature.Feature {
		h.Private = private.New(host)
		return []feature.Feature{h.Private.Feature()}
	})
	return h
}

func query(kind, inside string) string {
	return "<iq type='" + kind + "' id='1'><query xmlns='jabber:iq:private'>" + inside + "</query></iq>"
}

const stored = "<iq type='result' id='1' to='romeo@example.com/orchard'/>"

func result(inside string) string {
	return "<iq type='result' id='1' to='romeo@example.com/orchard'><query xmlns='jabber:iq:private'>" + inside + "</query></iq>"
}

// What is stored comes back as it was, until it is replaced, and after a restart.
func TestRoundTrip(t *testing.T) {
	folder := t.TempDir()
	h := open(t, folder)
	romeo := h.Connect(t, "romeo@example.com/orchard")
	for _, xml := range []string{
		"<exodus xmlns='exodus:prefs'><defaultnick>Hamlet</defaultnick></exodus>",
		"<exodus xmlns='exodus:prefs' a='&lt;'>mixed <b>con</b> tent <x xmlns='other:ns'><y/></x></exodus>",
		"<exodus xmlns='exodus:prefs' n='1'/><exodus xmlns='exodus:prefs' n='2'/>",
	} {
		romeo.Sends(query("set", xml), query("get", "<exodus xmlns='exodus:prefs'/>"))
		romeo.Hears(stored, result(xml))
	}
	romeo.Sends(query("set", "<p:notes xmlns:p='some:notes'><p:note>x</p:note></p:notes>"), query("get", "<notes xmlns='some:notes'/>"),
		query("get", "<exodus xmlns='other:prefs'/>"), query("get", "<notes xmlns='exodus:prefs'/>"))
	romeo.Hears(stored, result("<notes xmlns='some:notes'><note>x</note></notes>"),
		result("<exodus xmlns='other:prefs'/>"), result("<notes xmlns='exodus:prefs'/>"))
	h.State.Close()
	h.Held.Close()

	h = open(t, folder)
	romeo = h.Connect(t, "romeo@example.com/orchard")
	romeo.Sends(query("get", "<notes xmlns='some:notes'/>"), query("set", "<notes xmlns='some:notes'/>"), query("get", "<notes xmlns='some:notes'/>"))
	romeo.Hears(result("<notes xmlns='some:notes'><note>x</note></notes>"), stored, result("<notes xmlns='some:notes'/>"))
}

// What somebody keeps is bounded, and can be made less again.
func TestBounds(t *testing.T) {
	h := open(t, t.TempDir())
	romeo := h.Connect(t, "romeo@example.com/orchard")
	condition := func() string {
		for _, s := range romeo.Conn.Left() {
			for _, c := range []string{"resource-constraint", "not-acceptable"} {
				if strings.Contains(s, c) {
					return c
				}
			}
		}
		return ""
	}
	var many strings.Builder
	for i := range 200 {
		fmt.Fprintf(&many, "<a xmlns='space:%d' n='1'/>", i)
	}
	romeo.Sends(query("set", many.String()))
	if c := condition(); c != "" {
		t.Fatal(c)
	}
	romeo.Sends(query("set", "<a xmlns='one:more' n='1'/>"))
	if c := condition(); c != "resource-constraint" {
		t.Errorf("one more: %q", c)
	}
	romeo.Sends(query("set", "<a xmlns='space:0'/><a xmlns='one:more' n='1'/>"))
	if c := condition(); c != "" {
		t.Errorf("one for another: %q", c)
	}
	big := strings.Repeat("x", 250_000)
	for i := 1; i <= 5; i++ {
		romeo.Sends(query("set", fmt.Sprintf("<a xmlns='space:%d'>%s</a>", i, big)))
		want := ""
		if i == 5 {
			want = "resource-constraint"
		}
		if c := condition(); c != want {
			t.Errorf("big one %d: %q", i, c)
		}
	}
	romeo.Sends(query("set", "<a xmlns='space:"+strings.Repeat("x", 1000)+"'/>"))
	if c := condition(); c != "not-acceptable" {
		t.Errorf("a long namespace: %q", c)
	}
}

// What somebody kept goes when the account does.
func TestDeleted(t *testing.T) {
	h := open(t, t.TempDir())
	romeo := h.Connect(t, "romeo@example.com/orchard")
	romeo.Sends(query("set", "<notes xmlns='some:notes'>x</notes>"))
	romeo.Hears(stored)
	ctx, id := context.Background(), h.ID("romeo@example.com")
	name := private.Name{Space: "some:notes", Local: "notes"}
	if xml, err := h.Get(ctx, id, name); err != nil || xml == nil {
		t.Fatalf("%q, %v", xml, err)
	}
	if err := h.Directory.Delete(ctx, id); err != nil {
		t.Fatal(err)
	}
	if xml, err := h.Get(ctx, id, name); err != nil || xml != nil {
		t.Errorf("%q, %v", xml, err)
	}
}

// Another package can stand for an element, and be told of others.
func TestFace(t *testing.T) {
	bookmarks := "<conference jid='room@conference.example.com'/>"
	h := open(t, t.TempDir())
	h.Stand(private.Name{Space: xmpp.NSBookmarks, Local: "storage"}, private.Face{
		Get: func(q *feature.Query) (*xmpp.Node, error) {
			if q.Session == nil || bookmarks == "" {
				return nil, nil
			}
			return xmpp.ParseNode([]byte("<storage xmlns='storage:bookmarks'>" + bookmarks + "</storage>"))
		},
		Set: func(_ *feature.Query, n *xmpp.Node) error {
			if len(n.Children) == 0 {
				return xmpp.NewError(xmpp.Conflict, "")
			}
			bookmarks = ""
			return nil
		},
	})
	told := ""
	h.OnSet(func(owner directory.ID, n private.Name, xml []byte) { told += fmt.Sprint(owner, n, string(xml)) })
	romeo := h.Connect(t, "romeo@example.com/orchard")
	get := query("get", "<storage xmlns='storage:bookmarks'/>")
	romeo.Sends(get, query("set", "<storage xmlns='storage:bookmarks'/><x xmlns='x:y'>1</x>"), query("get", "<x xmlns='x:y'/>"),
		query("set", "<storage xmlns='storage:bookmarks'><conference jid='a@b'/></storage>"), get, query("set", "<x xmlns='x:y'>1</x>"))
	romeo.Hears(result("<storage xmlns='storage:bookmarks'><conference jid='room@conference.example.com'/></storage>"),
		"<iq type='error' id='1' to='romeo@example.com/orchard'><error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
		result("<x xmlns='x:y'/>"), stored, result("<storage xmlns='storage:bookmarks'/>"), stored)
	if want := fmt.Sprint(h.ID("romeo@example.com"), private.Name{Space: "x:y", Local: "x"}, "<x xmlns='x:y'>1</x>"); told != want {
		t.Errorf("told %q, not %q", told, want)
	}
}
