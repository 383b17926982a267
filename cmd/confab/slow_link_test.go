package main

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"confab/cmd/internal/dialogue"
)

// TestMuchOverASlowLink has a client enter rooms and ask for history all at once, as clients do when they come online: more
// comes of that than may wait for a peer that reads nothing, and the client, which is only slow, gets it all.
func TestMuchOverASlowLink(t *testing.T) {
	const room, lines, times = "team@conference.example.com", 20, 60
	for _, test := range []struct{ name, request, last string }{
		{"entering", "<presence to='" + room + "/juliet'><x xmlns='http://jabber.org/protocol/muc'/></presence>", "subject"},
		{"history", "<iq type='set' id='q' to='" + room + "'><query xmlns='urn:xmpp:mam:2'/></iq>", "fin"},
		{"own-history", "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>", "fin"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := startWorld(t, dialogue.Scene{
				Domains:  []dialogue.Domain{{Name: "example.com", Users: []dialogue.User{{Local: "romeo", Password: "pw-romeo"}, {Local: "juliet", Password: "pw-juliet"}}}},
				Settings: []dialogue.Setting{{Key: "limits.byte_rate", Value: "1000000000"}},
			}).(*world)
			if out, err := w.Operate("", strings.Fields("alias create team romeo juliet --room")...); err != nil {
				t.Fatal(out, err)
			}
			addr := w.Addr(dialogue.DirectTLS)
			romeo, juliet := mustOnline(t, addr, "romeo"), mustOnline(t, addr, "juliet")
			if tcp, ok := juliet.conn.(interface{ NetConn() net.Conn }); ok {
				tcp.NetConn().(*net.TCPConn).SetReadBuffer(64 << 10)
			}
			for i := range lines {
				romeo.send(fmt.Sprintf("<message to='juliet@example.com' type='chat' id='c%d'><body>%d</body><x xmlns='x'>%s</x></message>", i, i, strings.Repeat("x", 20<<10)))
				romeo.send(fmt.Sprintf("<message to='%s' id='m%d'><body>%d</body><x xmlns='x'>%s</x></message>", room, i, i, strings.Repeat("x", 20<<10)))
			}
			romeo.send("<iq type='get' id='done' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>")
			for e := new(element); e.attr("id") != "done"; {
				var err error
				if e, err = romeo.next(); err != nil {
					t.Fatal(err)
				}
			}
			juliet.send(strings.Repeat(test.request, times))
			for n := 0; n < times; {
				e, err := juliet.next()
				if err != nil {
					t.Fatalf("%d of %d are there: %v", n, times, err)
				}
				if e.child(test.last).XMLName.Local == test.last {
					n++
				}
			}
		})
	}
}
