package muc

import (
	"bytes"
	"testing"

	"confab/xmpp/router"
)

// recorder is a line that keeps what goes over it.
type recorder struct{ bytes.Buffer }

func (r *recorder) Send(_ *router.Batch, stanza []byte) { r.Write(stanza) }

func (r *recorder) SendRun(_ *router.Batch, b []byte, _ []int) { r.Write(b) }

func (r *recorder) Alive() bool { return true }

// TestSlowNewcomer has more come for somebody who is not live yet than may wait: nothing of it is lost, and no more waits.
func TestSlowNewcomer(t *testing.T) {
	line := new(recorder)
	s := &seat{line: line}
	var sent bytes.Buffer
	for i := range 20 {
		b := bytes.Repeat([]byte{'a' + byte(i)}, 100<<10)
		sent.Write(b)
		s.send(nil, b)
		if len(s.waiting) > maxWaiting {
			t.Fatalf("%d bytes wait", len(s.waiting))
		}
	}
	if !s.live || !bytes.Equal(line.Bytes(), sent.Bytes()) {
		t.Errorf("%d bytes of %d have come", line.Len(), sent.Len())
	}
}
