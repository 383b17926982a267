package xmpp

import "testing"

const chat = `<message from='juliet@capulet.example/balcony' to='romeo@montague.example/orchard' type='chat' id='a3b6c9d2-41f7'>` +
	`<body>Wherefore art thou, Romeo? Deny thy father &amp; refuse thy name.</body>` +
	`<active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/><thread>e0ffe42b28</thread></message>`

func BenchmarkNext(b *testing.B) {
	x := NewLexer(Limits{})
	x.JIDs = new(JIDCache)
	if _, _, err := x.Header([]byte("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")); err != nil {
		b.Fatal(err)
	}
	var st Stanza
	buf := []byte(chat)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x.Next(buf, &st); err != nil {
			b.Fatal(err)
		}
	}
}
