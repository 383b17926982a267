package csi

import (
	"bytes"
	"strings"
	"sync"

	"confab/xmpp"
)

// judge says whether a stanza can wait for a client of own, a bare address.
// What it does not know cannot.
func judge(own string, stanza []byte) (key string, waits bool) {
	switch {
	case bytes.HasPrefix(stanza, []byte("<presence")):
		return judgePresence(stanza)
	case bytes.HasPrefix(stanza, []byte("<message")):
		return judgeMessage(own, stanza)
	}
	return "", false
}

// judgePresence looks at the head only: at a thousand colleagues this is what
// there is most of.
func judgePresence(stanza []byte) (key string, waits bool) {
	from, typ, ok := head(stanza)
	if !ok || len(from) == 0 {
		return "", false
	}
	switch string(typ) {
	case "", "unavailable":
	default: // somebody asks for something, or something went wrong
		return "", false
	}
	// What a room tells an occupant of itself (XEP-0045 §17.3).
	if bytes.Contains(stanza, []byte("<status code=")) {
		return "", false
	}
	return "p" + string(from), true
}

// head finds two attributes of an element, as they are written.
func head(b []byte) (from, typ []byte, ok bool) {
	i := bytes.IndexAny(b, " \t\r\n/>")
	for i >= 0 && i < len(b) {
		b = bytes.TrimLeft(b[i:], " \t\r\n")
		if len(b) == 0 {
			return nil, nil, false
		}
		if b[0] == '>' || b[0] == '/' {
			return from, typ, true
		}
		eq := bytes.IndexByte(b, '=')
		if eq < 0 {
			return nil, nil, false
		}
		name := bytes.TrimRight(b[:eq], " \t\r\n")
		b = bytes.TrimLeft(b[eq+1:], " \t\r\n")
		if len(b) == 0 {
			return nil, nil, false
		}
		end := bytes.IndexByte(b[1:], b[0])
		if end < 0 {
			return nil, nil, false
		}
		switch value := b[1 : 1+end]; string(name) {
		case "from":
			from = value
		case "type":
			typ = value
		}
		i = end + 2
	}
	return nil, nil, false
}

var stanzas = sync.Pool{New: func() any { return new(xmpp.Stanza) }}

func judgeMessage(own string, stanza []byte) (key string, waits bool) {
	st := stanzas.Get().(*xmpp.Stanza)
	defer stanzas.Put(st)
	if xmpp.ParseInto(st, stanza) != nil || st.Type == xmpp.TypeError || st.From.IsZero() {
		return "", false
	}
	from := st.From.String()
	for i := range st.Children {
		e := &st.Children[i]
		switch string(e.Space) {
		case xmpp.NSCarbons:
			return judgeCarbon(e)
		case xmpp.NSPubSubEv:
			return judgeEvent(own, from, e)
		}
	}
	return "s" + from, onlyState(len(st.Children), func(i int) (space, local string) {
		return string(st.Children[i].Space), string(st.Children[i].Local)
	})
}

// onlyState reports whether a message says nothing but what somebody does at
// the moment (XEP-0085 §5.5).
func onlyState(n int, child func(i int) (space, local string)) (state bool) {
	for i := range n {
		switch space, local := child(i); space {
		case xmpp.NSStates:
			state = true
		case xmpp.NSHints, xmpp.NSSID, xmpp.NSDelay, xmpp.NSOccupant:
		default:
			if local != "thread" {
				return false
			}
		}
	}
	return state
}

// judgeCarbon judges a copy by what was copied.
func judgeCarbon(e *xmpp.Element) (key string, waits bool) {
	m := e.Node().Child(xmpp.NSForward, "forwarded").Child(xmpp.NSClient, "message")
	if m == nil || m.Attr("type") == "error" {
		return "", false
	}
	return "c" + m.Attr("from") + " " + m.Attr("to"), onlyState(len(m.Children), func(i int) (space, local string) {
		return m.Children[i].Space, m.Children[i].Local
	})
}

// judgeEvent judges news of an account or a service (XEP-0060 §7.1.2.1). What one's
// own devices do keeps them together, and cannot wait: what has been read on one
// is no longer new on the others.
func judgeEvent(own, from string, e *xmpp.Element) (key string, waits bool) {
	if bare, _, _ := strings.Cut(from, "/"); bare == own {
		return "", false
	}
	items := e.Node().Child(xmpp.NSPubSubEv, "items")
	if items == nil || len(items.Children) != 1 {
		return "", true
	}
	id := items.Children[0].Attr("id")
	if id == "" {
		return "", true
	}
	return "e" + from + " " + items.Attr("node") + " " + id, true
}
