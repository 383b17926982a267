package archive

import (
	"bytes"

	"confab/xmpp"
)

// remembered is what is worth keeping although the message has no body.
var remembered = []xmpp.Match{
	{Space: xmpp.NSClient, Local: "subject"},
	{Space: xmpp.NSReceipts, Local: "received"},   // XEP-0184
	{Space: xmpp.NSConf, Local: "x"},              // XEP-0249
	{Space: xmpp.NSMarkers, Local: "displayed"},   // XEP-0333
	{Space: xmpp.NSHints, Local: "store"},         // XEP-0334 §4.4
	{Space: xmpp.NSJingleMsg},                     // XEP-0353
	{Space: xmpp.NSRetract, Local: "retract"},     // XEP-0424
	{Space: xmpp.NSModerate},                      // XEP-0425
	{Space: xmpp.NSReactions, Local: "reactions"}, // XEP-0444
}

// secret is what only the recipient's client can read.
var secret = []xmpp.Match{
	{Space: "jabber:x:encrypted", Local: "x"},  // XEP-0027
	{Space: xmpp.NSOpenPGP, Local: "openpgp"},  // XEP-0373
	{Space: xmpp.NSEME, Local: "encryption"},   // XEP-0380
	{Space: xmpp.NSOMEMO, Local: "encrypted"},  // XEP-0384 0.3
	{Space: xmpp.NSOMEMO2, Local: "encrypted"}, // XEP-0384
}

var files = []xmpp.Match{
	{Space: xmpp.NSOOB, Local: "x"},                  // XEP-0066
	{Space: xmpp.NSFileShare, Local: "file-sharing"}, // XEP-0447
}

const nsMediaSharing = "urn:xmpp:sims:1"

func among(list []xmpp.Match, e *xmpp.Element) bool {
	for i := range list {
		if string(e.Space) == list[i].Space && (list[i].Local == "" || string(e.Local) == list[i].Local) {
			return true
		}
	}
	return false
}

// Worth reports whether a message between people or to a room belongs into the history, and what is in it. What only says
// something of the moment does not: chat states, events of PEP, headlines, errors. A hint against storing (XEP-0334 §4.2) is not
// heeded: history cannot be turned off by who is recorded.
func Worth(st *xmpp.Stanza) (worth bool, f Flags) {
	switch st.MessageType() {
	case xmpp.TypeNormal, xmpp.TypeChat, xmpp.TypeGroupchat:
	default:
		return false, 0
	}
	for i := range st.Children {
		e := &st.Children[i]
		switch {
		case e.Is(xmpp.NSClient, "body"):
			f |= HasBody
			if bytes.HasPrefix(e.Inner, []byte("?OTR")) { // XEP-0364
				f |= Encrypted
			}
		case among(secret, e):
			f |= Encrypted
		case among(files, e), e.Is(xmpp.NSReference, "reference") && bytes.Contains(e.Inner, []byte(nsMediaSharing)): // XEP-0385
			f |= HasFile
		}
		worth = worth || among(remembered, e) || e.Is(xmpp.NSMUCUser, "x") && isInvitation(e)
	}
	return worth || f&(HasBody|Encrypted|HasFile) != 0, f
}

// isInvitation tells mediated invitations and their refusals (XEP-0045 §7.8.2) from what rooms say otherwise.
func isInvitation(e *xmpp.Element) bool {
	n := e.Node()
	return n.Child(xmpp.NSMUCUser, "invite") != nil || n.Child(xmpp.NSMUCUser, "decline") != nil
}
