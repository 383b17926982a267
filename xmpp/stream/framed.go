package stream

import (
	"bytes"
	"errors"
	"io"
	"net"

	"confab/xmpp"
)

// Framed is a transport that carries each element of a stream by itself, as
// WebSocket (RFC 7395) and BOSH (XEP-0124) do, with <open/> and <close/> in place
// of the stream's tags (RFC 7395 §3.3). Its Write gets one whole element or
// several, as AppendFramed takes them.
type Framed interface {
	net.Conn
	// NextFrame waits for a frame. Its reader is good until the next call.
	NextFrame() (io.Reader, error)
	// Ready is the size of the next frame if that has come already and may be read before what NextFrame returned last has
	// been handled; else 0. NextFrame does not wait for it.
	Ready() int
	// LoggedIn says that the peer has logged in.
	LoggedIn()
}

var (
	errNotFirst    error = xmpp.NewStreamError(xmpp.StreamBadFormat, "a frame begins with '<'")
	errFragment    error = xmpp.NewStreamError(xmpp.StreamNotWellFormed, "the element does not end with its frame")
	errSecond      error = xmpp.NewStreamError(xmpp.StreamBadFormat, "one element a frame")
	errNotOpen     error = xmpp.NewStreamError(xmpp.StreamBadFormat, "<open/> comes first")
	errOpenNS      error = xmpp.NewStreamError(xmpp.StreamInvalidNamespace, "the namespace of <open/> is "+xmpp.NSFraming)
	errCloseNS     error = xmpp.NewStreamError(xmpp.StreamInvalidNamespace, "the namespace of <close/> is "+xmpp.NSFraming)
	closingElement       = []byte("<close xmlns='" + xmpp.NSFraming + "'/>")
)

// Framed reports whether each element has a frame of its own.
func (x *Conn) Framed() bool { return x.frames != nil }

// readOpen reads the opening of a framed stream (RFC 7395 §3.4).
func (x *Conn) readOpen() (h xmpp.Header, err error) {
	var st xmpp.Stanza
	if err := x.Read(&st); err != nil {
		return h, err
	}
	n := st.Node()
	switch {
	case n.Is(xmpp.NSFraming, "open"):
	case n.Local == "open" || n.Is(xmpp.NSStream, "stream"): // §3.3.2
		return h, errOpenNS
	default:
		return h, errNotOpen
	}
	h = xmpp.Header{To: n.Attr("to"), From: n.Attr("from"), ID: n.Attr("id"), Version: n.Attr("version"), Space: xmpp.NSClient, StreamSpace: xmpp.NSStream}
	h.Lang, _ = n.LookupNS(xmpp.NSXML, "lang")
	return h, nil
}

// nextFramed is Next where the input is one frame, which is one element.
func (x *Conn) nextFramed(st *xmpp.Stanza) (ok bool, err error) {
	frame := x.in[x.next:]
	x.next = len(x.in)
	if frame[0] != '<' { // RFC 7395 §3.8: no white space to keep the connection alive
		return false, errNotFirst
	}
	n, err := x.lexer.Next(frame, st)
	switch {
	case err == xmpp.ErrIncomplete:
		return false, errFragment
	case err != nil:
		return false, err
	case len(bytes.TrimSpace(frame[n:])) > 0:
		return false, errSecond
	case st.Kind != xmpp.KindOther || string(st.Local) != "close":
		return true, nil
	case string(st.Space) != xmpp.NSFraming:
		return false, errCloseNS
	}
	return false, xmpp.ErrStreamEnd
}

// fillFrame is Fill from a framed transport. A frame is read up to the limit and
// one byte more, so that the lexer sees that it is too big.
func (x *Conn) fillFrame() error {
	x.release()
	r, err := x.frames.NextFrame()
	if err != nil {
		return err
	}
	x.pooled = inputs.Get().(*[]byte)
	buf, n, limit := *x.pooled, 0, x.limit+1
	for n < limit {
		if n == len(buf) {
			grown := make([]byte, min(2*len(buf), limit))
			copy(grown, buf)
			x.release()
			x.pooled = &grown
			buf = grown
		}
		m, err := r.Read(buf[n:min(len(buf), limit)])
		n += m
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	x.came(n)
	if n == 0 {
		return errNotFirst
	}
	x.in, x.next = buf[:n], 0
	return nil
}

// moreFrame is More from a framed transport.
func (x *Conn) moreFrame(room []byte) int {
	size := x.frames.Ready()
	if size == 0 || size > len(room) {
		return 0
	}
	r, err := x.frames.NextFrame()
	if err == nil {
		_, err = io.ReadFull(r, room[:size])
	}
	if err != nil { // the next fillFrame gets it too
		return 0
	}
	return size
}
