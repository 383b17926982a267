package router

// Judge says of a stanza whether it can wait. Of those with the same key, unless
// it is empty, only the latest is of interest. It is called with the session
// locked.
type Judge func(stanza []byte) (key string, waits bool)

// What may wait for one session, and for all of them. Beyond, it leaves.
const (
	maxHeldStanzas = 2000
	maxHeldBytes   = 128 << 10
	maxHeldTotal   = 64 << 20
)

// held is what waits for a session whose client is not looked at (XEP-0352),
// under Session.mu. It is not sent yet, so it does not count for XEP-0198.
type held struct {
	judge   Judge
	stanzas [][]byte       // in the order in which they leave; nil: replaced
	at      map[string]int // by key
	live    int            // stanzas that are not nil
	bytes   int
}

// Hold has held back from now on what can wait. It leaves, in its order, before
// the first stanza that cannot, or with Release, or when it becomes too much.
// A session that loses its connection does not go on with it.
func (s *Session) Hold(judge Judge) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.conn == nil {
		return
	}
	if s.held == nil {
		s.held = &held{at: map[string]int{}}
	}
	s.held.judge = judge
}

// Release lets what was held back leave, and has nothing held back any more.
func (s *Session) Release() {
	s.mu.Lock()
	idle, overflow := s.release()
	s.held = nil
	c := s.conn
	s.mu.Unlock()
	if overflow {
		s.router.overflowed(s)
	}
	s.flush(nil, c, idle)
}

// hold reports whether it has kept a stanza. Call with s.mu held.
func (s *Session) hold(stanza []byte) bool {
	h, total := s.held, &s.router.Stats.Held
	key, waits := h.judge(stanza)
	if !waits || len(stanza) > maxHeldBytes {
		return false
	}
	if i, ok := h.at[key]; ok && key != "" {
		old := len(h.stanzas[i])
		h.stanzas[i] = nil
		h.live--
		h.bytes -= old
		total.Add(-int64(old))
	}
	if h.live == maxHeldStanzas || h.bytes+len(stanza) > maxHeldBytes || total.Load()+int64(len(stanza)) > maxHeldTotal {
		return false
	}
	if len(h.stanzas) > 2*h.live+16 {
		h.compact()
	}
	if key != "" {
		h.at[key] = len(h.stanzas)
	}
	h.stanzas = append(h.stanzas, append([]byte(nil), stanza...))
	h.live++
	h.bytes += len(stanza)
	total.Add(int64(len(stanza)))
	return true
}

// compact closes the gaps that replaced stanzas have left.
func (h *held) compact() {
	to := make([]int, len(h.stanzas))
	n := 0
	for i, stanza := range h.stanzas {
		to[i] = n
		if stanza != nil {
			h.stanzas[n] = stanza
			n++
		}
	}
	clear(h.stanzas[n:])
	h.stanzas = h.stanzas[:n]
	for key, i := range h.at {
		h.at[key] = to[i]
	}
}

// release sends what was held back. Call with s.mu held.
func (s *Session) release() (idle, overflow bool) {
	h := s.held
	if h == nil || len(h.stanzas) == 0 {
		return false, false
	}
	for _, stanza := range h.stanzas {
		if stanza != nil {
			i, o := s.put(stanza, 0)
			idle, overflow = idle || i, overflow || o
		}
	}
	s.forget()
	return idle, overflow
}

// forget empties what was held back. Call with s.mu held.
func (s *Session) forget() {
	if h := s.held; h != nil {
		s.router.Stats.Held.Add(-int64(h.bytes))
		*h = held{judge: h.judge, at: map[string]int{}}
	}
}
