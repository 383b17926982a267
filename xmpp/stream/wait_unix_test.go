//go:build unix

package stream

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"confab/xmpp"
)

// A connection that waits for its peer keeps no memory of what TLS has read, and loses nothing by that: not what was
// decrypted and not yet asked for, and not the beginning of a record whose rest is still on its way.
func TestTLSKeepsNothingAtRest(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			c, tc, _ := secured(t, version)
			want := bytes.Repeat([]byte("to be read in small pieces "), 5000)
			go func() {
				for rest := want; len(rest) > 0; {
					n := min(len(rest), 1+len(rest)%977)
					tc.Write(rest[:n])
					rest = rest[n:]
				}
				tc.Close()
			}()
			var got []byte
			for {
				n, err := c.read(c.small[:])
				got = append(got, c.small[:n]...)
				if err != nil {
					if err != io.EOF {
						t.Error(err)
					}
					break
				}
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%d bytes were read, not the %d that were sent", len(got), len(want))
			}

			c, tc, _ = secured(t, version)
			go io.WriteString(tc, "x")
			if _, err := c.read(c.small[:]); err != nil {
				t.Fatal(err)
			}
			waits := false
			c.raw.wait.to = c.small[:]
			c.raw.wait.socket.Read(func(fd uintptr) bool {
				waits = !c.raw.wait.try(fd)
				return true
			})
			if !waits {
				t.Fatal("there is more to be read than was sent")
			}
			for _, at := range []uintptr{handshakeBuffer, recordBuffer} {
				if at == 0 {
					t.Fatal("this version of Go names the buffers of a tls.Conn otherwise: see shed.go")
				}
				if n := bufferOf(c.tls, at).Cap(); n > 0 {
					t.Errorf("%d bytes are kept at rest", n)
				}
			}
		})
	}
}

// What comes while an element is looked at is read behind it, record by record, and the element stays what it was.
func TestMore(t *testing.T) {
	plain, client := pair(t, nil)
	encrypted, tc, _ := secured(t, tls.VersionTLS13)
	for name, side := range map[string]struct {
		c    *Conn
		peer io.Writer
	}{"TCP": {plain, client}, "TLS": {encrypted, tc}} {
		t.Run(name, func(t *testing.T) {
			var want []string
			for i := range 20 {
				want = append(want, fmt.Sprintf("<message id='%d'><body>%s</body></message>", i, strings.Repeat("a long word ", 10*i)))
			}
			said := want
			go func() {
				io.WriteString(side.peer, opening)
				for _, m := range said {
					io.WriteString(side.peer, m)
				}
			}()
			c := side.c
			if _, err := c.ReadHeader(); err != nil {
				t.Fatal(err)
			}
			elements := make([]xmpp.Stanza, len(want))
			for i, began := 0, false; i < len(want); {
				ok, err := c.Next(&elements[i])
				switch {
				case err != nil:
					t.Fatal(err)
				case ok:
					i++
					began = true
				case began && c.pooled != nil && len(c.in) < len(*c.pooled):
					for !c.More() {
						runtime.Gosched()
					}
				default:
					check(t, elements[:i], want)
					want, elements, i, began = want[i:], elements[i:], 0, false
					if err := c.Fill(); err != nil {
						t.Fatal(err)
					}
				}
			}
			check(t, elements, want)
		})
	}
}
