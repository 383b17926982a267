package web

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"net"
	"net/http"
	"strconv"
	"strings"

	"confab/xmpp/feature"
)

// Where the doors for clients in browsers are, below the address of the web side.
const (
	WebSocketPath = "/xmpp-websocket"
	BOSHPath      = "/http-bind"
)

// Where a domain's web server has what is said of the domain (RFC 6415 §1.1).
const (
	HostMetaPath     = "/.well-known/host-meta"
	HostMetaJSONPath = "/.well-known/host-meta.json"
)

// link is a door with its name (XEP-0156 §2.1).
type link struct {
	Rel  string `xml:"rel,attr" json:"rel"`
	Href string `xml:"href,attr" json:"href"`
}

func links(address string) []link {
	return []link{
		{"urn:xmpp:alt-connections:websocket", "wss" + strings.TrimPrefix(address, "https") + WebSocketPath},
		{"urn:xmpp:alt-connections:xbosh", address + BOSHPath},
	}
}

// HostMetaXML is the host-meta file of a domain whose web side is at an address,
// https://chat.example.com:5443 (XEP-0156 §2).
func HostMetaXML(address string) []byte {
	b := []byte("<?xml version='1.0' encoding='utf-8'?>\n<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>\n")
	for _, l := range links(address) {
		var href bytes.Buffer
		_ = xml.EscapeText(&href, []byte(l.Href)) // a buffer takes all
		b = append(b, "  <Link rel='"+l.Rel+"' href='"+href.String()+"'/>\n"...)
	}
	return append(b, "</XRD>\n"...)
}

// HostMetaJSON is the same as JSON.
func HostMetaJSON(address string) []byte {
	b, err := json.MarshalIndent(map[string][]link{"links": links(address)}, "", "  ")
	if err != nil {
		panic(err) // strings are JSON
	}
	return append(b, '\n')
}

// HostMeta serves both files. address tells how the users of a domain reach the
// web side; it is asked for the name that the request was sent to.
func HostMeta(address func(domain string) string) []feature.Route {
	serve := func(kind string, file func(string) []byte) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Access-Control-Allow-Origin", "*") // XEP-0156 §3
			h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
			h.Set("Access-Control-Allow-Headers", "Content-Type")
			if r.Method == http.MethodOptions {
				h.Set("Access-Control-Max-Age", "86400")
				w.WriteHeader(http.StatusNoContent)
				return
			}
			host := r.Host
			if name, _, err := net.SplitHostPort(host); err == nil {
				host = name
			}
			b := file(address(host))
			h.Set("Content-Type", kind)
			h.Set("Content-Length", strconv.Itoa(len(b)))
			h.Set("Cache-Control", "max-age=3600")
			if r.Method != http.MethodHead {
				_, _ = w.Write(b) // a client that has gone needs nothing
			}
		})
	}
	xrd, jrd := serve("application/xrd+xml; charset=utf-8", HostMetaXML), serve("application/json; charset=utf-8", HostMetaJSON)
	return []feature.Route{
		{Pattern: "GET " + HostMetaPath, Handler: xrd},
		{Pattern: "OPTIONS " + HostMetaPath, Handler: xrd},
		{Pattern: "GET " + HostMetaJSONPath, Handler: jrd},
		{Pattern: "OPTIONS " + HostMetaJSONPath, Handler: jrd},
	}
}
