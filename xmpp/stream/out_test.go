package stream

import (
	"bytes"
	"io"
	"testing"
)

// What comes right behind an answer that is larger than the limit does not
// close the stream, up to the limit.
func TestAppendBehindALargeOne(t *testing.T) {
	c, client := pair(t, &Options{OutLimit: 64 << 10})
	large, small := bytes.Repeat([]byte("x"), 256<<10), bytes.Repeat([]byte("y"), 32<<10)
	c.Append(large)
	c.Append(small)
	if c.Closing() {
		t.Fatal("closed although it had no time to read")
	}
	c.Flush()
	got := make([]byte, len(large)+len(small))
	if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, append(large, small...)) {
		t.Errorf("not all arrived: %v", err)
	}
	if err := c.Drain(0); err != nil {
		t.Fatal(err)
	}
	c.Append(large)
	for range 3 {
		c.Append(small)
	}
	if !c.Closing() {
		t.Error("much more may wait than the limit")
	}
}
