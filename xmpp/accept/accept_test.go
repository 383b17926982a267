package accept_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"

	"confab/xmpp/accept"
)

// unlucky is a listener that cannot accept once in a while.
type unlucky struct {
	net.Listener
	failures int
}

func (u *unlucky) Accept() (net.Conn, error) {
	if u.failures--; u.failures >= 0 {
		return nil, errors.New("too many open files")
	}
	return u.Listener.Accept()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// serve has everybody let in, and tells who came.
func serve(t *testing.T, d *accept.Door[net.Conn], l net.Listener) (came <-chan net.Conn, ended <-chan error) {
	t.Helper()
	conns, end := make(chan net.Conn, 100), make(chan error, 1)
	go func() {
		end <- d.Serve(l, slog.New(slog.DiscardHandler), func(c net.Conn) {
			if !d.Enter(c) {
				c.Close()
				return
			}
			conns <- c
		})
	}()
	return conns, end
}

func TestErrorsOfAcceptAreNoEnd(t *testing.T) {
	var d accept.Door[net.Conn]
	l := listen(t)
	came, ended := serve(t, &d, &unlucky{l, 2})
	for range 40 { // more than one burst
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		d.Leave(<-came)
	}
	l.Close()
	if err := <-ended; err != net.ErrClosed {
		t.Error(err)
	}
	if d.Closed() {
		t.Error("the door closed with one of its listeners")
	}
}

// Who is inside is asked to leave, and who does not is made to.
func TestShutdown(t *testing.T) {
	for _, polite := range []bool{true, false} {
		var d accept.Door[net.Conn]
		l := listen(t)
		came, ended := serve(t, &d, l)
		if _, err := net.Dial("tcp", l.Addr().String()); err != nil {
			t.Fatal(err)
		}
		<-came
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		asked, forced := 0, 0
		d.Shutdown(ctx, func(c net.Conn) {
			if asked++; polite {
				d.Leave(c)
			} else {
				cancel()
			}
		}, func(c net.Conn) {
			forced++
			d.Leave(c)
		})
		if asked != 1 || (forced == 0) != polite {
			t.Errorf("polite %v: %d were asked to leave and %d made to", polite, asked, forced)
		}
		if err := <-ended; err != net.ErrClosed {
			t.Error(err)
		}
	}
}

func TestAClosedDoor(t *testing.T) {
	var d accept.Door[net.Conn]
	done := d.Done()
	if d.Closed() {
		t.Error("it is closed")
	}
	d.Close()
	if !d.Closed() {
		t.Error("it is open")
	}
	<-done
	<-d.Done()
	d.Close()
	if d.Enter(nil) || len(d.Inside()) != 0 {
		t.Error("somebody came in")
	}
	l := listen(t)
	if err := d.Serve(l, nil, nil); err != net.ErrClosed {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
}
