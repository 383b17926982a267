package router

// Append appends a whole stanza to a connection that is no session's. It leaves
// when the batch is flushed; with a nil batch, at once.
func (b *Batch) Append(c Conn, stanza []byte) {
	switch idle := c.Append(stanza); {
	case !idle:
	case b == nil:
		c.Flush()
	default:
		b.conns = append(b.conns, c)
	}
}
