package web_test

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"slices"
	"strings"
	"testing"

	"confab/xmpp/web"
)

func TestHostMeta(t *testing.T) {
	address := func(domain string) string { return "https://" + domain + ":5443/a'&b" }
	h := open(t, "", web.HostMeta(address)...)
	type link struct {
		Rel  string `xml:"rel,attr"`
		Href string `xml:"href,attr"`
	}
	want := []link{
		{"urn:xmpp:alt-connections:websocket", "wss://example.com:5443/a'&b/xmpp-websocket"},
		{"urn:xmpp:alt-connections:xbosh", "https://example.com:5443/a'&b/http-bind"},
	}
	var xrd struct {
		XMLName xml.Name `xml:"http://docs.oasis-open.org/ns/xri/xrd-1.0 XRD"`
		Links   []link   `xml:"Link"`
	}
	var jrd struct{ Links []link }
	for path, test := range map[string]struct {
		kind string
		read func([]byte) error
	}{
		"/.well-known/host-meta":      {"application/xrd+xml; charset=utf-8", func(b []byte) error { return xml.Unmarshal(b, &xrd) }},
		"/.well-known/host-meta.json": {"application/json; charset=utf-8", func(b []byte) error { return json.Unmarshal(b, &jrd) }},
	} {
		for method, status := range map[string]int{"GET": 200, "HEAD": 200, "OPTIONS": 204, "POST": 405} {
			r, err := http.NewRequest(method, "https://"+h.https+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = "example.com:5443"
			r.Header.Set("Origin", "https://anywhere.example")
			answer, body := h.do(t, r)
			if answer.StatusCode != status || status < 400 && answer.Header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("%s %s: %s %v", method, path, answer.Status, answer.Header)
			}
			switch method {
			case "GET":
				if err := test.read([]byte(body)); err != nil || answer.Header.Get("Content-Type") != test.kind {
					t.Errorf("%s: %v %v\n%s", path, err, answer.Header, body)
				}
			case "HEAD", "OPTIONS":
				if body != "" {
					t.Errorf("%s %s: %s", method, path, body)
				}
			}
		}
	}
	if !slices.Equal(xrd.Links, want) || !slices.Equal(jrd.Links, want) {
		t.Errorf("%v %v", xrd.Links, jrd.Links)
	}
}

func TestOrigins(t *testing.T) {
	for _, test := range []struct {
		allowed, origin string
		want            bool
	}{
		{"", "", true},
		{"", "https://chat.example", false},
		{"", "https://here.example", true}, // our own host
		{"", "http://here.example.evil.example", false},
		{"*", "https://chat.example", true},
		{"*", "null", true},
		{"https://chat.example", "https://chat.example", true},
		{"https://chat.example", "https://CHAT.example", true},
		{"https://chat.example", "http://chat.example", false},
		{"https://chat.example", "https://chat.example:8443", false},
		{"https://chat.example", "https://chat.example.evil.example", false},
		{"https://chat.example", "null", false},
		{"https://a.example https://*.example.com", "https://b.example.com", true},
		{"https://*.example.com", "https://example.com", false},
		{"https://*.example.com", "https://evilexample.com", false},
		{"https://*.example.com", "https://.example.com", true},
	} {
		r, err := http.NewRequest("GET", "https://here.example/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if test.origin != "" {
			r.Header.Set("Origin", test.origin)
		}
		if got := web.Origins(strings.Fields(test.allowed)).Allow(r); got != test.want {
			t.Errorf("%q from %q: %v", test.allowed, test.origin, got)
		}
	}
}
