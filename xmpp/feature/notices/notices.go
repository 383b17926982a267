// Package notices is what the server itself says to its users: announcements to
// those who are online, a message of the day that everybody gets once, and a
// welcome to those who come for the first time (XEP-0133 §4.23 to §4.28). It
// comes from the address of the domain and is in the history like anything else.
// Nobody can answer there, which clients are told (XEP-0506).
//
// Since a welcome is for those who were not here before, the package also keeps
// when people logged in.
package notices

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/router"
	"confab/xmpp/store"
)

// Kind is a notice that stands until it is deleted.
type Kind byte

// The kinds.
const (
	MOTD    Kind = 'm' // the message of the day
	Welcome Kind = 'w'
)

// MaxText bounds a notice, in bytes.
const MaxText = 16 << 10

// ErrText says that a text cannot be sent.
var ErrText = errors.New("the text is empty, longer than 16 KiB or has control characters")

// Notices is the notices of all domains.
type Notices struct {
	host *feature.Host
	book book

	mu       sync.Mutex
	standing map[name]Standing
}

type name struct {
	domain string
	kind   Kind
}

// Standing is a notice that stands.
type Standing struct {
	Text string    // empty: it was deleted, which is kept so that Set does not come again
	Set  time.Time // tells it from earlier ones; an edit leaves it
}

// New makes the notices of a server.
func New(h *feature.Host) *Notices {
	n := &Notices{host: h, standing: map[name]Standing{}}
	n.book.open(n)
	return n
}

// Feature is the notices as the server's table takes them. Present has to be
// told of presence.
func (n *Notices) Feature() feature.Feature {
	return feature.Feature{
		Name:      "notices",
		Advertise: []feature.Advert{{Var: nsNoReply, Where: feature.Server}},
		Bound:     func(s *router.Session) { n.book.note(visit{user: s.User(), login: s.Since()}) },
		Start:     func(*feature.Host) error { return n.load() },
		Stop:      n.book.flush,
	}
}

const nsNoReply = "urn:xmpp:noreply:0" // XEP-0506 §3

// Present is told when the presence that a session broadcasts has changed.
func (n *Notices) Present(s *router.Session, old, now router.Presence) {
	if now.Available && !old.Available {
		n.book.note(visit{user: s.User(), here: true})
	}
}

func (n *Notices) load() error {
	return n.host.State.View(context.Background(), func(tx store.Tx) error {
		for k, v := range tx.Scan(space, store.Range{Prefix: []byte{prefixStanding}}) {
			key, s, ok := parseStanding(k, v)
			if ok {
				n.standing[key] = s
			}
		}
		return nil
	})
}

// Standing returns the notice of a kind that stands on a domain.
func (n *Notices) Standing(domain string, k Kind) (Standing, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.standing[name{domain, k}]
	return s, s.Text != ""
}

// Set has a notice stand: a new message of the day goes to everybody who is
// online, and to the others when they come. The error is ErrText, or that of
// the store.
func (n *Notices) Set(ctx context.Context, domain string, k Kind, text string) error {
	text, err := Clean(text)
	if err != nil {
		return err
	}
	before, _ := n.Standing(domain, k)
	s := Standing{text, n.host.Now()}
	if !s.Set.After(before.Set) {
		s.Set = before.Set.Add(time.Microsecond)
	}
	return n.put(ctx, domain, k, s)
}

// Edit changes the text of a notice that stands; who had it does not get it
// again. ok is false if there is none.
func (n *Notices) Edit(ctx context.Context, domain string, k Kind, text string) (ok bool, err error) {
	s, ok := n.Standing(domain, k)
	if !ok {
		return false, nil
	}
	if s.Text, err = Clean(text); err != nil {
		return true, err
	}
	return true, n.put(ctx, domain, k, s)
}

func (n *Notices) put(ctx context.Context, domain string, k Kind, s Standing) error {
	key := name{domain, k}
	n.book.flush() // who came before it is no newcomer
	err := n.host.State.Update(ctx, func(tx store.Tx) error { return tx.Put(space, keyStanding(key), s.encode()) })
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.standing[key] = s
	n.mu.Unlock()
	if k == MOTD {
		for _, a := range n.host.Router.Domain(domain).Accounts() {
			if len(a.Available(nil)) > 0 {
				n.book.note(visit{user: a.User, here: true})
			}
		}
	}
	return nil
}

// Delete ends a notice that stands; ok is false if there is none.
func (n *Notices) Delete(ctx context.Context, domain string, k Kind) (ok bool, err error) {
	s, ok := n.Standing(domain, k)
	if !ok {
		return false, nil
	}
	s.Text = ""
	return true, n.put(ctx, domain, k, s)
}

// Announce tells something to all who have a session, and returns how many
// those are. It is stored in portions, between which others' messages are: each
// of them is on disk before anybody of it is told, and all of it or nothing. So
// when the store fails, or the server is killed, some have it, in their history
// too, and the others have nothing of it; an error says how many have it, and
// nobody is told twice unless it is announced again.
func (n *Notices) Announce(domain, text string) (int, error) {
	text, err := Clean(text)
	if err != nil {
		return 0, err
	}
	var all []letter
	for _, a := range n.host.Router.Domain(domain).Accounts() {
		all = append(all, letter{n.host.Directory.ByID(a.User), text})
	}
	sent, err := n.send(domain, all)
	if err != nil {
		err = fmt.Errorf("%d of %d have been told: %w", sent, len(all), err)
	}
	return sent, err
}

// letter is a notice on its way to somebody.
type letter struct {
	to   *directory.User
	text string
}

// letters is how many share a commit. The committer is busy with them for about
// a millisecond, which is what others may wait longer for theirs.
const letters = 256

// send sends notices, and returns how many were taken.
func (n *Notices) send(domain string, all []letter) (sent int, err error) {
	for len(all) > 0 && err == nil {
		var batch []*xmpp.Stanza
		for _, l := range all[:min(letters, len(all))] {
			if l.to == nil || l.to.Disabled {
				continue
			}
			st, err := xmpp.Parse(l.append(nil))
			if err != nil {
				return sent, err
			}
			batch = append(batch, st)
		}
		all = all[min(letters, len(all)):]
		var taken int
		taken, err = n.host.Table.InjectAll(n.host.Directory.Domain(domain).JID(), batch)
		sent += taken
	}
	return sent, err
}

func (l *letter) append(dst []byte) []byte {
	dst = xmpp.AppendAttr(append(dst, "<message"...), "to", l.to.JID.String())
	dst = xmpp.AppendAttr(dst, "id", newID())
	dst = append(xmpp.AppendText(append(dst, "><body>"...), l.text), "</body></message>"...)
	return dst
}

// Clean brings a text to the form in which it is sent: lines end with a line
// feed alone. The error is ErrText.
func Clean(text string) (string, error) {
	text = strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n ")
	bad := strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' || r == 0xfffe || r == 0xffff })
	if text == "" || len(text) > MaxText || bad || !utf8.ValidString(text) {
		return "", ErrText
	}
	return text, nil
}
