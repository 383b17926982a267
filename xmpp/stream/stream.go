// Package stream is an XML stream on a TCP connection (RFC 6120 §4), or in the
// frames of another transport: limits, TLS, lexing, the out buffer and its
// deadlines. It knows no session.
//
// One goroutine reads a Conn; any may append to its out buffer. There is no
// permanent writer: a flusher exists while bytes wait.
package stream

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"confab/xmpp"
)

// Options are the bounds of every connection.
type Options struct {
	BeforeLogin xmpp.Limits // of an element before login
	AfterLogin  xmpp.Limits // of an element after it

	OutLimit     int           // bytes that may wait for one peer; 0: 1 MiB
	OutTotal     int64         // bytes that may wait for all peers; 0: 1 GiB
	WriteTimeout time.Duration // for one write; 0: 30 s
	TLSTimeout   time.Duration // for a handshake; 0: 5 s

	Rate Rate // of what a peer may send after login

	JIDs *xmpp.JIDCache
	Log  *slog.Logger

	Stats *Stats
}

// Stats counts what the connections do.
type Stats struct {
	Open          atomic.Int64
	Accepted      atomic.Int64
	BytesIn       atomic.Int64
	BytesOut      atomic.Int64
	Waiting       atomic.Int64 // bytes in out buffers
	SlowPeers     atomic.Int64 // closed because too much waited for them
	WriteTimeouts atomic.Int64
	TLSFailures   atomic.Int64
	Throttled     atomic.Int64 // reads that had to wait for the rate limit
}

// Prepare fills in the defaults. It must be called before New.
func (o *Options) Prepare() {
	defaults := func(l *xmpp.Limits, bytes int) {
		for _, d := range []struct {
			v   *int
			def int
		}{{&l.Bytes, bytes}, {&l.Depth, 64}, {&l.Attrs, 64}, {&l.Children, 2048}, {&l.NameBytes, 512}} {
			if *d.v == 0 {
				*d.v = d.def
			}
		}
	}
	defaults(&o.BeforeLogin, 10_000) // RFC 6120 §13.12: at least 10,000
	defaults(&o.AfterLogin, 256<<10)
	if o.OutLimit == 0 {
		o.OutLimit = 1 << 20
	}
	if o.OutTotal == 0 {
		o.OutTotal = 1 << 30
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 30 * time.Second
	}
	if o.TLSTimeout == 0 {
		o.TLSTimeout = 5 * time.Second
	}
	if o.JIDs == nil {
		o.JIDs = new(xmpp.JIDCache)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Stats == nil {
		o.Stats = new(Stats)
	}
}

// Conn is one stream. Read, Next, ReadHeader, Open, Answer, StartTLS and Restart
// belong to its reader; Append, Flush and Close may be called by anybody.
type Conn struct {
	opts *Options
	raw  *wire     // the TCP connection, or what stands for it
	tls  *tls.Conn // nil: not secured

	frames Framed // raw, if it is framed; else nil

	lexer  xmpp.Lexer
	in     []byte // unread input is in[next:]
	next   int
	pooled *[]byte // in's memory, nil while nothing is buffered
	small  [64]byte
	limit  int // bytes of an element
	bucket bucket

	answered bool // Fill has something to write

	mu          sync.Mutex
	net         io.ReadWriteCloser // raw or tls
	out         *[]byte            // nil while nothing waits
	large       int                // bytes of out that were appended at once and are more than the limit
	flying      int                // bytes in the write that is under way
	writing     bool
	opened      bool // our stream is, so that there is something to be closed
	closing     bool // nothing may be appended; what waits is still written
	interrupted bool // the reader is not to wait any more
	closed      chan struct{}
	drained     *sync.Cond // signalled when a flush is done
	failed      error
	farewell    sync.Once // the end of what we write
}

// New takes over an accepted connection: of TCP, or a Framed one.
func New(c net.Conn, o *Options) *Conn {
	o.Stats.Open.Add(1)
	o.Stats.Accepted.Add(1)
	w := &wire{Conn: c}
	w.prepare()
	x := &Conn{opts: o, raw: w, net: w, closed: make(chan struct{})}
	x.drained = sync.NewCond(&x.mu)
	x.frames, _ = c.(Framed)
	x.lexer.JIDs = o.JIDs
	x.setLimits(o.BeforeLogin)
	return x
}

// LoggedIn raises the limits to those of a client that has logged in.
func (x *Conn) LoggedIn() {
	x.setLimits(x.opts.AfterLogin)
	if x.frames != nil {
		x.frames.LoggedIn()
	}
	x.bucket = newBucket(x.opts.Rate)
}

func (x *Conn) setLimits(l xmpp.Limits) {
	x.lexer.SetLimits(l)
	x.limit = l.Bytes
}

// Restart forgets the stream, so that ReadHeader reads the next one (RFC 6120
// §4.3.3). What the peer sent behind the element that ended the old stream is
// kept.
func (x *Conn) Restart() {
	x.lexer.Restart()
	x.mu.Lock()
	x.opened = false
	x.mu.Unlock()
}

// RemoteAddr is the address of the peer.
func (x *Conn) RemoteAddr() net.Addr { return x.raw.RemoteAddr() }

// ReadHeader reads the opening of the peer's stream.
func (x *Conn) ReadHeader() (xmpp.Header, error) {
	if x.frames != nil {
		return x.readOpen()
	}
	for {
		h, n, err := x.lexer.Header(x.in[x.next:])
		x.next += n
		if err != xmpp.ErrIncomplete {
			return h, err
		}
		if err := x.Fill(); err != nil {
			return xmpp.Header{}, err
		}
	}
}

// Next returns the next element that has arrived whole. ok is false when there
// is none, and Fill must be called. The element is valid until then.
// xmpp.ErrStreamEnd is the peer's closing tag, or its error, behind which comes
// nothing else (RFC 6120 §4.9.1.1).
func (x *Conn) Next(st *xmpp.Stanza) (ok bool, err error) {
	if x.next == len(x.in) {
		return false, nil
	}
	if x.frames != nil {
		ok, err = x.nextFramed(st)
	} else {
		var n int
		n, err = x.lexer.Next(x.in[x.next:], st)
		x.next += n
		ok = err == nil
	}
	switch {
	case ok && st.Kind == xmpp.KindOther && string(st.Local) == "error" && string(st.Space) == xmpp.NSStream:
		return false, xmpp.ErrStreamEnd
	case err == xmpp.ErrIncomplete:
		return false, nil
	}
	return ok, err
}

// Read waits for the next element, for the steps of a negotiation.
func (x *Conn) Read(st *xmpp.Stanza) error {
	for {
		if ok, err := x.Next(st); ok || err != nil {
			return err
		}
		if err := x.Fill(); err != nil {
			return err
		}
	}
}

var inputs = sync.Pool{New: func() any { b := make([]byte, inputSize); return &b }}

const inputSize = 16 << 10 // a TLS record

// Fill waits for input and makes Next go on. Elements that Next returned are
// no longer valid. A connection at rest holds no buffer: it waits with a few
// bytes of its own, and takes a pooled buffer when something has come.
// A peer who has sent too much waits here, where all that came before has been
// worked off. What comes when our side of the stream is closed is not wanted.
func (x *Conn) Fill() (err error) {
	x.answer()
	x.pause()
	switch {
	case x.Closing():
		return errClosed
	case x.frames != nil:
		err = x.fillFrame()
	default:
		err = x.fill()
	}
	if err == nil && x.Closing() {
		return errClosed
	}
	return err
}

func (x *Conn) fill() error {
	rest := len(x.in) - x.next
	if rest == 0 {
		x.release()
		n, err := x.read(x.small[:])
		if n > 0 {
			x.in, x.next = x.small[:n], 0
			return nil
		}
		return err
	}
	if x.pooled == nil || len(*x.pooled) < 2*rest {
		size := inputSize
		for size < 2*rest {
			size *= 2
		}
		var b *[]byte
		if size == inputSize {
			b = inputs.Get().(*[]byte)
		} else {
			fresh := make([]byte, size)
			b = &fresh
		}
		copy(*b, x.in[x.next:])
		x.release()
		x.pooled = b
	} else {
		copy(*x.pooled, x.in[x.next:])
	}
	buf := *x.pooled
	n, err := x.read(buf[rest:])
	x.in, x.next = buf[:rest+n], 0
	if n > 0 {
		return nil
	}
	return err
}

// More reads what has come meanwhile, as far as there is room for it, and reports whether that was anything. It does not
// wait, and the elements that Next returned stay valid. A read of TLS returns one record, and most clients send one for
// each stanza, as a frame has but one element: without More no two of them would ever share a commit.
func (x *Conn) More() bool {
	if x.pooled == nil || x.bucket.owes() > 0 {
		return false
	}
	have, n := len(x.in), 0
	room := (*x.pooled)[have:]
	switch {
	case len(room) == 0:
		return false
	case x.frames != nil:
		n = x.moreFrame(room)
	default:
		n = x.raw.readNow(x.reader(), room)
	}
	x.in = (*x.pooled)[:have+n]
	x.came(n)
	return n > 0
}

func (x *Conn) reader() io.Reader {
	if x.tls != nil {
		return x.tls
	}
	return x.raw
}

// came counts input.
func (x *Conn) came(n int) {
	x.opts.Stats.BytesIn.Add(int64(n))
	x.bucket.spendBytes(n)
}

// pause waits for as long as the peer has to because of its rate, or until the connection ends.
func (x *Conn) pause() {
	d := x.bucket.owes()
	if d <= 0 {
		return
	}
	x.opts.Stats.Throttled.Add(1)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-x.closed:
	}
}

func (x *Conn) read(b []byte) (int, error) {
	r := x.reader()
	for {
		n, err := x.raw.readFrom(r, b)
		if n > 0 {
			x.came(n)
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// Stanza charges one stanza to the peer's rate: if it sends too many, the next Fill waits.
func (x *Conn) Stanza() { x.bucket.spendStanza() }

// release gives the input buffer back.
func (x *Conn) release() {
	if x.pooled != nil && len(*x.pooled) == inputSize {
		inputs.Put(x.pooled)
	}
	x.pooled, x.in, x.next = nil, nil, 0
}

// IsTimeout reports whether a read ended because of its deadline.
func IsTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// Buffered is how many bytes have arrived that no element was made of yet.
func (x *Conn) Buffered() int { return len(x.in) - x.next }

// Interrupt wakes the reader: its read ends with a timeout.
func (x *Conn) Interrupt() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.interrupted = true
	x.raw.SetReadDeadline(time.Unix(1, 0))
}
