package feature

import (
	"context"
	"fmt"
	"strings"

	"confab/xmpp"
	"confab/xmpp/directory"
)

// Portable is a part of what a server keeps of a user, as an element of the
// form in which servers hand users over to one another (XEP-0227). It holds
// whether the user is online or not.
type Portable struct {
	Space, Local string // of the element in <user/>
	// Export appends the element, or several of that name, or nothing. It is nil
	// for what is only taken.
	Export func(ctx context.Context, u *directory.User, dst []byte) ([]byte, error)
	// Import takes an element over; what is there already stays, unless the
	// element says otherwise of the same thing. What cannot be taken is named in
	// left, for the administrator, and does not keep the rest from being taken.
	Import func(ctx context.Context, u *directory.User, n *xmpp.Node) (left []string, err error)
}

// Leave notes in left why a part was not taken, unless the reason is none of
// the part itself: then it is returned.
func Leave(left *[]string, what string, err error) error {
	if e, ok := err.(*xmpp.Error); ok && e.Condition != xmpp.InternalServerError {
		reason := strings.TrimSpace(string(e.Condition) + " " + e.Text)
		*left = append(*left, fmt.Sprintf("%s: %s", what, reason))
		return nil
	}
	return err
}

// Portables returns what all features can hand over, in their order.
func (t *Table) Portables() []Portable {
	var all []Portable
	for i := range t.features {
		all = append(all, t.features[i].Portables...)
	}
	return all
}
