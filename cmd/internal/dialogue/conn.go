package dialogue

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// errSilence is what waiting ends with when nothing comes.
var errSilence = errors.New("nothing came")

// conn is a connection of a speaker. A goroutine reads it into a queue.
type conn struct {
	sock   net.Conn // the TCP socket
	rw     net.Conn // what is spoken through: sock, or TLS over it
	framed framed   // in place of both; else nil
	tls    *tls.ConnectionState

	// Of the one who plays the script:
	domain   string
	port     Port
	features *node // of the latest stream
	loggedIn bool
	bound    bool
	mayAsk   bool // <enable/> or <resume/> was sent
	asked    int  // <r/> sent that will be answered

	content string      // the namespace of the stream, if it is not nsClient
	said    atomic.Bool // </stream:stream> was sent

	mu       sync.Mutex
	queue    []event
	answered int           // <a/> received
	managed  bool          // XEP-0198 is on
	reading  bool          // the reader runs; it stops for good at the end, and after <proceed/>
	news     chan struct{} // something was queued
}

// event is what the reader found: a node, or why it ended.
type event struct {
	n   *node
	end error
	ack int // n is the answer to this <r/>, counted from 1
}

func dial(addr string, patience time.Duration) (*conn, error) {
	sock, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	return &conn{sock: sock, rw: sock, news: make(chan struct{}, 1)}, nil
}

// startTLS makes the handshake. The reader must not be running.
func (c *conn) startTLS(config *tls.Config, patience time.Duration) error {
	t := tls.Client(c.sock, config)
	if err := c.sock.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := t.Handshake(); err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	state := t.ConnectionState()
	c.tls, c.rw = &state, t
	return c.sock.SetDeadline(time.Time{})
}

func (c *conn) isReading() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reading
}

// isManaged is whether XEP-0198 is on.
func (c *conn) isManaged() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.managed
}

// read starts the reader. It ends with the connection, and after <proceed/>, when TLS takes over.
func (c *conn) read() {
	c.mu.Lock()
	c.reading = true
	c.mu.Unlock()
	if c.framed != nil {
		go c.readFrames()
		return
	}
	go func() {
		buf := bufio.NewReader(c.rw)
		r := newReader(buf)
		r.content = c.content
		for {
			n, err := r.next()
			if err != nil {
				c.push(event{end: err})
				return
			}
			done := n.is(nsTLS, "proceed")
			c.push(event{n: n})
			switch {
			case n.is(nsStream, streamEnd) && !c.said.Load():
				c.answerEnd()
			case done && buf.Buffered() > 0:
				c.push(event{end: errors.New("data follows <proceed/> outside TLS")})
				return
			case done:
				return
			case n.is(nsSASL, "success"):
				r = newReader(buf)
			}
		}
	}()
}

// readFrames is the reader of a framed transport.
func (c *conn) readFrames() {
	for {
		text, err := c.framed.next()
		var n *node
		if err == nil {
			n, err = readFrame(text)
		}
		if err != nil {
			c.push(event{end: err})
			return
		}
		c.push(event{n: n})
		if n.is(nsStream, streamEnd) && !c.said.Load() {
			c.answerEnd()
		}
	}
}

// answerEnd does what RFC 6120 §4.4 asks of whoever hears the end of the stream, and has nothing more
// to say. The server need not wait for it, so it may come too late.
func (c *conn) answerEnd() {
	if c.write(closingTag, time.Second) != nil {
		return
	}
	if tcp, ok := c.sock.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}

func (c *conn) push(e event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch n := e.n; {
	case n == nil || n.is(nsTLS, "proceed"):
		c.reading = false
	case n.is(nsSM, "enabled") || n.is(nsSM, "resumed"):
		c.managed = true
	case n.is(nsSASL2, "success"):
		if bound := n.child(nsBind2, "bound"); n.child(nsSM, "resumed") != nil || bound != nil && bound.child(nsSM, "enabled") != nil {
			c.managed = true
		}
	case n.is(nsSM, "a"):
		c.answered++
		e.ack = c.answered
	}
	c.queue = append(c.queue, e)
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// find waits for the first event that is wanted and returns its place in the queue.
func (c *conn) find(patience time.Duration, wanted func(event) bool) (event, error) {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		for i, e := range c.queue {
			if wanted(e) {
				if e.end != nil { // stays: everything that is asked later ends there too
					c.mu.Unlock()
					return e, nil
				}
				c.queue = append(c.queue[:i:i], c.queue[i+1:]...)
				c.mu.Unlock()
				return e, nil
			}
			if e.end != nil {
				c.mu.Unlock()
				return event{}, fmt.Errorf("the connection ended: %w", e.end)
			}
		}
		c.mu.Unlock()
		select {
		case <-c.news:
		case <-deadline.C:
			return event{}, fmt.Errorf("%w within %v", errSilence, patience)
		}
	}
}

// unread returns what is queued and was not skipped.
func (c *conn) unread(skip func(event) bool) []event {
	c.mu.Lock()
	defer c.mu.Unlock()
	var left []event
	for _, e := range c.queue {
		if !skip(e) {
			left = append(left, e)
		}
	}
	return left
}

func (c *conn) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var kept []event
	for _, e := range c.queue {
		if e.end != nil {
			kept = append(kept, e)
		}
	}
	c.queue = kept
}

const closingTag = "</stream:stream>"

func (c *conn) write(text string, patience time.Duration) error {
	if strings.HasSuffix(text, closingTag) {
		c.said.Store(true)
	}
	if c.framed != nil {
		elements, err := frames(text)
		if err != nil {
			return err
		}
		return c.framed.send(elements, patience)
	}
	return c.writeBytes(text, patience)
}

// writeRaw writes what may be nothing that a stream should have.
func (c *conn) writeRaw(text string, patience time.Duration) error {
	if c.framed != nil {
		return c.framed.raw(text, patience)
	}
	if strings.HasSuffix(text, closingTag) {
		c.said.Store(true)
	}
	return c.writeBytes(text, patience)
}

func (c *conn) writeBytes(text string, patience time.Duration) error {
	if err := c.rw.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := io.WriteString(c.rw, text)
	return err
}

// hangUp ends the sending side without a word and waits until the server has ended its side too.
func (c *conn) hangUp(patience time.Duration) error {
	defer c.sock.Close()
	if c.framed != nil {
		if err := c.framed.hangUp(); err != nil {
			return err
		}
		return c.waitEnd(patience)
	}
	tcp, ok := c.sock.(*net.TCPConn)
	if !ok {
		return fmt.Errorf("%T cannot be closed half", c.sock)
	}
	if err := tcp.CloseWrite(); err != nil {
		return err
	}
	return c.waitEnd(patience)
}

// waitEnd waits until the server has ended the connection.
func (c *conn) waitEnd(patience time.Duration) error {
	if !c.isReading() && !c.ended() {
		// The reader stopped for TLS, which never came.
		if err := c.sock.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, c.sock)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return fmt.Errorf("the server did not end the connection within %v", patience)
		}
		return nil
	}
	_, err := c.find(patience, func(e event) bool { return e.end != nil })
	if err != nil {
		return fmt.Errorf("the server did not end the connection within %v", patience)
	}
	return nil
}

func (c *conn) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.queue {
		if e.end != nil {
			return true
		}
	}
	return false
}
