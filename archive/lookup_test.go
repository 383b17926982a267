package archive

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
)

// talk keeps messages between three people, about this and that, and returns what each id says to whom.
type talk struct {
	*house
	random *rand.Rand
	said   []spoken
}

type spoken struct {
	id       uint64
	from, to directory.ID
	text     string
	file     bool
	gone     bool // retracted, or encrypted
}

func newTalk(t *testing.T) *talk {
	return &talk{house: open(t, t.TempDir()), random: rand.New(rand.NewPCG(3, 4))}
}

var chatter = strings.Fields("Nguyễn nguyen Đức quote quotes lunch Straße strasse Müller mueller 東京 京 Köln 4711 the 👍")

func (k *talk) speak(n int) {
	k.t.Helper()
	people := []directory.ID{romeo, juliet, alice}
	var batch []*Message
	for range n {
		var list []string
		for range 1 + k.random.IntN(4) {
			list = append(list, chatter[k.random.IntN(len(chatter))])
		}
		s := spoken{from: people[k.random.IntN(3)], to: people[k.random.IntN(3)], text: strings.Join(list, " ")}
		m := message(s.from, s.to, s.text)
		switch k.random.IntN(8) {
		case 0:
			m.Stanza = []byte(strings.Replace(string(m.Stanza), "</message>", "<encrypted xmlns='urn:xmpp:omemo:2'/></message>", 1))
			m.Flags |= Encrypted
			s.gone = true
		case 1:
			m.Stanza = []byte(strings.Replace(string(m.Stanza), "</message>", "<x xmlns='jabber:x:oob'><url>https://example.com/1</url></x></message>", 1))
			m.Flags |= HasFile
			s.file = true
		}
		batch = append(batch, m)
		k.said = append(k.said, s)
	}
	for i, id := range k.keep(batch...) {
		k.said[len(k.said)-n+i].id = id
	}
	k.clock.Pass(time.Minute)
}

// retract has some messages retracted that were said.
func (k *talk) retract(n int) {
	k.t.Helper()
	for range n {
		s := &k.said[k.random.IntN(len(k.said))]
		k.entomb(s.id, Tombstone{ID: s.id, Inside: []byte("<retracted/>")})
		s.gone, s.file = true, false
	}
}

// found is what a query is to find.
func (k *talk) found(q Query) (ids []uint64) {
	for _, s := range k.said {
		var with directory.ID
		switch q.Owner {
		case s.from:
			with = s.to
		case s.to:
			with = s.from
		default:
			continue
		}
		if (q.With.IsZero() || jids[with] == q.With) && (q.Text == nil || !s.gone && q.Text.Match(s.text)) && (!q.Files || s.file) {
			ids = append(ids, s.id)
		}
	}
	return ids
}

// check compares what queries find with what they are to find, in one page and in several, forth and back.
func (k *talk) check(t *testing.T) {
	t.Helper()
	for _, query := range []string{"nguyen", "strasse quote", `"duc quote"`, "quo", "東京", "mueller", "nowhere", "the", ""} {
		for _, q := range []Query{{Owner: juliet}, {Owner: juliet, With: jids[alice]}, {Owner: romeo, With: jids[romeo]}, {Owner: alice, Files: true}} {
			if query != "" {
				q.Text = text(query)
			}
			want := k.found(q)
			for _, last := range []bool{false, true} {
				q.Last, q.After, q.Before, q.Max = last, 0, 0, 7
				var got []uint64
				for {
					ids, r := k.page(q)
					if r.Count != len(want) || len(ids) > 0 && r.Index != slices.Index(want, ids[0]) {
						t.Fatalf("%q %+v: a page is %+v, of %d", query, q, r, len(want))
					}
					if last {
						got = append(ids, got...)
						q.Before = r.First
					} else {
						got = append(got, ids...)
						q.After = r.Last
					}
					if r.Complete {
						break
					}
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%q %+v: found %v, want %v", query, q, got, want)
				}
			}
		}
	}
}

// TestLookup finds the same however far the index is.
func TestLookup(t *testing.T) {
	k := newTalk(t)
	k.speak(150)
	k.retract(5)
	t.Run("no index", k.check)
	k.catchUp()
	t.Run("index", k.check)
	k.retract(5)
	k.speak(100)
	t.Run("behind", k.check)
	k.catchUp()
	t.Run("caught up", k.check)
	k.house = k.reopen()
	t.Run("opened again", k.check)
	k.speak(20)
	k.index.Close()
	t.Run("index gone", k.check)
}

func TestLookupWithOtherConditions(t *testing.T) {
	h := open(t, t.TempDir())
	var ids []uint64
	for i := range 10 {
		ids = append(ids, h.keep(message(romeo, juliet, fmt.Sprint("lunch ", i%2)))...)
		h.clock.Pass(time.Minute)
		if i == 5 {
			h.catchUp()
		}
	}
	lunch := text(`"lunch 1"`)
	full := xmpp.MustJID("romeo@example.com/orchard")
	for i, test := range []struct {
		q    Query
		want []uint64
	}{
		{Query{Start: IDTime(ids[2]), End: IDTime(ids[7])}, []uint64{ids[3], ids[5], ids[7]}},
		{Query{AfterID: ids[3], BeforeID: ids[9]}, []uint64{ids[5], ids[7]}},
		{Query{AfterID: ids[9]}, nil},
		{Query{IDs: []uint64{ids[7], ids[8], ids[1]}}, []uint64{ids[1], ids[7]}},
		{Query{With: full}, []uint64{ids[1], ids[3], ids[5], ids[7], ids[9]}},
		{Query{With: xmpp.MustJID("romeo@example.com/x")}, nil},
		{Query{HasIndex: true, Index: 2, Max: 2}, []uint64{ids[5], ids[7]}},
		{Query{Last: true, Flip: true, Max: 2}, []uint64{ids[9], ids[7]}},
	} {
		test.q.Owner, test.q.Text = juliet, lunch
		got, _ := h.page(test.q)
		if !slices.Equal(got, test.want) {
			t.Errorf("%d: found %v, want %v", i, got, test.want)
		}
	}
	if got, r := h.page(Query{Owner: juliet, Text: lunch, None: true}); len(got) != 0 || r.Count != 5 || r.Complete {
		t.Errorf("only counted: %v, %+v", got, r)
	}
	if _, err := h.Page(t.Context(), Query{Owner: juliet, Text: lunch, After: 5}, nil); !errors.Is(err, errUnknownID) {
		t.Errorf("after what is not there: %v", err)
	}
}

// TestLookupAmongMany pages through more than is counted.
func TestLookupAmongMany(t *testing.T) {
	for _, indexed := range []bool{false, true} {
		h := open(t, t.TempDir())
		var batch []*Message
		for i := range 3 * maxRead {
			batch = append(batch, message(romeo, juliet, fmt.Sprint("lunch ", i%2)))
		}
		ids := h.keep(batch...)
		if indexed {
			h.catchUp()
		}
		q := Query{Owner: juliet, Text: text(`"lunch 1"`), Max: 2}
		if got, r := h.page(q); !slices.Equal(got, []uint64{ids[1], ids[3]}) || r.Count != -1 || r.Complete {
			t.Errorf("forwards: %v, %+v", got, r)
		}
		q.Last = true
		got, r := h.page(q)
		if n := len(ids); !slices.Equal(got, []uint64{ids[n-3], ids[n-1]}) || r.Count != -1 || r.Complete {
			t.Errorf("backwards: %v, %+v", got, r)
		}
		q.Before, q.Max = ids[4], 5
		if got, r := h.page(q); !slices.Equal(got, []uint64{ids[1], ids[3]}) || !r.Complete {
			t.Errorf("the first: %v, %+v", got, r)
		}
	}
}

// TestLookupOfFewAmongMany finds the few in one conversation among more than the index is asked for at once.
func TestLookupOfFewAmongMany(t *testing.T) {
	h := open(t, t.TempDir())
	few := h.keep(message(alice, juliet, "lunch"), message(alice, juliet, "lunch"))
	var batch []*Message
	for range 3000 {
		batch = append(batch, message(romeo, juliet, "lunch"))
	}
	h.keep(batch...)
	few = append(few, h.keep(message(juliet, alice, "lunch"))...)
	h.catchUp()
	q := Query{Owner: juliet, With: jids[alice], Text: text("lunch")}
	for _, sp := range []span{{0, maxID, false, 10}, {0, maxID, true, 10}, {0, maxID, true, 2}, {few[0] + 1, few[2], true, 2}} {
		p := h.paging(&q)
		var got []uint64
		err := h.withIndex(t.Context(), func(ix indexed) (err error) {
			got, err = p.lookup(t.Context(), ix, sp)
			return err
		})
		var want []uint64
		for _, id := range few {
			if id >= sp.lo && id < sp.hi {
				want = append(want, id)
			}
		}
		if sp.backward {
			slices.Reverse(want)
		}
		if want = want[:min(len(want), sp.n)]; err != nil || !slices.Equal(got, want) {
			t.Errorf("%+v: %v, found %v, want %v", sp, err, got, want)
		}
	}
}

// TestAuditorAtTheEdge finds what is just before and just behind what the index has, also if that goes away meanwhile.
func TestAuditorAtTheEdge(t *testing.T) {
	for _, reset := range []bool{false, true} {
		for _, reverse := range []bool{false, true} {
			h := open(t, t.TempDir())
			want := h.keep(message(romeo, juliet, "lunch"), message(romeo, juliet, "lunch"))
			h.catchUp()
			want = append(want, h.keep(message(romeo, juliet, "lunch"), message(romeo, juliet, "lunch"))...)
			if reverse {
				slices.Reverse(want)
			}
			for _, o := range []directory.ID{0, juliet} {
				var got []uint64
				_, err := h.audit().Search(t.Context(), Search{Owner: o, Text: text("lunch"), Reverse: reverse}, func(e *Entry) error {
					if got = append(got, e.ID); reset && len(got) == 1 {
						return h.index.Reset()
					}
					return nil
				})
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("reset %v, reverse %v, owner %d: %v, found %v, want %v", reset, reverse, o, err, got, want)
				}
			}
		}
	}
}

func TestFollowing(t *testing.T) {
	h := open(t, t.TempDir())
	state := func() IndexState {
		t.Helper()
		st, err := h.IndexState(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	ids := h.keep(message(romeo, juliet, "one"), message(romeo, juliet, "two"))
	h.Follow()
	if st := state(); st.Behind != 2 || st.Documents != 0 || !st.Last.IsZero() {
		t.Errorf("at first: %+v", st)
	}
	h.clock.Pass(indexPatience + 2*indexEvery)
	if st := state(); st.Behind != 0 || st.Documents != 2 || !st.Last.Equal(IDTime(ids[1])) {
		t.Errorf("after some time: %+v", st)
	}
	var batch []*Message
	for range 3 * indexBatch {
		batch = append(batch, message(romeo, juliet, "three"))
	}
	h.keep(batch...)
	h.clock.Pass(indexEvery) // notices them
	h.keep(message(romeo, juliet, "four"))
	for range indexEnough {
		h.stats.messages.Add(1)
	}
	h.clock.Pass(2 * indexEvery)
	if st := state(); st.Behind != 0 || st.Documents != 2+3*indexBatch+1 {
		t.Errorf("after many: %+v", st)
	}
	h.Unfollow()
	h.keep(message(romeo, juliet, "five"))
	h.clock.Pass(time.Hour)
	if st := state(); st.Behind != 1 {
		t.Errorf("when nothing follows any more: %+v", st)
	}
}

// TestWhatIsGoneLeavesTheIndex removes what was purged, swept or retracted.
func TestWhatIsGoneLeavesTheIndex(t *testing.T) {
	h := open(t, t.TempDir())
	h.keep(message(romeo, juliet, "old secret"))
	h.clock.Pass(2 * MinRetention)
	ids := h.keep(message(alice, alice, "own secret"), message(alice, juliet, "shared secret"), message(juliet, romeo, "other secret"))
	documents := func() int {
		t.Helper()
		h.catchUp()
		st, err := h.IndexState(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return st.Documents
	}
	find := func(o directory.ID) []uint64 {
		t.Helper()
		got, _ := h.page(Query{Owner: o, Text: text("secret")})
		return got
	}
	audit := func() (n int) {
		t.Helper()
		f, err := h.audit().Search(t.Context(), Search{Text: text("secret")}, func(*Entry) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		return f.Matched
	}
	if n := documents(); n != 4 || audit() != 4 {
		t.Errorf("%d documents", n)
	}
	if _, err := h.Retain(t.Context(), MinRetention); err != nil {
		t.Fatal(err)
	}
	if got := find(juliet); !slices.Equal(got, ids[1:]) || audit() != 3 || documents() != 3 {
		t.Errorf("after a sweep %v is found, by the auditor %d", got, audit())
	}
	if _, err := h.Purge(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	if got := find(alice); len(got) != 0 || audit() != 2 || documents() != 2 || audit() != 2 {
		t.Errorf("after a purge %v is found, by the auditor %d", got, audit())
	}
	if got := find(juliet); !slices.Equal(got, ids[1:]) {
		t.Errorf("the other still finds %v", got)
	}
	h.entomb(ids[2], Tombstone{ID: ids[2], Inside: []byte("<retracted/>")})
	for range 2 {
		if got := find(juliet); !slices.Equal(got, ids[1:2]) || audit() != 2 {
			t.Errorf("after a retraction %v is found, by the auditor %d", got, audit())
		}
		h.catchUp()
	}
	if left, _, err := h.changes(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("notes are left: %v, %v", left, err)
	}
}

// TestForeignIndex builds an index again that belongs to another archive, or to a later state of this one.
func TestForeignIndex(t *testing.T) {
	one, two := open(t, t.TempDir()), open(t, t.TempDir())
	one.keep(message(romeo, juliet, "one"))
	one.catchUp()
	two.clock.Pass(time.Hour)
	two.keep(message(romeo, juliet, "two"))
	two.catchUp()
	two.opts.Index, one.opts.Index = one.index, two.index
	for _, h := range []*house{one, two} {
		for range 2 {
			for query, n := range map[string]int{"one": 1, "two": 0} {
				if h == two {
					n = 1 - n
				}
				if got, _ := h.page(Query{Owner: juliet, Text: text(query)}); len(got) != n {
					t.Errorf("%s: found %v", query, got)
				}
			}
			h.checked.Store(false)
			h.catchUp()
		}
	}
}

// TestOlderArchive has an archive put back that is older than its index.
func TestOlderArchive(t *testing.T) {
	h := open(t, t.TempDir())
	h.keep(message(romeo, juliet, "one"))
	h.catchUp()
	older := t.TempDir()
	h = h.reopen()
	if err := errors.Join(h.index.Close(), h.held.Close(), os.CopyFS(older, os.DirFS(h.dir)), os.RemoveAll(filepath.Join(older, "search"))); err != nil {
		t.Fatal(err)
	}
	h = open(t, h.dir)
	h.clock.Pass(time.Hour)
	h.keep(message(romeo, juliet, "two"))
	h.catchUp()
	if err := errors.Join(h.index.Close(), os.CopyFS(filepath.Join(older, "search"), os.DirFS(filepath.Join(h.dir, "search")))); err != nil {
		t.Fatal(err)
	}
	h = open(t, older)
	h.clock.Pass(time.Minute)
	h.keep(message(romeo, juliet, "three"))
	for range 2 {
		for query, n := range map[string]int{"one": 1, "two": 0, "three": 1} {
			if got, r := h.page(Query{Owner: juliet, Text: text(query)}); len(got) != n || r.Count != n {
				t.Errorf("%s: found %v, %+v", query, got, r)
			}
		}
		h.catchUp()
	}
	if st, err := h.IndexState(t.Context()); err != nil || st.Documents != 2 {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestReindex(t *testing.T) {
	h := open(t, t.TempDir())
	var batch []*Message
	for range 2*reindexBatch + 1 {
		batch = append(batch, message(romeo, juliet, "one"))
	}
	h.keep(batch...)
	for range 2 {
		var told []string
		n, err := h.Reindex(t.Context(), func(done, total int) { told = append(told, fmt.Sprint(done, "/", total)) })
		want := fmt.Sprintf("[%d/%d %d/%d %d/%d]", reindexBatch, len(batch), 2*reindexBatch, len(batch), len(batch), len(batch))
		if n != len(batch) || err != nil || fmt.Sprint(told) != want {
			t.Errorf("%d, %v, progress %v, want %s", n, err, told, want)
		}
		if st, err := h.IndexState(t.Context()); err != nil || st.Documents != len(batch) || st.Behind != 0 {
			t.Errorf("%+v, %v", st, err)
		}
	}
	none := &Archive{}
	if _, err := none.Reindex(t.Context(), nil); !errors.Is(err, ErrNoIndex) {
		t.Error(err)
	}
}

// TestAuditorsSearchIsLikeReading finds, in both directions, what reading all of it finds.
func TestAuditorsSearchIsLikeReading(t *testing.T) {
	k := newTalk(t)
	check := func(t *testing.T) {
		for _, query := range []string{"nguyen", `"duc quote"`, "strasse lun"} {
			for _, s := range []Search{{}, {Owner: juliet}, {Owner: juliet, With: jids[alice], Direction: Incoming}, {Start: IDTime(k.said[20].id), End: IDTime(k.said[90].id)}} {
				for _, reverse := range []bool{false, true} {
					var want, got []uint64
					encrypted := 0
					_, err := k.audit().Search(t.Context(), s, func(e *Entry) error {
						if e.says(text(query)) {
							want = append(want, e.ID)
						} else if e.Flags&Encrypted != 0 {
							encrypted++
						}
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
					if reverse {
						slices.Reverse(want)
					}
					s.Text, s.Reverse = text(query), reverse
					f, err := k.audit().Search(t.Context(), s, func(e *Entry) error { got = append(got, e.ID); return nil })
					if err != nil || !slices.Equal(got, want) || f.Unreadable != encrypted {
						t.Errorf("%q %+v: %v, %+v\nfound %v\nwant  %v, %d", query, s, err, f, got, want, encrypted)
					}
					s.Text, s.Reverse = nil, false
				}
			}
		}
	}
	k.speak(100)
	t.Run("no index", check)
	k.catchUp()
	t.Run("index", check)
	k.retract(5)
	k.speak(50)
	t.Run("behind", check)
}
