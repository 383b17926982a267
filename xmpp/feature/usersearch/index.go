package usersearch

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"confab/xmpp"
	"confab/xmpp/directory"
)

// index is what can be searched of a domain at one moment, in the order of the
// localparts. It is made when somebody searches after a change.
type index struct {
	at    *directory.Snapshot
	users []entry
}

type entry struct {
	user    *directory.User
	words   []string // of the name, folded
	name    string   // all of it, folded
	address string   // as people write it, folded
}

type indexes struct {
	mu sync.Mutex
	of map[string]*index // by domain
}

// get returns the index of a domain.
func (x *indexes) get(m *directory.Domain) *index {
	now := m.Snapshot()
	x.mu.Lock()
	defer x.mu.Unlock()
	have := x.of[m.Name()]
	if have != nil && have.at == now {
		return have
	}
	fresh := &index{at: now}
	for _, u := range now.Users {
		if u.Hidden || u.Disabled {
			continue
		}
		name := fold(u.Name)
		fresh.users = append(fresh.users, entry{u, strings.Fields(name), name, fold(address(u))})
	}
	if x.of == nil {
		x.of = map[string]*index{}
	}
	x.of[m.Name()] = fresh
	return fresh
}

// address is the address as people write it (XEP-0106).
func address(u *directory.User) string { return xmpp.UnescapeLocal(u.Local) + "@" + u.Domain }

// fold makes all spellings of a word one: upper and lower case, with accents
// and without.
func fold(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	s = norm.NFKD.String(cases.Fold().String(s))
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, s)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// wish is what is searched for, folded; what is empty is not looked at.
type wish struct{ first, last, nick, email string }

func (w *wish) empty() bool { return *w == wish{} }

// matches reports whether all that is asked for is true of a user. The
// directory does not know which word of a name is the family's.
func (e *entry) matches(w *wish) bool {
	return e.called(w.first) && e.called(w.last) &&
		(w.nick == "" || strings.Contains(e.name, w.nick) || strings.Contains(e.address, w.nick)) &&
		(w.email == "" || strings.Contains(e.address, w.email))
}

// called reports whether the words of the name begin with those of text.
func (e *entry) called(text string) bool {
	for _, want := range strings.Fields(text) {
		found := false
		for _, word := range e.words {
			found = found || strings.HasPrefix(word, want)
		}
		if !found {
			return false
		}
	}
	return true
}

func (x *index) search(w *wish) (found []*directory.User) {
	for i := range x.users {
		if x.users[i].matches(w) {
			found = append(found, x.users[i].user)
		}
	}
	return found
}
