package router_test

import "testing"

// A run counts as the stanzas that are in it (XEP-0198 §4), is kept like them,
// and leaves as one piece.
func TestSendRun(t *testing.T) {
	_, s, c, _ := managed(t)
	s.SendRun(nil, []byte("<a/><bb/><c/>"), []int{4, 9, 13})
	s.SendRun(nil, nil, nil)
	left(t, c, "<a/><bb/><c/>")
	if n := s.SentCount(); n != 3 {
		t.Errorf("%d were sent, not 3", n)
	}
	if err := s.Acknowledge(1); err != nil {
		t.Fatal(err)
	}
	s.Drain(0) // a connection that cannot tell has nothing waiting
	lost, _ := s.End(nil)
	if len(lost.Stanzas) != 2 || string(lost.Stanzas[0]) != "<bb/>" || string(lost.Stanzas[1]) != "<c/>" {
		t.Errorf("%q were not acknowledged", lost.Stanzas)
	}
	s.SendRun(nil, []byte("<a/>"), []int{4})
	left(t, c)
}
