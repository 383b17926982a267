//go:build unix

package xmpptest

import (
	"bytes"
	"io"
	"net"
	"syscall"
	"testing"

	"golang.org/x/net/nettest"
)

func TestConnection(t *testing.T) {
	nettest.TestConn(t, func() (a, b net.Conn, stop func(), err error) {
		a, b = Connect()
		return a, b, func() { a.Close(); b.Close() }, nil
	})
}

// Who tries to read gets what has come, all of it in its order, and the end behind it.
func TestTried(t *testing.T) {
	a, b := Connect()
	want := bytes.Repeat([]byte("to be read in small pieces "), 10_000)
	go func() {
		a.Write(want)
		a.Close()
	}()
	raw, err := b.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	piece := make([]byte, 999)
	for ended := false; !ended; {
		tries := 0
		err := raw.Read(func(fd uintptr) bool {
			n, err := syscall.Read(int(fd), piece)
			if tries++; err == syscall.EAGAIN {
				return false
			}
			if ended = n <= 0; !ended {
				got = append(got, piece[:n]...)
			}
			return true
		})
		if err != nil || tries > 2 {
			t.Fatalf("%d tries, %v", tries, err)
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes were read, not the %d that were written", len(got), len(want))
	}
	b.Close()
	if err := raw.Read(func(uintptr) bool { return true }); err != net.ErrClosed {
		t.Errorf("a closed connection is read from: %v", err)
	}
	if _, err := b.Read(piece); err == io.EOF {
		t.Error("a closed connection has come to its end")
	}
}
