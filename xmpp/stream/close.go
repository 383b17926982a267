package stream

import (
	"crypto/tls"
	"errors"
	"time"

	"confab/xmpp"
)

var errClosed = errors.New("the stream was closed")

var closingTag = []byte("</stream:stream>")

// Close ends our side of the stream: the error, if any, and the closing tag go
// out behind what waits, if there is a stream, and then the connection is closed.
// Later calls do nothing.
func (x *Conn) Close(err *xmpp.StreamError) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.close(err)
}

func (x *Conn) close(err *xmpp.StreamError) {
	if x.closing || x.failed != nil {
		return
	}
	x.closing = true
	if x.opened {
		x.appendEnd(err)
	}
	// A write that is stuck gets no more than the time of a farewell, and a
	// reader that waits for its own peer goes on.
	x.raw.SetWriteDeadline(time.Now().Add(closeTimeout))
	x.drained.Broadcast()
	x.flush()
}

// appendEnd appends our last words; with x.mu held.
func (x *Conn) appendEnd(err *xmpp.StreamError) {
	if x.out == nil {
		x.out = outputs.Get().(*[]byte)
	}
	before := len(*x.out)
	switch {
	case err != nil && x.frames != nil:
		*x.out = err.AppendDeclared(*x.out)
	case err != nil:
		*x.out = err.Append(*x.out)
	}
	if x.frames != nil {
		*x.out = append(*x.out, closingElement...)
	} else {
		*x.out = append(*x.out, closingTag...)
	}
	x.opts.Stats.Waiting.Add(int64(len(*x.out) - before))
}

// fail ends the connection; with x.mu held.
func (x *Conn) fail(err error) {
	if x.failed != nil {
		return
	}
	x.failed = err
	if x.out != nil {
		x.opts.Stats.Waiting.Add(-int64(len(*x.out)))
		putOutput(x.out)
		x.out = nil
	}
	if IsTimeout(err) {
		x.opts.Stats.WriteTimeouts.Add(1)
	}
	x.opts.Stats.Open.Add(-1)
	close(x.closed)
	if err != errClosed {
		x.raw.Close()
		return
	}
	// A reader that was woken is about to call Finish, and is not to fall asleep again.
	if !x.interrupted {
		x.endWriting()
	}
}

// endWriting gives the peer time to read our last words before the socket goes:
// its end of input, or the deadline, ends the reader, which calls Finish.
func (x *Conn) endWriting() {
	x.raw.SetReadDeadline(time.Now().Add(closeTimeout))
	x.farewell.Do(func() { go closeWrite(x.tls, x.raw) })
}

func closeWrite(secured *tls.Conn, raw *wire) {
	if secured != nil {
		secured.CloseWrite()
	}
	if c, ok := raw.Conn.(interface{ CloseWrite() error }); ok {
		c.CloseWrite()
	}
}

// Closing reports whether our side of the stream is closed: what the peer
// still sends is not handled any more.
func (x *Conn) Closing() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.closing || x.failed != nil
}

// Abort closes the connection at once, without a word.
func (x *Conn) Abort() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.fail(errors.New("aborted"))
}

// Hangup ends the connection without a word, where none would be understood:
// what was appended is written, and the peer sees the end of input.
func (x *Conn) Hangup() {
	x.settle()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closing = true
	x.fail(errClosed)
}

// Done is closed when the connection has ended.
func (x *Conn) Done() <-chan struct{} { return x.closed }

// Finish is called by the reader when it stops reading: what waits is written,
// the peer may say its last words, and the connection goes.
func (x *Conn) Finish() {
	x.Close(nil)
	<-x.closed
	x.release()
	if x.failed == errClosed {
		// Closing a socket with unread input resets it, and the reset can
		// overtake what we wrote.
		x.endWriting()
		for {
			if _, err := x.raw.Read(x.small[:]); err != nil {
				break
			}
		}
	}
	x.raw.Close()
}
