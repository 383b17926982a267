package archive

import "confab/xmpp"

// Worth reports whether a message belongs into the history, and what is in it.
// What only says something of the moment does not: chat states, headlines,
// errors. A hint against storing (XEP-0334 §4.2) is not heeded: history cannot
// be turned off by who is recorded.
func Worth(st *xmpp.Stanza) (bool, Flags) {
	switch st.MessageType() {
	case xmpp.TypeNormal, xmpp.TypeChat:
	default:
		return false, 0
	}
	var f Flags
	worth := false
	for i := range st.Children {
		e := &st.Children[i]
		switch string(e.Space) {
		case xmpp.NSClient:
			if string(e.Local) == "body" {
				f |= HasBody
			}
		case "eu.siacs.conversations.axolotl", "urn:xmpp:omemo:2", "urn:xmpp:openpgp:0", "jabber:x:encrypted":
			f |= Encrypted // XEP-0384, 0373, 0027
		case "jabber:x:oob", "urn:xmpp:sfs:0", "urn:xmpp:sims:1":
			f |= HasFile // XEP-0066, 0447, 0385
		case "urn:xmpp:reactions:0", "urn:xmpp:message-retract:1", "urn:xmpp:message-moderate:1", // XEP-0444, 0424, 0425
			"urn:xmpp:receipts",         // XEP-0184
			"urn:xmpp:jingle-message:0", // XEP-0353
			"jabber:x:conference":       // XEP-0249
			worth = worth || string(e.Local) != "request" // a request alone is nothing to remember
		case "urn:xmpp:chat-markers:0": // XEP-0333
			worth = worth || string(e.Local) == "displayed"
		case "http://jabber.org/protocol/muc#user": // a mediated invitation
			worth = true
		case "urn:xmpp:hints": // XEP-0334 §4.4
			worth = worth || string(e.Local) == "store"
		}
	}
	return worth || f&(HasBody|Encrypted) != 0, f
}
