//go:build !unix

package stream

import "io"

// waiter has nothing to do where sockets cannot be tried: reads wait where they are.
type waiter struct{}

func (w *wire) prepare() {}

func (w *wire) readFrom(r io.Reader, b []byte) (int, error) { return r.Read(b) }

func (w *wire) Read(b []byte) (int, error) { return w.await(b) }

func (w *wire) readNow(io.Reader, []byte) int { return 0 }
