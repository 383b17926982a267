package feature

import (
	"context"
	"sync"

	"confab/xmpp"
)

// Gate is a door that is closed once. Who is inside may come in again until all have left, so that nobody is stopped halfway.
type Gate struct {
	mu     sync.Mutex
	inside int
	closed bool
	empty  chan struct{} // made by Close, closed when the last has left
}

// Enter reports whether the caller is in; then Leave must be called.
func (g *Gate) Enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed && g.inside == 0 {
		return false
	}
	g.inside++
	return true
}

// Leave undoes an Enter.
func (g *Gate) Leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 && g.closed {
		close(g.empty)
	}
}

// Close lets nobody in any more, and waits until all who are inside have left, or ctx is done. It is called once.
func (g *Gate) Close(ctx context.Context) {
	g.mu.Lock()
	g.closed, g.empty = true, make(chan struct{})
	if g.inside == 0 {
		close(g.empty)
	}
	g.mu.Unlock()
	select {
	case <-g.empty:
	case <-ctx.Done():
	}
}

// errClosed is what Inject returns when the table is closed.
var errClosed = xmpp.NewError(xmpp.ServiceUnavailable, "the server is stopping").WithType(xmpp.ErrorWait)

// Close ends Inject and its kind, by which the server itself speaks. After that, nothing comes into the history or to a
// session but by a reader of a connection. It returns when what was under way has arrived.
func (t *Table) Close() { t.own.Close(context.Background()) }
