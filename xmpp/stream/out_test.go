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

// What the reader answers leaves in its order when the reader waits, with what others said meanwhile.
func TestAnswersLeaveWhenTheReaderWaits(t *testing.T) {
	c, client := pair(t, nil)
	c.Answer([]byte("<a/>"))
	c.Append([]byte("<b/>"))
	c.Answer([]byte("<c/>"))
	go io.WriteString(client, opening)
	if _, err := c.ReadHeader(); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 12)
	if _, err := io.ReadFull(client, got); err != nil || string(got) != "<a/><b/><c/>" {
		t.Errorf("%q %v", got, err)
	}
}

// A peer that does not take a long answer is heard nevertheless.
func TestALongAnswerKeepsNobodyWaiting(t *testing.T) {
	c, client := pair(t, &Options{OutLimit: 64 << 20})
	long := bytes.Repeat([]byte("x"), 32<<20) // more than sockets take
	c.Answer(long)
	go io.WriteString(client, opening+"<message/>")
	if _, err := c.ReadHeader(); err != nil {
		t.Fatal(err)
	}
	if got := read(t, c); got != "<message/>" {
		t.Errorf("%q", got)
	}
	got := make([]byte, len(long))
	if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, long) {
		t.Errorf("the answer did not arrive: %v", err)
	}
}
