//go:build unix

package stream

import (
	"bytes"
	"crypto/tls"
	"io"
	"testing"
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
