package roster

import (
	"fmt"
	"slices"
	"strings"

	"confab/xmpp"
)

// Limits bound what one list may hold.
type Limits struct {
	Contacts  int // in a list; 0: 2,000
	Requests  int // subscription requests waiting for an answer from people who are not in the list; 0: 500
	NameBytes int // of a contact's or a group's name; of all groups of a contact, four times that; 0: 1,023
	Groups    int // of a contact; 0: 32
	Request   int // bytes of a subscription request that is kept; 0: 4,096
	Presence  int // bytes of what a session tells all who see it, and is kept for those who come later; 0: 16,384
	Directed  int // addresses that a session sends its presence to directly, of 100 bytes each on average; 0: 1,000
}

func (l Limits) orDefault() Limits {
	for _, d := range []struct {
		limit *int
		value int
	}{
		{&l.Contacts, 2000}, {&l.Requests, 500}, {&l.NameBytes, 1023}, {&l.Groups, 32},
		{&l.Request, 4096}, {&l.Presence, 16384}, {&l.Directed, 1000},
	} {
		if *d.limit == 0 {
			*d.limit = d.value
		}
	}
	return l
}

// wish is what a roster set asks for.
type wish struct {
	jid    xmpp.JID
	remove bool
	name   string
	groups []string
}

// parseSet reads a roster set (RFC 6121 §2.1.5, §2.3.3). Attributes that are
// the server's to say, such as any other subscription than remove, are passed over.
func parseSet(query *xmpp.Node, l *Limits) (wish, error) {
	var item *xmpp.Node
	for _, c := range query.Children {
		if !c.Is(xmpp.NSRoster, "item") {
			continue
		}
		if item != nil {
			return wish{}, xmpp.NewError(xmpp.BadRequest, "a roster set changes one item")
		}
		item = c
	}
	if item == nil {
		return wish{}, xmpp.NewError(xmpp.BadRequest, "a roster set has an item")
	}
	address, ok := item.Lookup("jid")
	if !ok {
		return wish{}, xmpp.NewError(xmpp.BadRequest, "an item has a jid")
	}
	jid, err := xmpp.ParseJID(address)
	if err != nil {
		return wish{}, err
	}
	if jid.IsFull() {
		return wish{}, xmpp.NewError(xmpp.BadRequest, "a roster holds addresses without a resource")
	}
	r := wish{jid: jid, remove: item.Attr("subscription") == "remove"}
	if r.remove {
		return r, nil
	}
	if r.name = item.Attr("name"); len(r.name) > l.NameBytes {
		return wish{}, xmpp.NewError(xmpp.NotAcceptable,
			fmt.Sprintf("the name is longer than %d bytes", l.NameBytes))
	}
	r.groups, err = parseGroups(item, l)
	return r, err
}

func parseGroups(item *xmpp.Node, l *Limits) (groups []string, err error) {
	for _, c := range item.Children {
		if !c.Is(xmpp.NSRoster, "group") {
			continue
		}
		switch name := c.Text; {
		case name == "":
			return nil, xmpp.NewError(xmpp.NotAcceptable, "a group has a name")
		case len(name) > l.NameBytes:
			return nil, xmpp.NewError(xmpp.NotAcceptable,
				fmt.Sprintf("a group's name is longer than %d bytes", l.NameBytes))
		case slices.Contains(groups, name):
			return nil, xmpp.NewError(xmpp.BadRequest, "a group is there twice")
		default:
			groups = append(groups, name)
		}
	}
	if len(groups) > l.Groups {
		return nil, xmpp.NewError(xmpp.NotAcceptable, fmt.Sprintf("a contact is in %d groups at most", l.Groups))
	}
	if total := len(strings.Join(groups, "")); total > 4*l.NameBytes {
		return nil, xmpp.NewError(xmpp.NotAcceptable, fmt.Sprintf("the groups of a contact are longer than %d bytes together", 4*l.NameBytes))
	}
	return groups, nil
}
