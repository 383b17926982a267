// Package websocket is the door for clients that speak XMPP over WebSocket (RFC
// 7395). The frames are github.com/coder/websocket's; what is in them is read by
// package stream.
package websocket

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"

	ws "github.com/coder/websocket"

	"confab/xmpp"
	"confab/xmpp/c2s"
	"confab/xmpp/feature"
	"confab/xmpp/stream"
	"confab/xmpp/web"
)

// Subprotocol is what a WebSocket speaks that leads here (RFC 7395 §3.1).
const Subprotocol = "xmpp"

// Options are what the door needs. All are required.
type Options struct {
	Take    func(c2s.Arrival) bool // what connections are handed to
	Origins func() web.Origins     // asked at each request
	Clock   xmpp.Clock
	Log     *slog.Logger
}

// Route is the door.
func Route(o Options) feature.Route {
	return feature.Route{Pattern: "GET " + web.WebSocketPath, Handler: &door{o}}
}

type door struct{ Options }

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !d.Origins().Allow(r) {
		http.Error(w, "pages of this site may not connect", http.StatusForbidden)
		return
	}
	if upgrades(r) && !offers(r, Subprotocol) {
		http.Error(w, "the WebSocket subprotocol xmpp is needed (RFC 7395)", http.StatusBadRequest)
		return
	}
	h := &hijacker{ResponseWriter: w}
	socket, err := ws.Accept(h, r, &ws.AcceptOptions{
		Subprotocols:       []string{Subprotocol},
		InsecureSkipVerify: true, // the origin was looked at
	})
	if err != nil {
		d.Log.Debug("no WebSocket", "error", err, "from", r.RemoteAddr)
		return
	}
	socket.SetReadLimit(-1) // package stream has limits
	peer := web.PeerOf(r)
	c := &conn{ws: socket, wire: h.wire, input: h.input, peer: peer.Addr, clock: d.Clock}
	a := c2s.Arrival{Conn: c, Peer: peer.Addr, Transport: "websocket"}
	// COMPAT(stanza 12): it takes a -PLUS mechanism that is offered and has nothing to bind to. No page in a browser has, so to
	// those none is offered.
	if secured := h.wire.secured(); secured != nil && !peer.Proxied && r.Header.Get("Origin") == "" {
		a.TLS, a.Sent = r.TLS, stream.Noted(secured)
	}
	c.rest()
	d.Take(a)
}

func upgrades(r *http.Request) bool { return r.Header.Get("Upgrade") != "" }

// offers reports whether a client names a subprotocol among those that it speaks.
func offers(r *http.Request, protocol string) bool {
	list := strings.Split(strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ","), ",")
	return slices.ContainsFunc(list, func(p string) bool { return strings.EqualFold(strings.TrimSpace(p), protocol) })
}
