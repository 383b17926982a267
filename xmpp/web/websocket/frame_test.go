package websocket

import (
	"bytes"
	"testing"
)

func TestTextFrame(t *testing.T) {
	frame := func(size int, head ...byte) []byte { return append(head, bytes.Repeat([]byte{'x'}, 4+size)...) }
	for _, test := range []struct {
		name string
		b    []byte
		want int
	}{
		{"nothing", nil, 0},
		{"half a head", []byte{0x81}, 0},
		{"a text", frame(5, 0x81, 0x85), 5},
		{"a text and more", frame(50, 0x81, 0x85), 5},
		{"part of a text", frame(4, 0x81, 0x85), 0},
		{"an empty text", frame(0, 0x81, 0x80), 0},
		{"a longer text", frame(300, 0x81, 0xFE, 1, 44), 300},
		{"part of a longer text", frame(299, 0x81, 0xFE, 1, 44), 0},
		{"the size is not there yet", []byte{0x81, 0xFE, 1}, 0},
		{"a large one", frame(4000, 0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0, 5), 0},
		{"not the end of a text", frame(5, 0x01, 0x85), 0},
		{"the end of a text", frame(5, 0x80, 0x85), 0},
		{"not masked", frame(5, 0x81, 0x05), 0},
		{"compressed", frame(5, 0xC1, 0x85), 0},
		{"binary", frame(5, 0x82, 0x85), 0},
		{"a ping", frame(5, 0x89, 0x85), 0},
	} {
		if got := textFrame(test.b); got != test.want {
			t.Errorf("%s: %d, not %d", test.name, got, test.want)
		}
	}
}
