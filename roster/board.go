package roster

import (
	"sync"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
)

// board is the presences of a domain's available sessions, side by side: a
// broadcast to colleagues walks it, and somebody who comes online reads it,
// without a look into anybody's list.
//
// A row is what the colleagues were told last. It is changed under the write
// lock only, and read under the lock for as long as it takes to append it to
// the reader's stream: so nobody gets an older presence after a newer one.
type board struct {
	mu   sync.RWMutex
	rows []*row
	at   map[*router.Session]*row

	parted func(x, y *router.Session) bool // one has blocked the other

	commons commons
}

type row struct {
	session *router.Session
	index   int // in board.rows; -1: gone

	stand // as clients know it; only live.go changes it

	stanza []byte // without to
	to     []byte // ` to='…'`, for what is sent to the session
}

// stand is what decides whom a user sees and who sees him.
type stand struct {
	user  *directory.User
	reach reach
}

func newBoard(parted func(x, y *router.Session) bool) *board {
	return &board{at: make(map[*router.Session]*row), parted: parted}
}

// sees reports whether the viewer's session gets the subject's presence.
func (viewer *stand) sees(subject *stand) bool { return subject.reach.sees(viewer.user, subject.user) }

// set makes a session's presence what colleagues see from now on. The row is
// new if it was not there before.
func (b *board) set(s *router.Session, now stand, stanza []byte) (*row, stand) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.at[s]
	if w == nil {
		w = &row{session: s, index: len(b.rows), stand: now, to: toAttr(now.user.JID)}
		b.at[s] = w
		b.rows = append(b.rows, w)
	}
	w.stanza = stanza
	return w, w.stand
}

// remove takes a session's row away and returns it, nil if there is none.
func (b *board) remove(s *router.Session) (*row, stand) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.at[s]
	if w == nil {
		return nil, stand{}
	}
	delete(b.at, s)
	last := len(b.rows) - 1
	moved := b.rows[last]
	b.rows[w.index], moved.index = moved, w.index
	b.rows[last] = nil
	b.rows = b.rows[:last]
	w.index = -1
	return w, w.stand
}

// tell sends a stanza of w's to all colleagues who see it.
func (b *board) tell(out *router.Batch, w *row, stanza []byte) (n int) {
	buf := xmpp.GetBuffer()
	defer xmpp.PutBuffer(buf)
	b.mu.RLock()
	defer b.mu.RUnlock()
	if w.user.Hidden || w.reach == nobody {
		return 0
	}
	for _, v := range b.rows {
		if v.sees(&w.stand) && !b.parted(w.session, v.session) {
			*buf = appendTo((*buf)[:0], stanza, v.to)
			v.session.Send(out, *buf)
			n++
		}
	}
	return n
}

// A run of presences is handed over in pieces of about this size: when all of a
// domain come at once, what waits for each of them stays small.
const runBytes = 32 << 10

// runs holds the buffers in which runs are put together.
var runs = sync.Pool{New: func() any { return new(run) }}

type run struct {
	rows  []*row
	bytes []byte
	ends  []int
}

// show sends a session the presences of all colleagues whom it sees. It is
// called by the session's own reader, which waits for its own socket between
// the pieces.
func (b *board) show(out *router.Batch, w *row) (n int) {
	p := runs.Get().(*run)
	defer runs.Put(p)
	b.mu.RLock()
	p.rows = append(p.rows[:0], b.rows...)
	b.mu.RUnlock()
	for rest := p.rows; len(rest) > 0; {
		rest = b.piece(out, w, p, rest)
		n += len(p.ends)
		if len(rest) > 0 {
			out.Flush()
			w.session.Drain(runBytes)
		}
	}
	clear(p.rows)
	return n
}

// piece sends one piece of a run and returns the rows that are left. Rows that
// came after the run began need not be in it: their own sessions tell w.
func (b *board) piece(out *router.Batch, w *row, p *run, rest []*row) []*row {
	p.bytes, p.ends = p.bytes[:0], p.ends[:0]
	b.mu.RLock()
	defer b.mu.RUnlock()
	for len(rest) > 0 && len(p.bytes) < runBytes {
		v := rest[0]
		rest = rest[1:]
		if v.index >= 0 && w.sees(&v.stand) && !b.parted(v.session, w.session) {
			p.bytes = appendTo(p.bytes, v.stanza, w.to)
			p.ends = append(p.ends, len(p.bytes))
		}
	}
	w.session.SendRun(out, p.bytes, p.ends)
	return rest
}

// toAttr is the attribute that addresses a stanza.
func toAttr(j xmpp.JID) []byte { return xmpp.AppendAttr(nil, "to", j.String()) }

// appendTo appends a stanza that has no 'to' with one: right behind its name.
func appendTo(dst, stanza, to []byte) []byte {
	i := 1
	for i < len(stanza) && stanza[i] != ' ' && stanza[i] != '>' && stanza[i] != '/' {
		i++
	}
	dst = append(dst, stanza[:i]...)
	dst = append(dst, to...)
	return append(dst, stanza[i:]...)
}
