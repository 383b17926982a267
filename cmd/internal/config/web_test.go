package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestWebURL(t *testing.T) {
	for _, test := range []struct{ url, https, domain, port, want string }{
		{"", ":5443", "example.com", "5443", "https://example.com:5443"},
		{"", ":443", "example.com", "443", "https://example.com"},
		{"", ":0", "bücher.example", "49152", "https://xn--bcher-kva.example:49152"},
		{"", ":5443", "2001:db8::1", "5443", "https://[2001:db8::1]:5443"},
		{"https://chat.example.com/", ":5443", "example.com", "5443", "https://chat.example.com"},
		{"https://chat.example.com/xmpp", "off", "example.com", "", "https://chat.example.com/xmpp"},
	} {
		l := load(t, "", Source{Flags: map[string]string{"web-url": test.url, "listen-https": test.https}})
		if got := l.WebURL(test.domain, test.port); got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
}

func TestTrustedProxies(t *testing.T) {
	l := load(t, "", Source{Flags: map[string]string{"web-proxies": "192.0.2.1,10.1.2.3/8,::ffff:192.0.2.7,fd00::/8"}})
	if got := fmt.Sprint(l.Trusted()); got != "[192.0.2.1/32 10.0.0.0/8 192.0.2.7/32 fd00::/8]" {
		t.Error(got)
	}
}

func TestWebWarnings(t *testing.T) {
	l := load(t, "", Source{Flags: map[string]string{"domains": "example.com"}})
	if _, err := l.Prepare(time.Now()); err != nil {
		t.Fatal(err)
	}
	certs, err := LoadCertificates(l.Settings)
	if err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{"": "", "https://example.com": "", "https://chat.example.com": "no certificate names chat.example.com"} {
		l.Web.URL = url
		if got := strings.Join(l.WebWarnings(certs), ""); !strings.HasPrefix(got, want) || (got == "") != (want == "") {
			t.Errorf("%s: %q", url, got)
		}
	}
}
