package xmpp

// FirstElement returns the length of the element that b begins with, for b that we wrote ourselves: nothing is
// checked. What does not end is all of b.
func FirstElement(b []byte) int {
	depth := 0
	for c := (cursor{b: b}); c.next(); {
		switch c.kind {
		case tokOpen:
			depth++
		case tokClose:
			depth--
		case tokText, tokCDATA:
			continue
		}
		if depth <= 0 {
			return c.to
		}
	}
	return len(b)
}
