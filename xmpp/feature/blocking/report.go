package blocking

import (
	"strings"

	"confab/xmpp"
	"confab/xmpp/directory"
)

const nsReporting = "urn:xmpp:reporting:1" // XEP-0377

// What is kept of a report is bounded: it is for people to read.
const (
	maxReason   = 200
	maxText     = 2000
	maxMessages = 50
)

// report says what is wrong with somebody who was blocked (XEP-0377 §3).
type report struct {
	about    xmpp.JID
	reason   string
	text     string
	messages []string // ids in the reporter's history
}

// appendReport adds the report that an <item/> holds.
func appendReport(list []report, about xmpp.JID, item *xmpp.Node) ([]report, error) {
	n := item.Child(nsReporting, "report")
	if n == nil {
		return list, nil
	}
	r := report{about: about, reason: shorten(n.Attr("reason"), maxReason)}
	if r.reason == "" { // §3
		return nil, xmpp.NewError(xmpp.BadRequest, "a <report/> has a 'reason'")
	}
	for _, c := range n.Children {
		switch {
		case c.Is(nsReporting, "text") && r.text == "":
			r.text = shorten(strings.TrimSpace(c.Text), maxText)
		case c.Is(xmpp.NSSID, "stanza-id") && len(r.messages) < maxMessages:
			r.messages = append(r.messages, shorten(c.Attr("id"), maxReason))
		}
	}
	return append(list, r), nil
}

// log tells the administrator. Reports are passed on to nobody else, whether
// their senders would like it (XEP-0377 §4) or not.
func (b *Blocking) log(by *directory.User, reports []report) {
	for _, r := range reports {
		b.Stats.Reported.Add(1)
		b.host.Log.Warn("a user was reported", "by", by.JID.String(), "about", r.about.String(),
			"reason", r.reason, "text", r.text, "messages", r.messages)
	}
}

func shorten(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "")
	}
	return s
}
