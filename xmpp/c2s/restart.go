package c2s

import (
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"sync"

	"confab/xmpp"
	"confab/xmpp/auth"
	"confab/xmpp/directory"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// Space sessions holds, by their tokens, the sessions that could be resumed when
// the server was last stopped: the layout, the generation of the user's password
// (8 bytes), and two records, each behind its length: the router's and that of
// the features.
//
// The records are there from an orderly stop to the moment at which the server
// serves again, and no longer: whatever is sent to a session makes its record
// untrue. So a server that cannot start loses nothing, a token is never good for
// two sessions, and after a crash a client is told what was handled, and begins
// anew, as if there had been no record (XEP-0198 §5).
const space store.Space = "sessions"

const layout = 1

// What is written and read at a time, and in all; beyond, the largest sessions end.
const (
	restChunk = 8 << 20
	restTotal = 64 << 20
)

// resting is a session that was restored and cannot be resumed yet.
type resting struct {
	session *router.Session
	over    bool // it is to end
}

// layDown has the sessions outlast the server that can; the others end. Nobody
// is connected any more.
func (s *Server) layDown() {
	t := s.opts.Table
	t.StoreCounts()
	var stay, leave []*router.Session
	s.opts.Router.Sessions(func(x *router.Session) {
		if x.CanResume() {
			stay = append(stay, x)
		} else {
			leave = append(leave, x)
		}
	})
	weights := make(map[*router.Session]int, len(stay))
	for _, x := range stay {
		weights[x] = x.Weight()
	}
	slices.SortFunc(stay, func(a, b *router.Session) int { return cmp.Compare(weights[a], weights[b]) })
	total := 0
	for i, x := range stay {
		if total += weights[x]; total > restTotal {
			s.opts.Log.Warn("sessions have too much unacknowledged to be kept", "sessions", len(stay)-i)
			stay, leave = stay[:i], append(leave, stay[i:]...)
			break
		}
	}
	s.endAll(leave, nil)
	t.Close() // what the server says from now on would be in the history, and not with those who rest
	// What a feature still says while it saves comes before the sessions are laid down.
	held := make([][]byte, len(stay))
	for i, x := range stay {
		held[i] = t.Save(x)
	}
	var chunk []record
	var failed []*router.Session
	size := 0
	write := func() {
		if err := s.write(chunk); err != nil {
			s.opts.Log.Error("sessions were not kept for the next start", "error", err, "sessions", len(chunk))
			for i := range chunk {
				failed = append(failed, chunk[i].session)
			}
		}
		chunk, size = nil, 0
	}
	for i, x := range stay {
		rest, ok := x.Rest()
		if !ok { // it expires at this moment
			failed = append(failed, x)
			continue
		}
		chunk = append(chunk, record{x, rest, held[i]})
		if size += len(held[i]) + weights[x]; size > restChunk {
			write()
		}
	}
	write()
	s.endAll(failed, nil)
}

// record is what is written of a session.
type record struct {
	session *router.Session
	rest    *router.Rest
	held    []byte // by features
}

func (s *Server) write(chunk []record) error {
	if len(chunk) == 0 {
		return nil
	}
	return s.opts.State.Update(context.Background(), func(tx store.Tx) error {
		for i := range chunk {
			r := &chunk[i]
			b := binary.BigEndian.AppendUint64([]byte{layout}, auth.Generation(tx, r.rest.User))
			rest := r.rest.Append(nil)
			b = append(binary.AppendUvarint(b, uint64(len(rest))), rest...)
			b = append(b, r.held...)
			if err := tx.Put(space, []byte(r.rest.Token), b); err != nil {
				return err
			}
		}
		return nil
	})
}

// endAll ends sessions side by side, so that what has to be written for them
// shares its commits.
func (s *Server) endAll(sessions []*router.Session, why *xmpp.StreamError) {
	var wg sync.WaitGroup
	at := make(chan struct{}, 256)
	for _, x := range sessions {
		at <- struct{}{}
		wg.Go(func() {
			defer func() { <-at }()
			s.end(x, why)
		})
	}
	wg.Wait()
}

// Restore brings the sessions back that were laid down when the server was last
// stopped. They cannot be resumed before Begin. Call it when all features have started.
func (s *Server) Restore(ctx context.Context) error {
	dropped := 0
	next := []byte(nil)
	for more := true; more; {
		more = false
		size := 0
		err := s.opts.State.View(ctx, func(tx store.Tx) error {
			for k, v := range tx.Scan(space, store.Range{From: next}) {
				next = append(append([]byte(nil), k...), 0)
				if !s.restore(tx, v) {
					dropped++
				}
				if size += len(v); size > restChunk {
					more = true
					break
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for i := range s.read {
		s.rise(&s.read[i])
	}
	s.read = nil
	if dropped > 0 {
		s.opts.Log.Warn("sessions of an earlier start could not be read: their clients begin anew", "sessions", dropped)
	}
	s.opts.Table.Restored()
	return nil
}

// readRecord is a record as it was found.
type readRecord struct {
	rest *router.Rest
	held []byte
	over bool
}

// restore reads a record; not ok: it cannot be read, or is of another layout.
func (s *Server) restore(tx store.Tx, v []byte) (ok bool) {
	if len(v) < 10 || v[0] != layout {
		return false
	}
	generation := binary.BigEndian.Uint64(v[1:])
	n, size := binary.Uvarint(v[9:])
	if size <= 0 || n > uint64(len(v)-9-size) {
		return false
	}
	v = v[9+size:]
	rest, err := router.ParseRest(v[:n])
	if err != nil || s.opts.Directory.Domain(rest.JID.Domain()) == nil {
		return false
	}
	s.read = append(s.read, readRecord{rest, append([]byte(nil), v[n:]...), generation != auth.Generation(tx, rest.User)})
	return true
}

// rise makes a session of a record. One that may not go on is there too until
// all are, so that others see it go.
func (s *Server) rise(r *readRecord) {
	user := s.opts.Directory.ByID(r.rest.User)
	over := r.over || user == nil || user.Disabled || user.JID != r.rest.JID.Bare() || r.rest.Left(s.opts.Clock.Now()) <= 0
	if user == nil {
		user = &directory.User{ID: r.rest.User, JID: r.rest.JID.Bare(), Domain: r.rest.JID.Domain(), Local: r.rest.JID.Local()}
	}
	session := s.opts.Router.Restore(r.rest, user)
	if err := s.opts.Table.Restore(session, r.held); err != nil {
		s.opts.Log.Warn("a session cannot go on after the restart", "error", err, "session", session.JID().String())
		over = true
	}
	s.resting = append(s.resting, resting{session, over})
}

// Begin lets restored sessions be resumed; those that may not be, or that have
// waited too long meanwhile, end. From then on their records are gone. Call it
// before the first connection is served.
func (s *Server) Begin(ctx context.Context) error {
	err := s.opts.State.Update(ctx, func(tx store.Tx) error {
		for k := range tx.Scan(space, store.Range{}) {
			if err := tx.Delete(space, k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var over []*router.Session
	for _, r := range s.resting {
		if r.over {
			over = append(over, r.session)
			continue
		}
		r.session.AwaitClient(func() { s.end(r.session, nil) })
	}
	s.resting = nil
	s.endAll(over, nil)
	return nil
}
