package directory

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"confab/xmpp"
)

// What a change can be refused for. The error that is returned wraps one of
// these and says in the administrator's words what is wrong.
var (
	ErrExists   = errors.New("the name is taken")
	ErrName     = errors.New("the name is no good")
	ErrNotFound = errors.New("there is no such user")
	ErrDomain   = errors.New("the domain is not served here")
)

// refusal is one of the errors above with all that can be said.
type refusal struct {
	kind error
	text string
}

func (e *refusal) Error() string { return e.text }
func (e *refusal) Unwrap() error { return e.kind }

func refuse(kind error, format string, args ...any) error {
	return &refusal{kind, fmt.Sprintf(format, args...)}
}

// Bounds of what a record holds.
const (
	maxNameRunes = 128 // of a display name or a group
	maxGroups    = 64
)

// address is the bare JID of somebody called local in mail or in a JID. What
// may not be in a localpart is escaped; a localpart that is one already stays.
func address(local, domain string) (xmpp.JID, error) {
	if local == "" {
		return xmpp.JID{}, refuse(ErrName, "a user needs a name")
	}
	if strings.ContainsAny(local, " \"&'/:<>@") { // XEP-0106 §3.2
		local = xmpp.EscapeLocal(local)
	}
	j, err := xmpp.NewJID(local, domain, "")
	if err != nil {
		return xmpp.JID{}, refuse(ErrName, "%q cannot be the name of a user: %v", local, err)
	}
	return j, nil
}

// Clean makes a text that people gave as a name fit to be shown to others: it
// is one line, and nothing in it changes the order in which other text is read.
func Clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, unicode.Is(unicode.Bidi_Control, r):
			return -1
		case unicode.IsSpace(r), r == '\u2028', r == '\u2029':
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, norm.NFC.String(s))
	return strings.Join(strings.Fields(s), " ")
}

// tidy brings what somebody wrote into u into the form in which it is kept.
func (u *User) tidy() error {
	j, err := address(u.Local, u.Domain)
	if err != nil {
		return err
	}
	u.JID, u.Local, u.Domain = j, j.Local(), j.Domain()
	u.Name = Clean(u.Name)
	if utf8.RuneCountInString(u.Name) > maxNameRunes {
		return refuse(ErrName, "the display name of %s is longer than %d characters", j, maxNameRunes)
	}
	if len(u.Groups) > maxGroups {
		return refuse(ErrName, "%s is in more than %d groups", j, maxGroups)
	}
	var groups []string
	for _, g := range u.Groups {
		g = Clean(g)
		if utf8.RuneCountInString(g) > maxNameRunes {
			return refuse(ErrName, "a group of %s has a name longer than %d characters", j, maxNameRunes)
		}
		if g != "" && !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	u.Groups = groups
	return nil
}
