//go:build unix

package stream

import (
	"crypto/tls"
	"io"
	"syscall"
)

// waiter reads from a socket without keeping the stack of what reads: a try that finds nothing returns, and the goroutine
// waits below it. With TLS in between that is the difference of some kilobytes for every connection at rest.
type waiter struct {
	socket syscall.RawConn // nil: the connection has none, reads wait where they are
	from   io.Reader
	try    func(fd uintptr) bool // a read by from, kept so that reading allocates nothing
	now    func(fd uintptr) bool // the same, which is content with nothing
	fd     int                   // of the try that is under way, else -1
	to     []byte
	n      int
	err    error
}

// prepare makes reads by r, which reads from w, wait here.
func (w *wire) prepare() {
	w.wait.fd = -1
	if c, ok := w.Conn.(syscall.Conn); ok {
		w.wait.socket, _ = c.SyscallConn()
	}
}

// readFrom calls r.Read, which reads from w, and waits until there is something to be read. Only one goroutine may.
func (w *wire) readFrom(r io.Reader, b []byte) (int, error) {
	a := &w.wait
	if a.socket == nil {
		return r.Read(b)
	}
	w.use(r)
	a.to = b
	err := a.socket.Read(a.try)
	a.to = nil
	if err != nil {
		return 0, err
	}
	return a.n, a.err
}

// readNow is readFrom for what has come already; 0: nothing, or an error, which the next readFrom returns.
func (w *wire) readNow(r io.Reader, b []byte) int {
	a := &w.wait
	if a.socket == nil {
		return 0
	}
	w.use(r)
	a.to, a.n = b, 0
	err := a.socket.Read(a.now)
	a.to = nil
	if err != nil {
		return 0
	}
	return a.n
}

// use makes r the one that reads.
func (w *wire) use(r io.Reader) {
	a := &w.wait
	if a.from == r {
		return
	}
	try := w.attempt(r)
	a.from, a.try, a.now = r, try, func(fd uintptr) bool {
		try(fd)
		return true
	}
}

// attempt returns a function that reads by r as long as that needs no waiting.
func (w *wire) attempt(r io.Reader) func(fd uintptr) bool {
	a := &w.wait
	secured, _ := r.(*tls.Conn)
	return func(fd uintptr) bool {
		if secured != nil {
			lend(secured)
		}
		a.fd = int(fd)
		defer func() { a.fd = -1 }()
		a.n, a.err = r.Read(a.to)
		if a.err != errNothing {
			return true
		}
		if secured != nil {
			takeBack(secured)
		}
		return false
	}
}

// Read is that of a try, if one is under way.
func (w *wire) Read(b []byte) (int, error) {
	if w.wait.fd < 0 {
		return w.await(b)
	}
	for {
		n, err := syscall.Read(w.wait.fd, b)
		switch {
		case n > 0:
			return n, nil
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, errNothing
		case err != nil:
			return 0, err
		case len(b) == 0:
			return 0, nil
		default:
			return 0, io.EOF
		}
	}
}
