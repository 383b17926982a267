package stream

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"confab/xmpp"
)

// frames is a transport that brings some frames, of which the first few are there together.
type frames struct {
	net.Conn
	list     [][]byte
	together int
}

func (f *frames) NextFrame() (io.Reader, error) {
	if len(f.list) == 0 {
		return nil, io.EOF
	}
	r := bytes.NewReader(f.list[0])
	f.list = f.list[1:]
	f.together--
	return r, nil
}

func (f *frames) Ready() int {
	if f.together <= 0 || len(f.list) == 0 {
		return 0
	}
	return len(f.list[0])
}

func (f *frames) LoggedIn() {}

func (f *frames) Read([]byte) (int, error) { return 0, io.EOF }

// FuzzFrame: whatever a frame is, it is one element, which reads the same by
// itself, or an error; and it is never seen as more than the limit.
func FuzzFrame(f *testing.F) {
	for _, text := range []string{
		"<open xmlns='" + xmpp.NSFraming + "' to='example.com' version='1.0' xml:lang='en'/>",
		"<close xmlns='" + xmpp.NSFraming + "'/>", "<close/>", "<a/><b/>", "<a>", " <a/>", "<a/> \n", "", "x",
		"<message xmlns='jabber:client'><body>\xc3(</body></message>", "<stream:stream xmlns:stream='" + xmpp.NSStream + "'>",
		"<?xml version='1.0'?><a/>", "<presence to='a'/>", "</stream:stream>",
	} {
		f.Add([]byte(text))
	}
	options := &Options{BeforeLogin: xmpp.Limits{Bytes: 500}}
	options.Prepare()
	f.Fuzz(func(t *testing.T, text []byte) {
		x := New(&frames{list: [][]byte{text, []byte("<a xmlns='b'/>")}}, options)
		var st xmpp.Stanza
		err := x.Read(&st)
		var se *xmpp.StreamError
		switch {
		case err == xmpp.ErrStreamEnd:
			if n, err := xmpp.ParseNode(text); err != nil || !n.Is(xmpp.NSFraming, "close") {
				t.Errorf("%q ended the stream", text)
			}
			return
		case errors.As(err, &se):
			return
		case err != nil:
			t.Fatalf("%q: %v", text, err)
		}
		if len(text) > 500 && len(bytes.TrimRight(text, " \t\r\n")) > 500 {
			t.Errorf("%d bytes were taken", len(text))
		}
		alone, err := xmpp.Parse(text)
		if err != nil || !bytes.Equal(alone.Raw, st.Raw) || string(alone.Space) != string(st.Space) {
			t.Errorf("%q: %q in %q, %v", text, st.Raw, st.Space, err)
		}
		if err := x.Read(&st); err != nil || string(st.Local) != "a" {
			t.Errorf("behind %q: %v", text, err)
		}
	})
}

// Frames that are there together are read together as far as there is room, and the elements stay what they were.
func TestMoreFrames(t *testing.T) {
	message := func(size int) string { return "<message><body>" + strings.Repeat("x", size) + "</body></message>" }
	want := []string{message(1), message(2), message(3), message(inputSize), message(4), message(5)}
	f := &frames{together: 5}
	for _, m := range want {
		f.list = append(f.list, []byte(m))
	}
	options := &Options{BeforeLogin: xmpp.Limits{Bytes: 64 << 10}}
	options.Prepare()
	x := New(f, options)
	var got []int
	for range 3 {
		if err := x.Fill(); err != nil {
			t.Fatal(err)
		}
		var elements [10]xmpp.Stanza
		n := 0
		for {
			ok, err := x.Next(&elements[n])
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				n++
			} else if !x.More() {
				break
			}
		}
		check(t, elements[:n], want)
		want = want[n:]
		got = append(got, n)
	}
	if !slices.Equal(got, []int{3, 2, 1}) {
		t.Errorf("read together: %d", got)
	}
}

func check(t *testing.T, elements []xmpp.Stanza, want []string) {
	t.Helper()
	for i := range elements {
		if got := string(elements[i].Raw); got != want[i] {
			t.Errorf("an element became %q, not %q", got, want[i])
		}
	}
}
