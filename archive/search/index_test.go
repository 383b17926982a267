package search

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/xmpptest"
)

// made is an index in a folder, and what it logs.
type made struct {
	*Index
	testing.TB
	dir   string
	clock *xmpptest.Clock
	log   bytes.Buffer
}

func setUp(t testing.TB) *made {
	m := &made{TB: t, dir: filepath.Join(t.TempDir(), "search"), clock: new(xmpptest.Clock)}
	m.again()
	t.Cleanup(func() { m.Index.Close() })
	return m
}

// again opens the folder anew.
func (m *made) again() {
	m.Helper()
	if m.Index != nil {
		if err := m.Index.Close(); err != nil {
			m.Fatal(err)
		}
	}
	m.Index = New(Options{Dir: m.dir, Clock: m.clock, Log: slog.New(slog.NewTextHandler(&m.log, nil))})
}

func (m *made) put(docs ...Document) {
	m.Helper()
	b := &Batch{Put: docs, Archive: "a"}
	for _, d := range docs {
		b.Last = max(b.Last, d.ID)
	}
	m.update(b)
}

func (m *made) update(b *Batch) {
	m.Helper()
	if err := m.Update(m.Context(), b); err != nil {
		m.Fatal(err)
	}
}

func (m *made) state() (s State) {
	m.Helper()
	err := m.View(m.Context(), func(v *Snapshot) error { s = v.State; return nil })
	if err != nil {
		m.Fatal(err)
	}
	return s
}

func (m *made) find(w Wanted) (h Hits) {
	m.Helper()
	err := m.View(m.Context(), func(s *Snapshot) (err error) {
		h, err = s.Find(m.Context(), w)
		return err
	})
	if err != nil {
		m.Fatal(err)
	}
	return h
}

func query(t testing.TB, text string) *Query {
	t.Helper()
	q, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func doc(id uint64, owners []uint64, texts ...string) Document {
	return Document{ID: id, Owners: owners, Texts: texts}
}

func TestFind(t *testing.T) {
	m := setUp(t)
	if h := m.find(Wanted{Query: query(t, "a")}); len(h.IDs) != 0 || h.Total != 0 {
		t.Errorf("an empty index has %+v", h)
	}
	m.put(
		doc(1, []uint64{1, 2}, "Nguyễn has the quote"),
		doc(2, []uint64{1, 3}, "Die Straße nach Köln", "subject"),
		Document{ID: 3, Owners: []uint64{1, 2}, Texts: []string{"the quote again"}, Hidden: true},
		Document{ID: 4, Owners: []uint64{2}, Kind: Encrypted},
	)
	m.put(
		Document{ID: 5, Owners: []uint64{1, 2}, Texts: []string{"https://example.com/nguyen.pdf"}, Kind: HasFile},
		doc(6, []uint64{3, 2}, "quoted at length"),
		doc(7, nil),
	)
	for i, test := range []struct {
		w     Wanted
		query string
		want  []uint64
	}{
		{Wanted{Owner: 1}, "nguyen", []uint64{1, 5}},
		{Wanted{Owner: 2}, "quote", []uint64{1, 6}},
		{Wanted{Owner: 2}, `"quote"`, []uint64{1}},
		{Wanted{Owner: 2, Hidden: true}, `"quote"`, []uint64{1, 3}},
		{Wanted{Hidden: true}, "quote", []uint64{1, 3, 6}},
		{Wanted{Owner: 3}, "koeln strasse subject", []uint64{2}},
		{Wanted{Owner: 4}, "quote", nil},
		{Wanted{Owner: 2}, "again", nil},
		{Wanted{Owner: 2, OrEncrypted: true}, "again", []uint64{4}},
		{Wanted{OrEncrypted: true}, "nguyen", []uint64{1, 4, 5}},
		{Wanted{Owner: 1, Kind: HasFile}, "", []uint64{5}},
		{Wanted{Owner: 1, Kind: HasFile}, "quote", nil},
		{Wanted{Owner: 2, Lo: 2, Hi: 6}, "", []uint64{4, 5}},
		{Wanted{Lo: 2}, "", []uint64{2, 3, 4, 5, 6, 7}},
		{Wanted{Owner: 2, Limit: 2}, "", []uint64{1, 4}},
		{Wanted{Owner: 2, Limit: 2, Reverse: true}, "", []uint64{5, 6}},
	} {
		if test.query != "" {
			test.w.Query = query(t, test.query)
		}
		h := m.find(test.w)
		if !slices.Equal(h.IDs, test.want) && len(h.IDs)+len(test.want) > 0 {
			t.Errorf("%d: %q finds %v, want %v", i, test.query, h.IDs, test.want)
		}
	}
	if h := m.find(Wanted{Owner: 2, Limit: 1}); h.Total != 4 {
		t.Errorf("of all there are %d", h.Total)
	}
	if h := m.find(Wanted{Query: query(t, `"nguyen quote"`)}); len(h.IDs) != 1 {
		t.Errorf("words that do not follow one another: %+v", h)
	}
}

func TestChanges(t *testing.T) {
	m := setUp(t)
	m.put(doc(1, []uint64{1}, "one"), doc(2, []uint64{1}, "one two"), doc(3, []uint64{1}, "one three"))
	m.update(&Batch{Put: []Document{{ID: 2, Owners: []uint64{1}, Texts: []string{"one two"}, Hidden: true}}, Delete: []uint64{3, 99}, Last: 50, Archive: "b"})
	check := func() {
		t.Helper()
		if h := m.find(Wanted{Owner: 1, Query: query(t, "one")}); !slices.Equal(h.IDs, []uint64{1}) {
			t.Errorf("found %v", h.IDs)
		}
		if h := m.find(Wanted{Query: query(t, "three")}); len(h.IDs) != 0 {
			t.Errorf("what was deleted is found: %v", h.IDs)
		}
		if s := m.state(); s != (State{Last: 50, Archive: "b", Documents: 2}) {
			t.Errorf("the state is %+v", s)
		}
	}
	check()
	m.again()
	check()
	m.clock.Pass(2 * idle) // closed meanwhile
	if _, err := os.Stat(filepath.Join(m.dir, markName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the index is still open: %v", err)
	}
	check()
	if err := m.Reset(); err != nil {
		t.Fatal(err)
	}
	if s := m.state(); s != (State{}) {
		t.Errorf("after a reset the state is %+v", s)
	}
	if m.log.Len() > 0 {
		t.Errorf("logged:\n%s", m.log.String())
	}
}

// TestLikeReading compares what is found with what reading all of it finds.
func TestLikeReading(t *testing.T) {
	m := setUp(t)
	random := rand.New(rand.NewPCG(1, 2))
	vocabulary := strings.Fields("quote quotes Quoted Nguyễn nguyen Müller Mueller muller Straße strasse 東京 東 京 lunch lun lunar e-mail mail@example.com Đức duc 4711 👍 naïve")
	say := func() string {
		var list []string
		for range 1 + random.IntN(6) {
			list = append(list, vocabulary[random.IntN(len(vocabulary))])
		}
		return strings.Join(list, " ")
	}
	said := map[uint64]string{}
	id := uint64(0)
	for range 20 {
		var docs []Document
		for range 50 {
			id++
			said[id] = say()
			docs = append(docs, doc(id, []uint64{1}, said[id]))
		}
		m.put(docs...)
		gone := 1 + random.Uint64N(id)
		delete(said, gone)
		m.update(&Batch{Delete: []uint64{gone}, Last: id, Archive: "a"})
	}
	for range 300 {
		text := say()
		switch random.IntN(3) {
		case 0:
			text = `"` + text + `"`
		case 1:
			text = text[:len(text)/2]
		}
		q, err := Parse(text)
		if err != nil {
			continue
		}
		h := m.find(Wanted{Owner: 1, Query: q})
		if !q.Sure() {
			h.IDs = slices.DeleteFunc(h.IDs, func(id uint64) bool { return !q.Match(said[id]) })
		}
		var want []uint64
		for id, s := range said {
			if q.Match(s) {
				want = append(want, id)
			}
		}
		slices.Sort(want)
		if !slices.Equal(h.IDs, want) {
			t.Fatalf("%q is found in %v, want %v", text, h.IDs, want)
		}
	}
}

// TestDamage finds a new index where the old one cannot be read, and says so.
func TestDamage(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir string){
		"no index": func(t *testing.T, dir string) { overwrite(t, filepath.Join(dir, "root.bolt"), 0, nil, 0) },
		"other file": func(t *testing.T, dir string) {
			overwrite(t, filepath.Join(dir, "root.bolt"), 0, bytes.Repeat([]byte("x"), 9000), -1)
		},
		"cut off": func(t *testing.T, dir string) { overwrite(t, segmentOf(t, dir), 0, nil, 40) },
		"empty":   func(t *testing.T, dir string) { overwrite(t, segmentOf(t, dir), 0, nil, 0) },
		"gone": func(t *testing.T, dir string) {
			if err := os.Remove(segmentOf(t, dir)); err != nil {
				t.Fatal(err)
			}
		},
		"a bit": func(t *testing.T, dir string) {
			overwrite(t, segmentOf(t, dir), 11, []byte("x"), -1)
			overwrite(t, filepath.Join(dir, markName), 0, nil, -1) // as after a sudden end
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := setUp(t)
			var docs []Document
			for i := range uint64(100) {
				docs = append(docs, doc(i+1, []uint64{1}, fmt.Sprintf("some words %d", i)))
			}
			m.put(docs[:50]...)
			m.put(docs[50:]...)
			m.Index.Close()
			damage(t, m.dir)
			m.again()
			if s := m.state(); s != (State{}) {
				t.Errorf("the state is %+v", s)
			}
			if !strings.Contains(m.log.String(), "damaged and will be built again") {
				t.Errorf("logged: %q", m.log.String())
			}
			m.put(docs...)
			if h := m.find(Wanted{Owner: 1, Query: query(t, "words")}); h.Total != len(docs) {
				t.Errorf("built again it has %d", h.Total)
			}
		})
	}
}

func segmentOf(t *testing.T, dir string) string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*.zap"))
	if err != nil || len(list) == 0 {
		t.Fatalf("%v, %v", list, err)
	}
	return list[0]
}

// overwrite changes a file: at an offset, and, if size is not negative, its size.
func overwrite(t *testing.T, path string, at int64, with []byte, size int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(with, at); err != nil {
		t.Fatal(err)
	}
	if size >= 0 {
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPanicsAreDamage throws an index away whose reading panics.
func TestPanicsAreDamage(t *testing.T) {
	m := setUp(t)
	m.put(doc(1, []uint64{1}, "one"))
	err := m.View(t.Context(), func(s *Snapshot) error {
		s.failed = guard(func() error { panic("slice bounds out of range") })
		return s.failed
	})
	if err == nil || !strings.Contains(m.log.String(), "will be built again") {
		t.Errorf("%v, logged: %q", err, m.log.String())
	}
	if err := m.Update(t.Context(), &Batch{Last: 1}); err == nil {
		t.Error("it is tried again at once")
	}
	m.clock.Pass(2 * idle)
	if s := m.state(); s != (State{}) {
		t.Errorf("the state is %+v", s)
	}
}

func TestPrefixOfTooManyWords(t *testing.T) {
	m := setUp(t)
	var list []string
	for i := range maxPrefix + 1 {
		list = append(list, fmt.Sprintf("abc%x", i))
	}
	m.put(doc(1, []uint64{1}, strings.Join(list, " ")))
	err := m.View(t.Context(), func(s *Snapshot) error {
		_, err := s.Find(t.Context(), Wanted{Query: query(t, "abc")})
		return err
	})
	var peer *xmpp.Error
	if !errors.As(err, &peer) || peer.Condition != xmpp.PolicyViolation {
		t.Errorf("a word that begins too many: %v", err)
	}
	if h := m.find(Wanted{Query: query(t, "abc12")}); h.Total != 1 {
		t.Errorf("a longer one: %+v", h)
	}
	if m.log.Len() > 0 {
		t.Errorf("logged:\n%s", m.log.String())
	}
}

func TestClosed(t *testing.T) {
	m := setUp(t)
	m.put(doc(1, []uint64{1}, "one"))
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := m.Update(t.Context(), &Batch{Last: 2}); !errors.Is(err, errClosed) {
		t.Errorf("a change: %v", err)
	}
	if err := m.View(t.Context(), func(*Snapshot) error { return nil }); !errors.Is(err, errClosed) {
		t.Errorf("a search: %v", err)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	m.again()
	err := m.View(t.Context(), func(s *Snapshot) error {
		_, err := s.Find(done, Wanted{Query: query(t, "one")})
		return err
	})
	if !errors.Is(err, context.Canceled) || m.log.Len() > 0 {
		t.Errorf("cancelled: %v, logged %q", err, m.log.String())
	}
}

// BenchmarkFind looks for things in 100,000 messages of 200 people.
func BenchmarkFind(b *testing.B) {
	m := setUp(b)
	random := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(random, 1.2, 20, 50_000)
	const n, batch = 100_000, 500
	start := time.Now()
	for id := uint64(0); id < n; {
		var docs []Document
		for range batch {
			id++
			var text strings.Builder
			for range 12 {
				fmt.Fprintf(&text, "w%x ", zipf.Uint64()*2654435761%0xffffffff)
			}
			docs = append(docs, doc(id*1000, []uint64{1 + random.Uint64N(200), 1 + random.Uint64N(200)}, text.String()))
		}
		m.put(docs...)
	}
	built := time.Since(start)
	var size int64
	filepath.Walk(m.dir, func(_ string, i os.FileInfo, err error) error { size += i.Size(); return err })
	common := fmt.Sprintf("\"w%x\"", 0)
	rare := fmt.Sprintf("\"w%x\"", uint64(3000)*2654435761%0xffffffff)
	for name, w := range map[string]Wanted{
		"common": {Owner: 7, Query: query(b, common)}, "rare": {Owner: 7, Query: query(b, rare)}, "prefix": {Owner: 7, Query: query(b, "w1a")},
		"everybody's": {Query: query(b, common), Limit: 1000},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				m.find(w)
			}
			b.ReportMetric(float64(m.find(w).Total), "hits")
			b.ReportMetric(n/built.Seconds(), "indexed/s")
			b.ReportMetric(float64(size)/n, "disk-B/msg")
		})
	}
}
