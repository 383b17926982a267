//go:build unix

package xmpptest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Listener is a listener of connections within the process, for more of them than a process may have files open. A
// connection has no goroutine, and one at rest no buffer.
type Listener struct {
	come   chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Listen makes a Listener.
func Listen() *Listener {
	return &Listener{come: make(chan net.Conn), closed: make(chan struct{})}
}

// Dial connects with whoever accepts.
func (l *Listener) Dial() (net.Conn, error) {
	near, far := Connect()
	select {
	case l.come <- far:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.come:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections stay.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return nowhere }

var nowhere = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}

// Connect makes both ends of a connection.
func Connect() (a, b net.Conn) {
	var there, back pipe
	there.changed.L, back.changed.L = &there.mu, &back.mu
	return &end{in: &back, out: &there}, &end{in: &there, out: &back}
}

// end is an end of a connection. Like one of TCP it can be tried by a file descriptor: see tried.
type end struct{ in, out *pipe }

func (e *end) Read(b []byte) (int, error)  { return e.in.read(b) }
func (e *end) Write(b []byte) (int, error) { return e.out.write(b) }
func (e *end) LocalAddr() net.Addr         { return nowhere }
func (e *end) RemoteAddr() net.Addr        { return nowhere }
func (e *end) SetReadDeadline(t time.Time) error {
	e.in.set(func(p *pipe) { p.readBy = t })
	return nil
}
func (e *end) SetWriteDeadline(t time.Time) error {
	e.out.set(func(p *pipe) { p.writeBy = t })
	return nil
}

func (e *end) SetDeadline(t time.Time) error {
	e.SetReadDeadline(t)
	return e.SetWriteDeadline(t)
}

func (e *end) CloseWrite() error {
	e.out.set(func(p *pipe) { p.ended = true })
	return nil
}

func (e *end) Close() error {
	e.in.set(func(p *pipe) { p.left, p.data = true, nil })
	return e.CloseWrite()
}

func (e *end) SyscallConn() (syscall.RawConn, error) { return tried{e.in}, nil }

// pipe is one direction of a connection.
type pipe struct {
	mu              sync.Mutex
	changed         sync.Cond
	data            []byte // not read yet; nil: nothing
	ended, left     bool   // the writer closed it, the reader did
	readBy, writeBy time.Time
}

const pipeSize = 64 << 10

func (p *pipe) set(fn func(*pipe)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fn(p)
	p.changed.Broadcast()
}

// wait waits for a change, or until a deadline has passed. Call with p.mu held.
func (p *pipe) wait(by time.Time) {
	if !by.IsZero() {
		defer time.AfterFunc(time.Until(by), func() { p.set(func(*pipe) {}) }).Stop()
	}
	p.changed.Wait()
}

func passed(by time.Time) bool { return !by.IsZero() && !time.Now().Before(by) }

// readable is the error of a reader that need not wait any more, io.EOF behind all data. Call with p.mu held.
func (p *pipe) readable() error {
	switch {
	case p.left:
		return net.ErrClosed
	case passed(p.readBy):
		return os.ErrDeadlineExceeded
	case p.ended && len(p.data) == 0:
		return io.EOF
	}
	return nil
}

// take forgets data that was read. Call with p.mu held.
func (p *pipe) take(n int) {
	if p.data = p.data[n:]; len(p.data) == 0 {
		p.data = nil
	}
	p.changed.Broadcast()
}

func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if err := p.readable(); err != nil {
			return 0, err
		}
		if n := copy(b, p.data); n > 0 || len(b) == 0 {
			p.take(n)
			return n, nil
		}
		p.wait(p.readBy)
	}
}

func (p *pipe) write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.ended:
			return n, net.ErrClosed
		case p.left:
			return n, syscall.EPIPE
		case passed(p.writeBy):
			return n, os.ErrDeadlineExceeded
		}
		if room := min(len(b)-n, pipeSize-len(p.data)); room > 0 {
			p.data = append(p.data, b[n:n+room]...)
			n += room
			p.changed.Broadcast()
		}
		if n == len(b) {
			return n, nil
		}
		p.wait(p.writeBy)
	}
}

// tried is the reading end of a pipe for who tries to read and waits elsewhere.
type tried struct{ *pipe }

func (tried) Control(func(fd uintptr)) error    { return syscall.ENOTSUP }
func (tried) Write(func(fd uintptr) bool) error { return syscall.ENOTSUP }

// Read implements syscall.RawConn.
func (t tried) Read(try func(fd uintptr) bool) error {
	p := t.pipe
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		err := p.readable()
		if err != nil && err != io.EOF {
			return err
		}
		if done, err := p.try(try, err == io.EOF); done || err != nil {
			return err
		}
		if len(p.data) == 0 && !p.ended {
			p.wait(p.readBy)
		}
	}
}

// try has fn read what has come. Since the pipe is no file, some of it goes through one of the system's, and what fn leaves
// there stays. Call with p.mu held.
func (p *pipe) try(fn func(fd uintptr) bool, end bool) (done bool, err error) {
	if end {
		null, err := os.Open(os.DevNull)
		if err != nil {
			return false, err
		}
		defer null.Close()
		return fn(null.Fd()), nil
	}
	f, err := borrow()
	if err != nil {
		return false, err
	}
	defer files.Put(f)
	const some = 4 << 10
	lent := p.data[:min(len(p.data), some)]
	if len(lent) > 0 {
		if _, err := f.w.Write(lent); err != nil {
			return false, err
		}
	}
	p.mu.Unlock()
	left := 0
	err = f.r.Read(func(fd uintptr) bool {
		done = fn(fd)
		var rest [some]byte
		n, _ := syscall.Read(int(fd), rest[:])
		left = max(n, 0)
		return true
	})
	p.mu.Lock()
	if !p.left {
		p.take(len(lent) - left)
	}
	return done, err
}

// file is one of the system's pipes, and empty.
type file struct {
	r syscall.RawConn
	w *os.File
}

var files sync.Pool

func borrow() (*file, error) {
	if f, ok := files.Get().(*file); ok {
		return f, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	raw, err := r.SyscallConn()
	return &file{raw, w}, err
}
