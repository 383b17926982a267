package archive

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
	"confab/xmpp/store/storetest"
)

// records counts what is in a space.
func records(h *house, s store.Space) (n int) {
	h.t.Helper()
	err := h.db.View(h.t.Context(), func(tx store.Tx) error {
		for range tx.Scan(s, store.Range{}) {
			n++
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

func TestRetain(t *testing.T) {
	h := open(t, t.TempDir())
	var ids []uint64
	for day := range 60 {
		for range 10 {
			ids = append(ids, h.keep(message(romeo, juliet, "1"))...)
		}
		if day%2 == 0 {
			ids = append(ids, h.keep(message(juliet, alice, "2"))...)
		}
		h.clock.Pass(24 * time.Hour)
	}
	if n, err := h.Retain(t.Context(), MinRetention-1); err == nil || n != 0 {
		t.Errorf("a retention below the shortest removed %d: %v", n, err)
	}
	n, err := h.Retain(t.Context(), MinRetention)
	if err != nil || n != 315 {
		t.Errorf("removed %d of 315: %v", n, err)
	}
	left := ids[315:]
	got, r := h.page(Query{Owner: juliet, Max: 250})
	if !slices.Equal(got, left[:250]) || r.Count != 315 || r.Index != 0 {
		t.Errorf("juliet has %d of %d from %d on", len(got), r.Count, r.Index)
	}
	if _, r := h.page(Query{Owner: juliet, With: jids[romeo]}); r.Count != 300 {
		t.Errorf("juliet has %d with romeo, want 300", r.Count)
	}
	if _, r := h.page(Query{Owner: alice}); r.Count != 15 {
		t.Errorf("alice has %d, want 15", r.Count)
	}
	if bodies := records(h, spaceBody); bodies != 315 {
		t.Errorf("%d messages are left, want 315", bodies)
	}
	if n, err := h.Retain(t.Context(), MinRetention); n != 0 || err != nil {
		t.Errorf("the second time removed %d: %v", n, err)
	}
	h.check()
	// The count stays exact with what comes later.
	h.keep(message(alice, juliet, "3"))
	if _, r := h.page(Query{Owner: juliet}); r.Count != 316 {
		t.Errorf("juliet has %d, want 316", r.Count)
	}
}

// A clock that leaps is not believed before it has gone on evenly for a week, by whatever server asks.
func TestClockHolds(t *testing.T) {
	const day = 24 * time.Hour
	h := open(t, t.TempDir())
	holds := func(want bool) {
		t.Helper()
		if got, err := h.ClockHolds(t.Context()); got != want || err != nil {
			t.Errorf("%v: %v, %v", h.clock.Now(), got, err)
		}
	}
	passes := func(days int, want bool) {
		t.Helper()
		for range days {
			h.clock.Pass(day)
			holds(want)
		}
	}
	h.clock.Pass(400 * day)
	holds(true) // nothing is there that could be old
	passes(3, true)
	h.clock.Pass(maxLeap)
	holds(true)
	h.clock.Pass(365 * day)
	holds(false)
	passes(3, false)
	now := h.clock.Now()
	h = h.reopen()
	h.clock.Pass(now.Sub(h.clock.Now()))
	passes(3, false)
	passes(3, true)

	// It was wrong, and is set right: that is a leap back.
	h.clock.Pass(365 * day)
	holds(false)
	h.clock.Pass(-365 * day)
	holds(false)
	passes(6, false)
	passes(2, true)
	h.clock.Pass(-time.Hour)
	holds(true)
}

// Without a note of the clock, what was said last before the start tells how far it has gone.
func TestClockHoldsAtFirst(t *testing.T) {
	for _, days := range []int{1, 60} {
		h := open(t, t.TempDir())
		h.keep(message(romeo, juliet, "1"))
		h = h.reopen()
		h.clock.Pass(time.Duration(days) * 24 * time.Hour)
		h.keep(message(romeo, juliet, "2"))
		if got, err := h.ClockHolds(t.Context()); got != (days == 1) || err != nil {
			t.Errorf("%d days: %v, %v", days, got, err)
		}
	}
}

func TestPurge(t *testing.T) {
	h := open(t, t.TempDir())
	for range 300 {
		h.keep(message(romeo, juliet, "1"), message(romeo, romeo, "2"))
	}
	if err := h.SetMarker(t.Context(), romeo, 7); err != nil {
		t.Fatal(err)
	}
	n, err := h.Purge(t.Context(), romeo)
	if err != nil || n != 600 {
		t.Errorf("removed %d of 600: %v", n, err)
	}
	if _, r := h.page(Query{Owner: juliet}); r.Count != 300 {
		t.Errorf("juliet has %d, want 300", r.Count)
	}
	if ids, r := h.page(Query{Owner: romeo}); len(ids) != 0 || r.Count != 0 || !r.Complete {
		t.Errorf("romeo has %d", r.Count)
	}
	if bodies := records(h, spaceBody); bodies != 300 {
		t.Errorf("%d messages are left, want 300", bodies)
	}
	h.check()
	if m, err := h.Marker(t.Context(), romeo); m != 0 || err != nil {
		t.Errorf("the marker is %d, %v", m, err)
	}
	if n, err := h.Purge(t.Context(), juliet); n != 300 || err != nil {
		t.Errorf("removed %d: %v", n, err)
	}
	if bodies, blocks := records(h, spaceBody), records(h, spaceIndex); bodies != 0 || blocks != 0 {
		t.Errorf("%d messages and %d blocks are left", bodies, blocks)
	}
}

// What was purged from an archive is not found in it, however it is looked for, although others have it still.
func TestPurgedIsNotFound(t *testing.T) {
	for _, indexed := range []bool{false, true} {
		h := open(t, t.TempDir())
		h.keep(message(romeo, juliet, "hello"), message(juliet, romeo, "hello"))
		if indexed {
			h.catchUp()
		}
		if n, err := h.Purge(t.Context(), romeo); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		want := h.keep(message(romeo, juliet, "hello"))
		u, err := h.Audit(t.Context(), "nurse", "test", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []Search{{Owner: romeo}, {Owner: romeo, Text: text("hello")}, {Owner: romeo, With: jids[juliet], Text: text("hello")}} {
			var got []uint64
			if _, err := u.Search(t.Context(), s, func(e *Entry) error { got = append(got, e.ID); return nil }); err != nil || !slices.Equal(got, want) {
				t.Errorf("indexed %v: %+v finds %v, %v; not %v", indexed, s, got, err, want)
			}
		}
		for _, q := range []Query{{Owner: romeo, Text: text("hello")}, {Owner: romeo, With: jids[juliet]}} {
			if got, r := h.page(q); !slices.Equal(got, want) || r.Count != 1 {
				t.Errorf("indexed %v: %+v finds %v, %+v; not %v", indexed, q, got, r, want)
			}
		}
	}
}

// A disk that is full when somebody is removed, and still when the server is started, keeps nobody from reading; there being
// room again, the removal is done.
func TestPurgeOnAFullDisk(t *testing.T) {
	const n = 2*sweepBodies + 10
	h := open(t, t.TempDir())
	for range n {
		h.keep(message(romeo, juliet, "1"))
	}
	h.failing.FailAfter(4, storetest.ErrFull)
	if removed, err := h.Purge(t.Context(), romeo); removed != sweepBodies || !errors.Is(err, storetest.ErrFull) {
		t.Fatal(removed, err)
	}
	h.failing.Fail(storetest.ErrFull)
	a, err := Open(t.Context(), h.failing, Options{Clock: h.clock, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if _, last, err := a.Ends(t.Context(), juliet); last != h.Last() || err != nil {
		t.Errorf("juliet's last is %d, %v", last, err)
	}
	h = h.reopen()
	if removed, err := h.Purge(t.Context(), romeo); removed != n-sweepBodies || err != nil {
		t.Fatal(removed, err)
	}
	if left := h.blocks(romeo); len(left) > 0 {
		t.Errorf("%d blocks are left", len(left))
	}
	if _, r := h.page(Query{Owner: juliet}); r.Count != n {
		t.Errorf("juliet has %d", r.Count)
	}
}

func TestTombstone(t *testing.T) {
	h := open(t, t.TempDir())
	id := h.keep(message(romeo, juliet, "secret"))[0]
	tomb := Tombstone{ID: id + 5, By: jids[romeo], Inside: []byte("<retracted xmlns='urn:xmpp:message-retract:1' id='r'/>")}
	h.entomb(id+1, tomb) // is not there
	h.entomb(id, tomb)
	h.entomb(id, Tombstone{ID: id + 6, By: jids[juliet], Inside: []byte("<again/>")})
	h = h.reopen()
	for _, o := range []directory.ID{romeo, juliet} {
		_, err := h.Page(t.Context(), Query{Owner: o}, func(it *Item) error {
			got, err := it.Append(nil, "", []byte("<x/>"))
			want := "<message from='romeo@example.com/orchard' to='juliet@example.com' type='chat' id='secret'><retracted xmlns='urn:xmpp:message-retract:1' id='r'/><x/></message>"
			if string(got) != want {
				t.Errorf("%d sees %s\nwant %s", o, got, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	u, err := h.Audit(t.Context(), "admin", "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := u.Search(t.Context(), Search{Text: text("secret")}, func(e *Entry) error {
		if e.Retracted == nil || e.Retracted.By != jids[romeo] || e.Retracted.ID != id+5 || e.Body != "secret" {
			t.Errorf("the auditor sees %+v", e)
		}
		return nil
	})
	if err != nil || f.Matched != 1 {
		t.Errorf("the auditor found %+v, %v", f, err)
	}
}

func TestMarker(t *testing.T) {
	h := open(t, t.TempDir())
	marker := func() uint64 {
		t.Helper()
		m, err := h.Marker(t.Context(), juliet)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	onDisk := func() (m uint64) {
		t.Helper()
		if err := h.db.View(t.Context(), func(tx store.Tx) error { m = readMarker(tx, juliet); return nil }); err != nil {
			t.Fatal(err)
		}
		return m
	}
	if m := marker(); m != 0 {
		t.Errorf("before anything the marker is %d", m)
	}
	h.Advance(juliet, 5)
	h.Advance(juliet, 3)
	if m, d := marker(), onDisk(); m != 5 || d != 0 {
		t.Errorf("marker %d, on disk %d; want 5 and 0", m, d)
	}
	h.keep(message(romeo, juliet, "1"))
	if d := onDisk(); d != 0 {
		t.Errorf("at once on disk: %d", d)
	}
	h.clock.Pass(markerInterval)
	h.keep(message(romeo, juliet, "2"))
	if m, d := marker(), onDisk(); m != 5 || d != 5 {
		t.Errorf("after a while: marker %d, on disk %d; want 5", m, d)
	}
	h.Advance(juliet, 9)
	if err := h.SyncMarkers(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := onDisk(); d != 9 {
		t.Errorf("after SyncMarkers %d is on disk, want 9", d)
	}
	h.Advance(juliet, 20)
	if err := h.SetMarker(t.Context(), juliet, 7); err != nil {
		t.Fatal(err)
	}
	if m := marker(); m != 7 {
		t.Errorf("set back, the marker is %d, want 7", m)
	}
	if h = h.reopen(); marker() != 7 {
		t.Errorf("after opening again it is %d, want 7", marker())
	}
}

// TestSyncMarkersOfMany stops after a message that went to more people than one transaction writes markers of.
func TestSyncMarkersOfMany(t *testing.T) {
	h := open(t, t.TempDir())
	const owners = 2*maxMarkers + 1
	for o := range directory.ID(owners) {
		h.Advance(o+1, 5)
	}
	if err := h.SyncMarkers(t.Context()); err != nil {
		t.Fatal(err)
	}
	h = h.reopen()
	n := 0
	for o := range directory.ID(owners) {
		if m, err := h.Marker(t.Context(), o+1); err != nil {
			t.Fatal(err)
		} else if m == 5 {
			n++
		}
	}
	if n != owners {
		t.Errorf("%d markers are on disk, want %d", n, owners)
	}
}

func TestSpool(t *testing.T) {
	h := open(t, t.TempDir())
	of := func(typ xmpp.Type, m *Message) *Message { m.Type = typ; return m }
	first := h.keep(message(romeo, juliet, "old"))[0]
	var want []string
	for i := range 5000 { // more than one View reads
		text := string(rune('a'+i%26)) + "x"
		switch i % 50 {
		case 0:
			h.keep(message(romeo, juliet, text))
			want = append(want, text)
		case 1:
			h.keep(of(xmpp.TypeNone, message(juliet, juliet, text)))
			want = append(want, text)
		case 2:
			h.keep(of(xmpp.TypeGroupchat, message(alice, juliet, text)), of(xmpp.TypeHeadline, message(alice, juliet, text)))
		default:
			h.keep(message(juliet, romeo, text))
		}
	}
	var got []string
	last, err := h.Spool(t.Context(), juliet, first, func(it *Item) error {
		st, err := xmpp.Parse(it.Stanza)
		if err != nil {
			return err
		}
		got = append(got, st.Child("", "body").Text())
		return nil
	})
	if err != nil || last != h.Last() || !slices.Equal(got, want) {
		t.Errorf("%d messages up to %d, want %d up to %d; %v", len(got), last, len(want), h.Last(), err)
	}
	n := 0
	if _, err := h.Spool(t.Context(), juliet, last, func(*Item) error { n++; return nil }); err != nil || n != 0 {
		t.Errorf("behind the last there are %d, %v", n, err)
	}
	stop := 0
	last, err = h.Spool(t.Context(), juliet, 0, func(it *Item) error {
		if stop++; stop == 2 {
			return errRecord
		}
		return nil
	})
	if err != errRecord || last < first || last >= h.Last() {
		t.Errorf("interrupted at %d, %v", last, err)
	}
}
