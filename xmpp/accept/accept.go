// Package accept is the way into a server and out of it: connections are
// accepted on its listeners until it is shut down, and then everybody who is
// inside is asked to leave, and shown out in the end.
package accept

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Door is where connections come in. C is what a server makes of one. The zero
// value is open; its methods may be called at any time.
type Door[C comparable] struct {
	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	inside    map[C]struct{}
	running   sync.WaitGroup
	closed    chan struct{} // made by done
	shut      bool
}

// Connections are accepted no faster than people could log in on them. The others wait in the kernel, where they cost next
// to nothing; accepted, thousands would all want the processor at once, and everybody's messages would stand in line: even
// behind 32 that are let in together.
const pace = 500 * time.Microsecond

// Serve accepts connections until the listener or the door is closed, and returns net.ErrClosed then. take is called with
// one after the other.
func (d *Door[C]) Serve(l net.Listener, log *slog.Logger, take func(net.Conn)) error {
	if !d.listen(l) {
		l.Close()
		return net.ErrClosed
	}
	const shortest, longest = 5 * time.Millisecond, time.Second
	wait, began := shortest, time.Now()
	for {
		c, err := l.Accept()
		if err != nil {
			if d.Closed() || errors.Is(err, net.ErrClosed) {
				return net.ErrClosed
			}
			// Out of file descriptors, most likely: others may leave.
			log.Warn("cannot accept a connection", "error", err, "listener", l.Addr().String())
			time.Sleep(wait)
			wait = min(2*wait, longest)
			continue
		}
		wait = shortest
		take(c)
		time.Sleep(pace - time.Since(began))
		began = time.Now()
		runtime.Gosched() // after those who have a connection
	}
}

func (d *Door[C]) listen(l net.Listener) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut {
		return false
	}
	if d.listeners == nil {
		d.listeners = map[net.Listener]struct{}{}
	}
	d.listeners[l] = struct{}{}
	return true
}

// Enter lets c in, who calls Leave at the end. It reports false if the door is closed.
func (d *Door[C]) Enter(c C) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut {
		return false
	}
	if d.inside == nil {
		d.inside = map[C]struct{}{}
	}
	d.inside[c] = struct{}{}
	d.running.Add(1)
	return true
}

// Leave says that c has left.
func (d *Door[C]) Leave(c C) {
	d.mu.Lock()
	delete(d.inside, c)
	d.mu.Unlock()
	d.running.Done()
}

// Inside lists who is inside.
func (d *Door[C]) Inside() []C {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Collect(maps.Keys(d.inside))
}

// Done is closed when the door is.
func (d *Door[C]) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.done()
}

// done is Done with d.mu held.
func (d *Door[C]) done() chan struct{} {
	if d.closed == nil {
		d.closed = make(chan struct{})
	}
	return d.closed
}

// Closed reports whether the door is closed.
func (d *Door[C]) Closed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.shut
}

// Close closes the door and its listeners. Who is inside stays.
func (d *Door[C]) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.shut {
		d.shut = true
		close(d.done())
	}
	for l := range d.listeners {
		l.Close()
	}
}

// Shutdown closes the door, calls ask for everybody who is inside and waits until they have left. When ctx is done it calls
// force for each, and waits for the rest of the way.
func (d *Door[C]) Shutdown(ctx context.Context, ask, force func(C)) {
	d.Close()
	inside := d.Inside()
	for _, c := range inside {
		ask(c)
	}
	left := make(chan struct{})
	go func() { d.running.Wait(); close(left) }()
	select {
	case <-left:
	case <-ctx.Done():
		for _, c := range inside {
			force(c)
		}
		<-left
	}
}
