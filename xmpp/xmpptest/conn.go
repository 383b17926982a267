package xmpptest

import (
	"slices"
	"sync"

	"confab/xmpp"
)

// Conn is a connection to nowhere that remembers what would have left on it.
// The zero value is ready.
type Conn struct {
	mu      sync.Mutex
	waiting []string // appended and not flushed
	left    []string
	closed  bool
	err     *xmpp.StreamError
}

// Append takes whole elements. idle reports that nothing was waiting.
func (c *Conn) Append(b []byte) (idle bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = append(c.waiting, string(b))
	return len(c.waiting) == 1
}

// Flush lets leave what was appended.
func (c *Conn) Flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = append(c.left, c.waiting...)
	c.waiting = nil
}

// Close closes the connection; only the first error counts.
func (c *Conn) Close(err *xmpp.StreamError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed, c.err = true, err
	}
}

// Left returns what has left since the last call, as it was appended.
func (c *Conn) Left() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := c.left
	c.left = nil
	return slices.Clip(left)
}

// Waiting is how many appended pieces nobody has flushed.
func (c *Conn) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting)
}

// Closed reports whether the connection was closed, and with which error.
func (c *Conn) Closed() (*xmpp.StreamError, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err, c.closed
}
