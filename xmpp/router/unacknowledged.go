package router

// EachUnacknowledged calls fn for what was sent to the session and is not
// acknowledged, oldest first, as long as fn returns true. The session is locked
// meanwhile: fn reads the bytes and returns.
func (s *Session) EachUnacknowledged(fn func(stanza []byte) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := s.sm.data
	for _, sent := range s.sm.sent {
		if !fn(rest[:sent.size:sent.size]) {
			return
		}
		rest = rest[sent.size:]
	}
}
