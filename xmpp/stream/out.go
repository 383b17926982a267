package stream

import (
	"io"
	"runtime"
	"sync"
	"time"

	"confab/xmpp"
)

var outputs = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

const maxPooledOutput = 64 << 10

func putOutput(b *[]byte) {
	if cap(*b) <= maxPooledOutput {
		*b = (*b)[:0]
		outputs.Put(b)
	}
}

// Append adds whole elements to the out buffer. idle says that no flusher is
// at work, so that Flush must be called. A peer for whom too much waits is
// closed with <resource-constraint/>: nobody waits for somebody else's socket.
func (x *Conn) Append(b []byte) (idle bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.append(b)
}

func (x *Conn) append(b []byte) (idle bool) {
	if x.closing || x.failed != nil {
		return false
	}
	if x.out == nil {
		x.out = outputs.Get().(*[]byte)
	}
	limit := x.opts.OutLimit
	if x.opts.Stats.Waiting.Load() > x.opts.OutTotal {
		limit /= 16 // memory is short: the greediest go first
	}
	// One append alone is never too much: a whole roster may be larger than the
	// limit, and a peer that has taken everything so far is not slow. What comes
	// right behind it is not too much either.
	if x.waiting() == 0 && len(b) > limit {
		x.large = len(b)
	}
	if len(*x.out)+len(b)-x.large > limit {
		x.opts.Stats.SlowPeers.Add(1)
		x.close(&xmpp.StreamError{Condition: xmpp.StreamResourceConstraint, Text: "too much waits to be read"})
		return false
	}
	idle = !x.writing
	*x.out = append(*x.out, b...)
	x.opts.Stats.Waiting.Add(int64(len(b)))
	return idle
}

// Flush starts the writing of what was appended, unless it is under way.
func (x *Conn) Flush() {
	x.mu.Lock()
	x.flush()
	x.mu.Unlock()
}

func (x *Conn) flush() {
	if !x.writing && x.failed == nil && (x.out != nil || x.closing) {
		x.writing = true
		go x.write()
	}
}

// Send appends and flushes.
func (x *Conn) Send(b []byte) {
	if x.Append(b) {
		x.Flush()
	}
}

// Answer appends what the reader has to say before it waits for more: Fill writes it, all in one, on the reader's own
// goroutine. In a negotiation there is nobody else to be kept waiting, and no flusher has to be woken for each step.
func (x *Conn) Answer(b []byte) {
	x.Append(b)
	x.answered = true
}

// Open answers with the header of our stream. Where there is none, an error of the stream has nothing to stand in, and a
// connection is closed without a word (RFC 6120 §4.9.1.2).
func (x *Conn) Open(header []byte) {
	x.mu.Lock()
	x.opened = true
	x.append(header)
	x.mu.Unlock()
	x.answered = true
}

// maxAnswer is what a socket takes at once, so that the reader does not have to wait for its peer.
const maxAnswer = 4 << 10

// answer writes what Answer has left.
func (x *Conn) answer() {
	if !x.answered {
		return
	}
	x.answered = false
	x.mu.Lock()
	if x.frames != nil || x.waiting() > maxAnswer {
		x.flush()
		x.mu.Unlock()
		return
	}
	mine := !x.writing && x.out != nil && x.failed == nil
	if mine {
		x.writing = true
	}
	x.mu.Unlock()
	if mine {
		x.write()
	}
}

// write is the flusher: it writes until nothing waits. The lock is not held
// while it writes.
func (x *Conn) write() {
	x.mu.Lock()
	for x.out != nil && x.failed == nil {
		b := x.out
		x.out, x.large = nil, 0
		x.flying = len(*b)
		w, timeout := x.net, x.opts.WriteTimeout
		if x.closing {
			timeout = min(timeout, closeTimeout)
		}
		// With the lock, or it could undo the deadline of a Close.
		x.raw.SetWriteDeadline(time.Now().Add(timeout))
		x.mu.Unlock()
		err := x.writeAll(w, *b)
		x.opts.Stats.BytesOut.Add(int64(len(*b)))
		x.opts.Stats.Waiting.Add(-int64(len(*b)))
		putOutput(b)
		x.mu.Lock()
		x.flying = 0
		if err != nil {
			x.fail(err)
		}
		x.drained.Broadcast()
	}
	x.writing = false
	x.drained.Broadcast()
	if x.closing && x.failed == nil {
		x.fail(errClosed)
	}
	x.mu.Unlock()
}

// piece is how much of a long output is written before others have their turn: a TLS record.
const piece = 16 << 10

// writeAll writes an output. What is long is written piece by piece, each behind whoever else has something to do: when
// hundreds are sent a picture at once, a short message does not wait for all of them. A frame is written whole.
func (x *Conn) writeAll(w io.Writer, b []byte) error {
	for x.frames == nil && len(b) > piece {
		runtime.Gosched()
		n, err := w.Write(b[:piece])
		if err != nil {
			return err
		}
		b = b[n:]
	}
	_, err := w.Write(b)
	return err
}

// Drain waits until no more than n bytes wait for the peer, or the connection
// has failed. Only a connection's own reader may wait for it.
func (x *Conn) Drain(n int) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for x.failed == nil && !x.closing && x.waiting() > n {
		x.flush()
		x.drained.Wait()
	}
	if x.failed != nil {
		return x.failed
	}
	if x.closing {
		return errClosed
	}
	return nil
}

// Waiting is how many bytes the peer has not taken.
func (x *Conn) Waiting() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.waiting()
}

// waiting is Waiting with x.mu held.
func (x *Conn) waiting() int {
	if x.out == nil {
		return x.flying
	}
	return x.flying + len(*x.out)
}

// settle waits until all is written: before the layers below change.
func (x *Conn) settle() error {
	x.answer()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.flush()
	for x.failed == nil && (x.out != nil || x.writing) {
		x.drained.Wait()
	}
	return x.failed
}
