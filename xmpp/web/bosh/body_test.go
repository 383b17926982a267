package bosh

import (
	"strings"
	"testing"
)

// What the wrapper declares is repeated in each payload that may need it, but a small request does not become a large one.
func TestDeclarationsDoNotMultiply(t *testing.T) {
	const limit = 100_000
	request := func(uri string, payloads int) []byte {
		return []byte("<body xmlns='" + NS + "' rid='1' sid='x' xmlns:p='" + uri + "'>" + strings.Repeat("<p:a/>", payloads) + "</body>")
	}
	b, err := parse(request("urn:example", 1000), limit)
	if err != nil || len(b.payloads) != 1000 || string(b.payloads[0]) != "<p:a xmlns:p='urn:example'/>" {
		t.Fatalf("%v, %v", b, err)
	}
	if b, err := parse(request(strings.Repeat("u", 90_000), 1000), limit); err == nil {
		size := 0
		for _, p := range b.payloads {
			size += len(p)
		}
		t.Errorf("a request of 96 kB became %d bytes", size)
	}
}
