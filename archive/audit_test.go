package archive

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store/storetest"
)

func (h *house) audit() *Auditor {
	h.t.Helper()
	u, err := h.Audit(h.t.Context(), "admin@example.com", "search", map[string]string{"text": "x"})
	if err != nil {
		h.t.Fatal(err)
	}
	return u
}

// raw keeps a message as it is written, from romeo to juliet.
func (h *house) raw(inside string) uint64 {
	h.t.Helper()
	m := message(romeo, juliet, "")
	m.Stanza = []byte("<message xmlns='jabber:client' from='romeo@example.com/orchard' to='juliet@example.com' type='chat'>" + inside + "</message>")
	st, err := xmpp.Parse(m.Stanza)
	if err != nil {
		h.t.Fatal(err)
	}
	_, m.Flags = Worth(st)
	return h.keep(m)[0]
}

func TestEachUseIsNoted(t *testing.T) {
	h := open(t, t.TempDir())
	if _, err := h.Audit(t.Context(), "", "search", nil); err == nil {
		t.Error("somebody without a name read the history")
	}
	for i := range 3 {
		if _, err := h.Audit(t.Context(), "admin@example.com", fmt.Sprint("use ", i), Search{Text: text("x")}); err != nil {
			t.Fatal(err)
		}
	}
	h.clock.Pass(time.Hour)
	h.audit()
	list := func(start, end time.Time) (got []string) {
		err := h.Accesses(t.Context(), start, end, func(a Access) error {
			got = append(got, a.By+" "+a.Action)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	by := "admin@example.com "
	if got := list(time.Time{}, time.Time{}); !slices.Equal(got, []string{by + "use 0", by + "use 1", by + "use 2", by + "search"}) {
		t.Errorf("got %q", got)
	}
	if got := list(h.clock.Now(), time.Time{}); !slices.Equal(got, []string{by + "search"}) {
		t.Errorf("of now: %q", got)
	}
	if got := list(time.Time{}, h.clock.Now()); len(got) != 3 {
		t.Errorf("of before: %q", got)
	}
	h.failing.Fail(storetest.ErrFull)
	if u, err := h.Audit(t.Context(), "admin@example.com", "search", nil); u != nil || !errors.Is(err, storetest.ErrFull) {
		t.Errorf("without a note: %v, %v", u, err)
	}
}

func TestConversations(t *testing.T) {
	h := open(t, t.TempDir())
	want := []string{}
	for i := range 450 { // more than one View lists
		name := fmt.Sprintf("peer%03d@example.com", i)
		for range 1 + i%3 {
			m := message(romeo, juliet, "x")
			m.Rows = []Row{{Owner: juliet, With: xmpp.MustJID(name + "/r")}}
			h.keep(m)
		}
		want = append(want, fmt.Sprint(name, " ", 1+i%3))
	}
	h.keep(message(romeo, alice, "x"))
	var got []string
	u := h.audit()
	if err := u.Conversations(t.Context(), juliet, func(c Conversation) error {
		got = append(got, fmt.Sprint(c.With, " ", c.Messages))
		if c.First.IsZero() || c.Last.Before(c.First) {
			t.Errorf("%v: from %v to %v", c.With, c.First, c.Last)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d: %q\nwant %d", len(got), got, len(want))
	}
	if err := u.Conversations(t.Context(), 99, func(c Conversation) error { t.Errorf("%v", c); return nil }); err != nil {
		t.Error(err)
	}
}

func TestSearch(t *testing.T) {
	h := open(t, t.TempDir())
	h.keep(message(romeo, juliet, "Straße nach Köln"))
	h.keep(message(juliet, romeo, "Nguyễn Văn Đức"))
	noon := h.clock.Now().Add(time.Hour)
	h.clock.Pass(2 * time.Hour)
	h.keep(message(romeo, alice, "STRASSE"))
	h.raw("<subject>Köln</subject><body>x</body><body xml:lang='fr'>forêt</body>")
	h.raw("<encrypted xmlns='eu.siacs.conversations.axolotl'/>")
	h.keep(message(alice, alice, "note to self"))
	u := h.audit()
	tests := []struct {
		s          Search
		want       []string
		unreadable int
	}{
		0:  {Search{Text: text("strasse")}, []string{"Straße nach Köln", "STRASSE"}, 1},
		1:  {Search{Text: text("NGUYEN")}, []string{"Nguyễn Văn Đức"}, 1},
		2:  {Search{Text: text("văn duc")}, []string{"Nguyễn Văn Đức"}, 1},
		3:  {Search{Text: text("koln")}, []string{"Straße nach Köln", "x"}, 1},
		4:  {Search{Text: text("foret")}, []string{"x"}, 1},
		5:  {Search{From: jids[romeo]}, []string{"Straße nach Köln", "STRASSE", "x", ""}, 1},
		6:  {Search{From: jids[romeo], To: jids[alice]}, []string{"STRASSE"}, 0},
		7:  {Search{From: xmpp.MustJID("romeo@example.com/orchard"), To: xmpp.MustJID("example.com"), Limit: 2}, []string{"Straße nach Köln", "STRASSE"}, 0},
		8:  {Search{From: xmpp.MustJID("romeo@example.com/other")}, nil, 0},
		9:  {Search{End: noon}, []string{"Straße nach Köln", "Nguyễn Văn Đức"}, 0},
		10: {Search{Start: noon, Text: text("strasse")}, []string{"STRASSE"}, 1},
		11: {Search{Owner: juliet}, []string{"Straße nach Köln", "Nguyễn Văn Đức", "x", ""}, 1},
		12: {Search{Owner: juliet, Direction: Outgoing}, []string{"Nguyễn Văn Đức"}, 0},
		13: {Search{Owner: juliet, Direction: Incoming, End: noon}, []string{"Straße nach Köln"}, 0},
		14: {Search{Owner: romeo, With: jids[alice]}, []string{"STRASSE"}, 0},
		15: {Search{Owner: alice, With: jids[alice]}, []string{"note to self"}, 0},
		16: {Search{Owner: juliet, With: xmpp.MustJID("romeo@example.com/orchard"), End: noon}, []string{"Straße nach Köln"}, 0},
		17: {Search{Start: noon, End: noon}, nil, 0},
		18: {Search{Text: text("nowhere")}, nil, 1},
		19: {Search{From: jids[romeo], Reverse: true, Limit: 3}, []string{"", "x", "STRASSE"}, 1},
		20: {Search{Owner: juliet, Reverse: true, End: noon}, []string{"Nguyễn Văn Đức", "Straße nach Köln"}, 0},
		21: {Search{Part: "tras"}, []string{"Straße nach Köln", "STRASSE"}, 1},
		22: {Search{Part: "N Đ", Owner: juliet}, []string{"Nguyễn Văn Đức"}, 1},
		23: {Search{Text: text("\"nach koln\"")}, []string{"Straße nach Köln"}, 1},
		24: {Search{Text: text("\"koln nach\"")}, nil, 1},
		25: {Search{Text: text("strasse"), Reverse: true, Limit: 1}, []string{"STRASSE"}, 1},
		26: {Search{Owner: juliet, With: xmpp.MustJID("romeo@example.com/other"), Text: text("strasse")}, nil, 0},
	}
	check := func(t *testing.T) {
		for i, test := range tests {
			var got []string
			f, err := u.Search(t.Context(), test.s, func(e *Entry) error { got = append(got, e.Body); return nil })
			if err != nil || !slices.Equal(got, test.want) || f.Matched != len(got) || f.Unreadable != test.unreadable {
				t.Errorf("%d: got %q, %+v, %v\nwant %q and %d unreadable", i, got, f, err, test.want, test.unreadable)
			}
		}
	}
	t.Run("no index", check)
	h.catchUp()
	t.Run("index", check)
}

// TestSearchIsInShortViews finds what is behind more messages than one View reads.
func TestSearchIsInShortViews(t *testing.T) {
	h := open(t, t.TempDir())
	var batch []*Message
	for i := range 5000 {
		text := "hay"
		if i%1000 == 999 {
			text = "needle"
		}
		batch = append(batch, message(romeo, juliet, text))
	}
	h.keep(batch...)
	for _, o := range []directory.ID{0, juliet} {
		for _, reverse := range []bool{false, true} {
			f, err := h.audit().Search(t.Context(), Search{Owner: o, Text: text("needle"), Reverse: reverse}, func(*Entry) error { return nil })
			if err != nil || f.Matched != 5 {
				t.Errorf("in the archive of %d, reverse %v: %+v, %v", o, reverse, f, err)
			}
		}
	}
}

func TestFiles(t *testing.T) {
	h := open(t, t.TempDir())
	h.raw("<body>https://example.com/up/1.png</body><x xmlns='jabber:x:oob'><url>https://example.com/up/1.png</url></x>")
	h.raw("<body>look: https://example.com/page</body>")
	h.raw("<body> https://upload.example.com/2.png </body>")
	h.raw(`<body>https://example.com/up/3.png</body>
		<file-sharing xmlns='urn:xmpp:sfs:0'><file xmlns='urn:xmpp:file:metadata:0'><name>cat.png</name><media-type>image/png</media-type><size>77</size></file>
		<sources><url-data xmlns='http://jabber.org/protocol/url-data' target='https://example.com/up/3.png'/>
		<url-data xmlns='http://jabber.org/protocol/url-data' target='https://mirror.example/3.png'/></sources></file-sharing>
		<x xmlns='jabber:x:oob'><url>https://example.com/up/3.png</url></x>`)
	h.raw(`<body>4</body><reference xmlns='urn:xmpp:reference:0' type='data'><media-sharing xmlns='urn:xmpp:sims:1'>
		<file xmlns='urn:xmpp:jingle:apps:file-transfer:5'><name>dog.png</name><size>-4</size></file>
		<sources><reference xmlns='urn:xmpp:reference:0' type='data' uri='https://example.com/up/4.png'/></sources></media-sharing></reference>`)
	h.raw("<body>5</body><file-sharing xmlns='urn:xmpp:sfs:0'><sources/></file-sharing><x xmlns='jabber:x:oob'/>")
	want := []string{
		"https://example.com/up/1.png   -1",
		"https://upload.example.com/2.png   -1",
		"https://example.com/up/3.png cat.png image/png 77",
		"https://mirror.example/3.png cat.png image/png 77",
		"https://example.com/up/4.png dog.png  -1",
	}
	var got []string
	_, err := h.audit().Files(t.Context(), Search{Owner: juliet}, func(e *Entry, f File) error {
		got = append(got, fmt.Sprintf("%s %s %s %d", f.URL, f.Name, f.MediaType, f.Size))
		return nil
	})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, got\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func export(t *testing.T, f Format, entries ...*Entry) string {
	t.Helper()
	var b strings.Builder
	x, err := NewExporter(&b, f)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := x.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestExport(t *testing.T) {
	at := time.Date(2024, 5, 6, 7, 8, 9, 10000, time.UTC)
	plain := &Entry{ID: 5, Time: at, From: jids[romeo], To: jids[juliet], Type: xmpp.TypeChat, Body: "a\n<b> \x1b[2Jc\u202e", Stanza: []byte("<message/>")}
	formula := &Entry{ID: TimeID(at), Time: at, From: jids[romeo], To: jids[juliet], Subject: "s", Body: "=cmd()", Flags: Encrypted,
		Retracted: &Tombstone{ID: TimeID(at), By: jids[romeo]}}
	want := "2024-05-06 07:08:09Z  romeo@example.com → juliet@example.com\n    a\n    <b> �[2Jc�\n" +
		"2024-05-06 07:08:09Z  romeo@example.com → juliet@example.com  [retracted 2024-05-06 07:08:09Z]  [encrypted]\n    Subject: s\n    =cmd()\n"
	if got := export(t, Text, plain, formula); got != want {
		t.Errorf("text:\n%q\nwant\n%q", got, want)
	}
	lines := strings.Split(strings.TrimSpace(export(t, JSON, plain, formula)), "\n")
	var v exported
	if len(lines) != 2 || json.Unmarshal([]byte(lines[0]), &v) != nil || v.Body != plain.Body || v.Stanza != "<message/>" || v.ID != FormatID(5) || !v.Time.Equal(at) {
		t.Errorf("json: %q", lines)
	}
	rows, err := csv.NewReader(strings.NewReader(export(t, CSV, plain, formula))).ReadAll()
	if err != nil || len(rows) != 3 || len(rows[1]) != len(csvHead) || rows[1][6] != plain.Body || rows[2][6] != "'=cmd()" || rows[2][9] != "romeo@example.com" {
		t.Errorf("csv: %q, %v", rows, err)
	}
	if _, err := NewExporter(nil, "xml"); err == nil {
		t.Error("an unknown format was accepted")
	}
}
