package router_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"confab/xmpp/router"
	"confab/xmpp/xmpptest"
)

// waits holds back <p>, of which the latest of the same letter counts, and <q>.
func waits(stanza []byte) (key string, waits bool) {
	switch {
	case strings.HasPrefix(string(stanza), "<p"):
		return string(stanza[2:3]), true
	case strings.HasPrefix(string(stanza), "<q"):
		return "", true
	}
	return "", false
}

// What is held back leaves in order before what cannot wait, the latest of its key.
func TestHold(t *testing.T) {
	r := router.New(router.Options{})
	s, c := bind(t, r, "orchard")
	s.Hold(waits)
	send(s, "<pa1/>", "<q1/>", "<pb1/>", "<q2/>", "<pa2/>")
	left(t, c)
	send(s, "<m/>")
	left(t, c, "<q1/>", "<pb1/>", "<q2/>", "<pa2/>", "<m/>")
	send(s, "<pa3/>")
	left(t, c)
	s.SendKept(nil, []byte("<pk/>"), 7) // what is in the history never waits
	left(t, c, "<pa3/>", "<pk/>")
	send(s, "<pa4/>")
	var out router.Batch
	s.SendRun(&out, []byte("<1/><2/>"), []int{4, 8})
	out.Flush()
	left(t, c, "<pa4/>", "<1/><2/>")
	send(s, "<pa5/>")
	s.Release()
	send(s, "<pa6/>")
	left(t, c, "<pa5/>", "<pa6/>")
	if n := r.Stats.Held.Load(); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
	s.Hold(waits)
	send(s, "<pa7/>")
	s.End(nil)
	if n := r.Stats.Held.Load(); n != 0 {
		t.Errorf("%d bytes are held for nobody", n)
	}
}

// What is held back is bounded, however it is replaced.
func TestHoldBounds(t *testing.T) {
	r := router.New(router.Options{})
	s, c := bind(t, r, "orchard")
	s.Hold(waits)
	for i := range 5000 {
		send(s, fmt.Sprintf("<p%c%d/>", 'a'+i%3, i))
	}
	left(t, c)
	if n := r.Stats.Held.Load(); n > 100 {
		t.Errorf("%d bytes are held of three stanzas", n)
	}
	s.Release()
	left(t, c, "<pc4997/>", "<pa4998/>", "<pb4999/>")
	s.Hold(waits)
	for range 2000 {
		send(s, "<q/>")
	}
	left(t, c)
	send(s, "<q1/>")
	left(t, c, strings.Repeat("<q/>", 2000)+"<q1/>")
	big := "<q" + strings.Repeat("x", 60_000) + "/>"
	send(s, big, big)
	left(t, c)
	send(s, big)
	left(t, c, big+big+big)
}

// What is held back does not count for XEP-0198 before it leaves, and is not
// lost with the connection.
func TestHoldAndManagement(t *testing.T) {
	_, s, c, _ := managed(t)
	s.Hold(waits)
	send(s, "<pa1/>", "<q1/>")
	if n := s.SentCount(); n != 0 {
		t.Errorf("%d were sent", n)
	}
	hibernate(t, s, c)
	c2 := new(xmpptest.Conn)
	if err := s.Resume(c2, 0, header); err != nil {
		t.Fatal(err)
	}
	left(t, c2, "<resumed h='0'/><pa1/><q1/>"+ask)
	send(s, "<pa2/>")
	left(t, c2, "<pa2/>") // a resumed stream begins anew
	if n := s.SentCount(); n != 3 {
		t.Errorf("%d were sent", n)
	}

	// However much was held back, it does not end the session that loses its connection: that is when nobody looks.
	s.Hold(func([]byte) (string, bool) { return "", true })
	for range 60 {
		send(s, "<presence/>")
	}
	for i := range 6 {
		send(s, fmt.Sprintf("<q%d/>", i))
	}
	expired := make(chan struct{})
	s.Hibernate(c2, func() { close(expired) })
	c3 := new(xmpptest.Conn)
	if err := s.Resume(c3, 3, header); err != nil {
		t.Fatal(err)
	}
	left(t, c3, "<resumed h='0'/>"+strings.Repeat("<presence/>", 60)+"<q0/><q1/><q2/><q3/><q4/><q5/>"+ask)

	// What comes while it waits is bounded as it would be without.
	s.Hold(waits)
	send(s, "<pa1/>")
	s.Hibernate(c3, func() { close(expired) })
	for range 6 {
		send(s, "<m/>")
	}
	select {
	case <-expired:
	case <-time.After(10 * time.Second):
		t.Error("the session waits on")
	}
}
