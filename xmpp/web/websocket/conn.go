package websocket

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	ws "github.com/coder/websocket"

	"confab/xmpp"
	"confab/xmpp/stream"
)

const (
	// pingEvery keeps proxies from taking a connection at rest for a dead one: a
	// minute is what most of them wait.
	pingEvery = 45 * time.Second
	// pongWithin is how long the answer to a ping may take.
	pongWithin = 30 * time.Second
)

var errBinary error = xmpp.NewStreamError(xmpp.StreamBadFormat, "frames are of text (RFC 7395 §3.2)")

// conn is a WebSocket. Reads and writes of the library are never bounded by a
// context, which would close it: deadlines are those of the socket below.
type conn struct {
	ws    *ws.Conn
	wire  *wire
	input *bufio.Reader // between the two
	peer  netip.Addr
	clock xmpp.Clock

	frame io.Reader // of the last frame; the reader's own

	waiting atomic.Bool // the reader waits for a frame, and so will see a pong
	writing atomic.Bool

	mu     sync.Mutex
	timer  xmpp.Timer // of the next ping
	closed bool
}

var _ stream.Framed = (*conn)(nil)

// NextFrame implements stream.Framed.
func (c *conn) NextFrame() (io.Reader, error) {
	c.waiting.Store(true)
	kind, frame, err := c.ws.Reader(context.Background())
	c.waiting.Store(false)
	if err != nil {
		return nil, err
	}
	c.frame = frame
	if kind != ws.MessageText {
		return nil, errBinary
	}
	return frame, nil
}

// Ready implements stream.Framed: what is in the input's buffer can be looked at, as long as nobody but the reader reads.
func (c *conn) Ready() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0
	}
	whole, _ := c.input.Peek(c.input.Buffered())
	return textFrame(whole)
}

// textFrame is how long the text is that the frame has with which b begins: 0 if it is not whole, is no text, or part of
// one (RFC 6455 §5.2).
func textFrame(b []byte) int {
	const finalText, masked, key = 0x81, 0x80, 4
	if len(b) < 2 || b[0] != finalText || b[1]&masked == 0 {
		return 0
	}
	size, head := int(b[1]&^masked), 2
	switch {
	case size == 127: // larger than any buffer
		return 0
	case size == 126 && len(b) < 4:
		return 0
	case size == 126:
		size, head = int(binary.BigEndian.Uint16(b[2:])), 4
	}
	if len(b) < head+key+size {
		return 0
	}
	return size
}

// LoggedIn implements stream.Framed.
func (c *conn) LoggedIn() {}

// Read drops what still comes, when all has been said.
func (c *conn) Read(b []byte) (int, error) {
	for {
		if c.frame != nil {
			n, err := c.frame.Read(b)
			if err == nil {
				return n, nil
			}
			if err != io.EOF {
				return 0, err
			}
			c.frame = nil
		}
		_, frame, err := c.ws.Reader(context.Background())
		if err != nil {
			return 0, err
		}
		c.frame = frame
	}
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

const maxPooled = 64 << 10

func put(b *[]byte) {
	if cap(*b) <= maxPooled {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

// Write sends each of some elements in a frame of its own, and the frames in one
// write.
func (c *conn) Write(b []byte) (int, error) {
	c.writing.Store(true)
	defer c.writing.Store(false)
	frame := buffers.Get().(*[]byte)
	defer put(frame)
	c.wire.hold()
	for rest := b; len(rest) > 0; {
		n := xmpp.FirstElement(rest)
		*frame = xmpp.AppendFramed((*frame)[:0], rest[:n])
		if err := c.ws.Write(context.Background(), ws.MessageText, *frame); err != nil {
			c.wire.release()
			return 0, err
		}
		rest = rest[n:]
	}
	if err := c.wire.release(); err != nil {
		return 0, err
	}
	return len(b), nil
}

// CloseWrite is the closing handshake (RFC 7395 §3.6, RFC 6455 §7). It waits for
// the peer's part of it.
func (c *conn) CloseWrite() error {
	c.rests(false)
	return c.ws.Close(ws.StatusNormalClosure, "")
}

// Close ends the connection without a word.
func (c *conn) Close() error {
	c.rests(false)
	err := c.wire.end()
	go c.ws.CloseNow() // lets go of its memory; it may wait for a reader to notice
	return err
}

// rest has the peer pinged after a while, again and again.
func (c *conn) rest() { c.rests(true) }

func (c *conn) rests(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	c.closed = c.closed || !on
	if !c.closed {
		c.timer = c.clock.AfterFunc(pingEvery, func() { go c.ping() })
	}
}

// ping asks whether the peer is there and closes the connection if it is not.
// Where our own reader or a slow peer holds things up, that tells nothing.
func (c *conn) ping() {
	ctx, cancel := context.WithTimeout(context.Background(), pongWithin)
	defer cancel()
	if err := c.ws.Ping(ctx); err != nil && c.waiting.Load() && !c.writing.Load() {
		c.Close()
		return
	}
	c.rest()
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.wire.LocalAddr() }

// RemoteAddr is who is behind the proxies, if there are any.
func (c *conn) RemoteAddr() net.Addr { return address(c.peer.String()) }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error { return c.wire.SetDeadline(t) }

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.wire.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.wire.SetWriteDeadline(t) }

type address string

func (address) Network() string  { return "websocket" }
func (a address) String() string { return string(a) }

// hijacker puts a wire under the WebSocket.
type hijacker struct {
	http.ResponseWriter
	wire  *wire
	input *bufio.Reader
}

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.wire, h.input = &wire{Conn: c}, rw.Reader
	return h.wire, bufio.NewReadWriter(h.input, bufio.NewWriterSize(h.wire, 512)), nil
}

// wire is the connection below a WebSocket. It can hold back frames, so that
// many leave in one write.
type wire struct {
	net.Conn

	mu      sync.Mutex
	holding bool
	held    *[]byte
}

// maxHeld bounds what is held back.
const maxHeld = 32 << 10

// Read implements net.Conn.
func (w *wire) Read(b []byte) (int, error) {
	if c := w.secured(); c != nil {
		return stream.Gather(c, b)
	}
	return w.Conn.Read(b)
}

func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	if !w.holding || len(*w.held) > 0 && len(*w.held)+len(b) > maxHeld {
		if err := w.flush(); err != nil {
			w.mu.Unlock()
			return 0, err
		}
		w.mu.Unlock()
		return w.Conn.Write(b)
	}
	*w.held = append(*w.held, b...)
	w.mu.Unlock()
	return len(b), nil
}

func (w *wire) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holding, w.held = true, buffers.Get().(*[]byte)
}

func (w *wire) release() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.flush()
	put(w.held)
	w.holding, w.held = false, nil
	return err
}

// flush writes what is held back; with w.mu held.
func (w *wire) flush() error {
	if w.held == nil || len(*w.held) == 0 {
		return nil
	}
	_, err := w.Conn.Write(*w.held)
	*w.held = (*w.held)[:0]
	return err
}

// secured is the TLS connection, if it ends here.
func (w *wire) secured() *tls.Conn {
	c, _ := w.Conn.(*tls.Conn)
	return c
}

// end closes the socket; no farewell of TLS is waited for.
func (w *wire) end() error {
	if c := w.secured(); c != nil {
		return c.NetConn().Close()
	}
	return w.Conn.Close()
}
