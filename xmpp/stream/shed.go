package stream

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"sync"
	"unsafe"
)

// A tls.Conn keeps for its whole life the memory of the largest message of its handshake and of the largest record that it
// read: four kilobytes and up to twenty for every connection at rest. It has no means to have them given back, so they are
// taken: these are the offsets of its two buffers, zero where this version of Go has none of that name and type, and then
// nothing is done.
var handshakeBuffer, recordBuffer = bufferAt("hand"), bufferAt("rawInput")

func bufferAt(name string) uintptr {
	f, ok := reflect.TypeFor[tls.Conn]().FieldByName(name)
	if !ok || f.Type != reflect.TypeFor[bytes.Buffer]() {
		return 0
	}
	return f.Offset
}

func bufferOf(c *tls.Conn, offset uintptr) *bytes.Buffer {
	if offset == 0 {
		return nil
	}
	return (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(c), offset))
}

var records = sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, 2<<10)) }}

// shed frees what the handshake needed. Like the others it belongs to the reader.
func shed(c *tls.Conn) {
	for _, at := range []uintptr{handshakeBuffer, recordBuffer} {
		if b := bufferOf(c, at); b != nil && b.Len() == 0 {
			*b = bytes.Buffer{}
		}
	}
}

// lend gives the connection memory to read a record into.
func lend(c *tls.Conn) {
	if b := bufferOf(c, recordBuffer); b != nil && b.Cap() == 0 {
		p := records.Get().(*bytes.Buffer)
		*b, *p = *p, bytes.Buffer{}
		holders.Put(p)
	}
}

// takeBack takes it, unless part of a record is in it. It is for a connection that wants more input: otherwise what was
// decrypted last may still lie there.
func takeBack(c *tls.Conn) {
	b := bufferOf(c, recordBuffer)
	if b == nil || b.Len() > 0 || b.Cap() == 0 {
		return
	}
	p := holders.Get().(*bytes.Buffer)
	*p, *b = *b, bytes.Buffer{}
	p.Reset()
	records.Put(p)
}

// holders are the headers of buffers whose memory is lent.
var holders = sync.Pool{New: func() any { return new(bytes.Buffer) }}
