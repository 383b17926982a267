package router

// SendRun sends many whole stanzas that lie one after the other in b, each
// ending where ends says: a login's presences cost one lock and one append.
// Otherwise it is Send.
func (s *Session) SendRun(out *Batch, b []byte, ends []int) {
	if len(ends) == 0 {
		return
	}
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	idle, overflow := s.release()
	s.router.Stats.Sent.Add(int64(len(ends)))
	start := 0
	if s.sm.on {
		for _, end := range ends {
			if !s.push(b[start:end], 0) {
				overflow = true
			}
			start = end
		}
	}
	c := s.conn
	if c != nil {
		idle = c.Append(b) || idle
		if s.sm.wantsAck() {
			c.Append(requestAck)
			s.sm.asked(s.router.opts.Clock.Now())
		}
		s.armAsk()
	}
	s.mu.Unlock()
	if overflow {
		s.router.overflowed(s)
	}
	s.flush(out, c, idle)
}

func (s *Session) flush(out *Batch, c Conn, idle bool) {
	switch {
	case c == nil || !idle:
	case out == nil:
		c.Flush()
	default:
		out.add(c)
	}
}

// Drain waits until no more than n bytes wait to be written to the session's
// client, if its connection can tell. Only the session's own reader may call
// it: nobody waits for somebody else's socket.
func (s *Session) Drain(n int) {
	s.mu.Lock()
	c := s.conn
	s.mu.Unlock()
	drain(c, n)
}

func drain(c Conn, n int) {
	if d, ok := c.(interface{ Drain(n int) error }); ok {
		// A connection that failed is its reader's business.
		_ = d.Drain(n)
	}
}

// Waiting is how many bytes wait to be written to the session's client, 0 if its
// connection cannot tell or is lost. Whoever has much to send, and time, sends no
// more while much waits.
func (s *Session) Waiting() int {
	s.mu.Lock()
	c := s.conn
	s.mu.Unlock()
	if w, ok := c.(interface{ Waiting() int }); ok {
		return w.Waiting()
	}
	return 0
}
