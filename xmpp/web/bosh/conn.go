package bosh

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

var errBroken = errors.New("bosh: the client broke the rules")

// NextFrame implements stream.Framed.
func (s *session) NextFrame() (io.Reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.reading; q != nil {
		s.reading = nil
		if q.unread--; q.unread == 0 {
			s.respond()
		}
	}
	for {
		switch {
		case s.ended != nil:
			return nil, s.ended
		case len(s.frames) > 0:
			f := s.frames[0]
			s.frames[0] = frame{}
			s.frames = s.frames[1:]
			s.queued -= len(f.text)
			s.reading = f.of
			return bytes.NewReader(f.text), nil
		case s.over:
			return nil, io.EOF
		case !s.deadline.IsZero() && !time.Now().Before(s.deadline):
			return nil, os.ErrDeadlineExceeded
		}
		s.changed.Wait()
	}
}

// Ready implements stream.Framed: what one request brought is handled together, as what one read of a socket brings. The
// next request's waits, since the answer to the one before says that it has been handled.
func (s *session) Ready() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil || len(s.frames) == 0 || s.frames[0].of != s.reading {
		return 0
	}
	return len(s.frames[0].text)
}

// LoggedIn implements stream.Framed.
func (s *session) LoggedIn() { s.loggedIn.Store(true) }

// Read is called when all has been said: what still comes is of no interest.
func (s *session) Read([]byte) (int, error) { return 0, io.EOF }

// Close ends the session. If the stream was not closed, the client hears that its
// connection is gone.
func (s *session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = net.ErrClosed
	}
	if !s.over {
		s.over, s.why = true, remoteConnectionFailed
	}
	s.frames = nil
	s.respond()
	if !s.loggedIn.Load() {
		s.stop()
	}
	s.changed.Broadcast()
	return nil
}

// LocalAddr implements net.Conn.
func (s *session) LocalAddr() net.Addr { return address("") }

// RemoteAddr is who made the session.
func (s *session) RemoteAddr() net.Addr { return address(s.peer.String()) }

// SetDeadline implements net.Conn.
func (s *session) SetDeadline(t time.Time) error { return s.SetReadDeadline(t) }

// SetReadDeadline implements net.Conn.
func (s *session) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	s.deadline = t
	s.changed.Broadcast()
	s.mu.Unlock()
	if wait := time.Until(t); !t.IsZero() && wait > 0 {
		time.AfterFunc(wait, s.wake)
	}
	return nil
}

// wake has the reader look at its deadline. With the lock, or it could fall between its look and its wait.
func (s *session) wake() {
	s.mu.Lock()
	s.changed.Broadcast()
	s.mu.Unlock()
}

// SetWriteDeadline lets a Write that is under way go on without waiting for a
// request: package stream has something more urgent to say. There is no deadline
// else, as a client may be between two requests, or pause.
func (s *session) SetWriteDeadline(time.Time) error {
	s.mu.Lock()
	s.hurry = s.hurry || s.blocked
	s.changed.Broadcast()
	s.mu.Unlock()
	return nil
}

type address string

func (address) Network() string  { return "bosh" }
func (a address) String() string { return string(a) }
