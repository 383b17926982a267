package server

import (
	"context"
	"testing"
	"time"

	"confab/archive"
	"confab/cmd/internal/admin"
	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/xmpptest"
)

// A purge that ends with the deletion, as by a crash or because who asked for it is gone, is done nevertheless: there is
// nobody left whom it could be asked for.
func TestInterruptedPurge(t *testing.T) {
	s := newServer(t, Options{})
	ctx, leave := context.WithCancel(t.Context())
	if err := s.directory.Add(ctx, directory.NewUser{Domain: "example.com", Local: "romeo"}, directory.NewUser{Domain: "example.com", Local: "juliet"}); err != nil {
		t.Fatal(err)
	}
	id := func(address string) directory.ID { return s.directory.User(xmpp.MustJID(address)).ID }
	romeo, juliet := id("romeo@example.com"), id("juliet@example.com")
	m := &archive.Message{
		Stanza: []byte("<message from='romeo@example.com/orchard' to='juliet@example.com' type='chat'><body>Hi</body></message>"),
		Type:   xmpp.TypeChat, Flags: archive.HasBody,
		Rows: []archive.Row{{Owner: romeo, With: xmpp.MustJID("juliet@example.com")}, {Owner: juliet, With: xmpp.MustJID("romeo@example.com"), Incoming: true}},
	}
	if err := s.archive.Keep(ctx, []*archive.Message{m}, archive.Also{}); err != nil {
		t.Fatal(err)
	}
	last := func(o directory.ID) uint64 {
		_, id, err := s.archive.Ends(t.Context(), o)
		if err != nil {
			t.Error(err)
		}
		return id
	}
	s.directory.OnChange(func(directory.Change) { leave() })
	if _, err := admin.UserDelete.Call(ctx, s.admin, "test", admin.UserDeleteParams{Address: "romeo", Purge: true}, admin.Receiver[admin.None]{}); err == nil {
		t.Fatal("the purge was not interrupted")
	}
	if s.directory.ByID(romeo) != nil || last(romeo) == 0 {
		t.Fatalf("the deletion was interrupted elsewhere: the last message of romeo is %d", last(romeo))
	}
	s.clean(t.Context(), time.Hour)
	if last(romeo) != 0 || last(juliet) != m.ID {
		t.Errorf("the last message of romeo is %d, of juliet %d", last(romeo), last(juliet))
	}
	if n, err := s.admin.GoOn(t.Context()); n != 0 || err != nil {
		t.Errorf("ended %d once more, %v", n, err)
	}
}

// A clock that leaps makes nothing old: not before it has gone on for a week.
func TestRetentionWaitsForTheClock(t *testing.T) {
	clock := &xmpptest.Clock{}
	s := newServer(t, Options{Clock: clock})
	s.settings.Load().Archive.Retention.Duration = archive.MinRetention
	m := &archive.Message{Stanza: []byte("<message><body>Hi</body></message>"), Type: xmpp.TypeChat, Rows: []archive.Row{{Owner: 7}}}
	if err := s.archive.Keep(t.Context(), []*archive.Message{m}, archive.Also{}); err != nil {
		t.Fatal(err)
	}
	s.removeOld(t.Context(), func(text string, err error) { t.Error(text, err) })
	for day := range 9 {
		if clock.Pass(24 * time.Hour); day == 0 {
			clock.Pass(365 * 24 * time.Hour)
		}
		s.removeOld(t.Context(), func(text string, err error) { t.Error(text, err) })
		_, last, err := s.archive.Ends(t.Context(), 7)
		if err != nil || (last == m.ID) != (day < 7) {
			t.Errorf("day %d: %d, %v", day, last, err)
		}
	}
}
