package c2s

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"confab/xmpp/feature/featuretest"
)

// Who has opened no stream is sent away without a word: in the middle of a handshake it would be no TLS, and behind it an
// error without a stream.
func TestTheSilentHearNothing(t *testing.T) {
	for name, end := range map[string]func(d *door){
		"too late":    func(d *door) { d.Clock.Pass(time.Minute) },
		"at the stop": func(d *door) { d.Shutdown(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			raw, err := net.Dial("tcp", d.address)
			if err != nil {
				t.Fatal(err)
			}
			secured := d.knock(t)
			featuretest.Eventually(t, "both to be inside", func() bool { return len(d.Server.door.Inside()) == 2 && d.Clock.Timers() == 2 })
			ended := make(chan bool)
			go func() { end(d); close(ended) }()
			for _, c := range []net.Conn{raw, secured} {
				if got, err := io.ReadAll(c); len(got) > 0 || err != nil {
					t.Errorf("heard %q, %v", got, err)
				}
				c.Close()
			}
			<-ended
		})
	}
}
