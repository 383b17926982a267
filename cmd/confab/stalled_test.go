package main

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"confab/cmd/internal/dialogue"
)

// A slow reader that makes the server buffer without bound, and everybody else wait: one who does not read what a room and
// an alias send loses the connection, and the others hear everything meanwhile.
func TestOccupantWhoDoesNotRead(t *testing.T) {
	w := startWorld(t, dialogue.Scene{
		Domains: []dialogue.Domain{{Name: "example.com", Users: []dialogue.User{
			{Local: "romeo", Password: "pw-romeo"}, {Local: "juliet", Password: "pw-juliet"}, {Local: "nurse", Password: "pw-nurse"},
		}}},
		Settings: []dialogue.Setting{{Key: "limits.byte_rate", Value: "1000000000"}},
	}).(*world)
	for _, args := range []string{"alias create team romeo juliet nurse --room", "alias create sales romeo juliet nurse"} {
		if out, err := w.Operate("", strings.Fields(args)...); err != nil {
			t.Fatal(out, err)
		}
	}
	addr := w.Addr(dialogue.DirectTLS)
	romeo, juliet, nurse := mustOnline(t, addr, "romeo"), mustOnline(t, addr, "juliet"), mustOnline(t, addr, "nurse")
	for _, c := range []*client{nurse, juliet, romeo} {
		name, _, _ := strings.Cut(c.jid, "@")
		c.send("<presence to='team@conference.example.com/" + name + "'><x xmlns='http://jabber.org/protocol/muc'/></presence><iq type='get' id='in' to='team@conference.example.com/" + name + "'><ping xmlns='urn:xmpp:ping'/></iq>")
		for e := new(element); e.attr("id") != "in"; {
			var err error
			if e, err = c.next(); err != nil {
				t.Fatal(err)
			}
		}
	}
	// From here on the nurse reads nothing.
	if tcp, ok := nurse.conn.(interface{ NetConn() net.Conn }); ok {
		tcp.NetConn().(*net.TCPConn).SetReadBuffer(4 << 10)
	}
	text := strings.Repeat("x", 200<<10)
	leaves := func(e *element) bool {
		return e.XMLName.Local == "presence" && e.attr("type") == "unavailable" && strings.HasSuffix(e.attr("from"), "/nurse")
	}
	counters := w.server.Admin().Live.Counters
	n, gone, most := 0, false, int64(0)
	for !gone && n < 120 {
		for _, to := range []string{"to='team@conference.example.com' type='groupchat'", "to='sales@example.com' type='chat'"} {
			n++
			most = max(most, counters()["bytes_waiting"])
			romeo.send(fmt.Sprintf("<message %s id='m%d'><body>%d</body><x xmlns='x'>%s</x></message>", to, n, n, text))
			for heard := false; !heard; {
				e, err := juliet.next()
				if err != nil {
					t.Fatalf("message %d: %v", n, err)
				}
				heard = e.attr("id") == fmt.Sprintf("m%d", n)
				gone = gone || leaves(e)
			}
			if to[4] == 't' { // his own message comes back to him from the room
				for e := new(element); e.attr("id") != fmt.Sprintf("m%d", n); {
					var err error
					if e, err = romeo.next(); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	// What waits for her is more than may wait: her connection ends as soon as writing to it is given up.
	for !gone {
		e, err := juliet.next()
		if err != nil {
			t.Fatalf("%d messages of %d bytes, and the nurse is still in the room: %v", n, len(text), err)
		}
		gone = leaves(e)
	}
	if n := counters()["slow_peers"]; n != 1 {
		t.Errorf("%d are held to be slow, want the nurse", n)
	}
	// A megabyte for her, and a message on its way to each.
	if bound := int64(1<<20 + 3*len(text) + 64<<10); most > bound {
		t.Errorf("%d bytes waited, may be %d", most, bound)
	}
}
