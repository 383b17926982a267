// Package adhoc lets people run commands by filling in forms (XEP-0050): those
// that the features of the table declare. It lists to everybody the commands
// that they may run, keeps track of the executions under way, and checks each
// form before a command sees it.
//
// An execution belongs to one session of one user and to the address that was
// asked. Its id is a random number with a keyed hash over that number and
// these, so ids cannot be guessed, and one that was given out and is over can be
// told from one that never was, without a list of either.
package adhoc

import (
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/form"
	"confab/xmpp/router"
)

// Options bound the executions under way. The zero value will do.
type Options struct {
	Lifetime time.Duration // of an execution that nobody goes on with; 0: 10 minutes
	PerUser  int           // above it the oldest of the user ends; 0: 8
	Total    int           // above it nobody begins another; 0: 1,000
}

// New returns the feature.
func New(o Options) feature.Feature {
	if o.Lifetime == 0 {
		o.Lifetime = 10 * time.Minute
	}
	if o.PerUser == 0 {
		o.PerUser = 8
	}
	if o.Total == 0 {
		o.Total = 1000
	}
	e := &engine{opts: o, running: map[string]*execution{}}
	rand.Read(e.key[:])
	return feature.Feature{
		Name: "adhoc",
		Implements: []feature.XEP{
			feature.Implements(50, "1.3.0", feature.Complete, "in English, whatever language is asked for"),
		},
		Advertise: []feature.Advert{{Var: xmpp.NSCommands, Where: where}},
		IQ:        []feature.IQ{feature.Set(xmpp.NSCommands, "command", where, e.command)},
		Nodes:     e.nodes,
		Ended:     e.ended,
		Start:     e.start,
	}
}

// where commands are: at the domain, and at one's own address.
const where = feature.Server | feature.Self

type engine struct {
	opts     Options
	host     *feature.Host
	commands []feature.Command
	key      [32]byte

	mu      sync.Mutex
	running map[string]*execution // by id
}

// execution is a command that waits for an answer.
type execution struct {
	id      string
	who, at xmpp.JID // the full address of who began it, and the address that was asked
	command *feature.Command
	asked   []*form.Form // one of each step up to the one that waits
	answers []*form.Form // of the steps before it
	touched time.Time
}

func (e *engine) start(h *feature.Host) error {
	e.host = h
	for _, f := range h.Table.Features() {
		for _, c := range f.Commands {
			if c.Where&where == 0 || c.Where&^where != 0 {
				return fmt.Errorf("%s: commands are at the server and at one's own address", c.Node)
			}
			if slices.ContainsFunc(e.commands, func(o feature.Command) bool { return o.Node == c.Node && o.Where&c.Where != 0 }) {
				return fmt.Errorf("there are two commands %s", c.Node)
			}
			e.commands = append(e.commands, c)
		}
	}
	return nil
}

// find returns the command with a node at an address, nil if there is none.
func (e *engine) find(node string, at feature.Where) *feature.Command {
	i := slices.IndexFunc(e.commands, func(c feature.Command) bool { return c.Node == node && c.Where&at != 0 })
	if i < 0 {
		return nil
	}
	return &e.commands[i]
}

func may(q *feature.Query, c *feature.Command) error {
	if q.Session == nil {
		return feature.Forbidden("")
	}
	if c.May == nil {
		return nil
	}
	return c.May(q)
}

// nodes tells of the list of commands and of each of them (§2.2).
func (e *engine) nodes(q *feature.Query, node string, items bool, dst []byte) ([]byte, bool, error) {
	if q.Where&where == 0 {
		return nil, false, nil
	}
	if node == xmpp.NSCommands {
		if !items {
			return appendInfo(dst, "command-list", ""), true, nil
		}
		for i := range e.commands {
			c := &e.commands[i]
			if c.Where&q.Where == 0 || may(q, c) != nil {
				continue
			}
			dst = xmpp.AppendAttr(append(dst, "<item"...), "jid", q.To.String())
			dst = xmpp.AppendAttr(dst, "node", c.Node)
			dst = append(xmpp.AppendAttr(dst, "name", c.Name), "/>"...)
		}
		return dst, true, nil
	}
	c := e.find(node, q.Where)
	if c == nil {
		return nil, false, nil
	}
	if err := may(q, c); err != nil {
		return nil, true, err
	}
	if !items {
		dst = appendInfo(dst, "command-node", c.Name)
	}
	return dst, true, nil
}

func appendInfo(dst []byte, kind, name string) []byte {
	dst = xmpp.AppendAttr(append(dst, "<identity category='automation'"...), "type", kind)
	if name != "" {
		dst = xmpp.AppendAttr(dst, "name", name)
	}
	return append(dst, "/><feature var='"+xmpp.NSCommands+"'/><feature var='"+xmpp.NSDataForms+"'/>"...)
}

// ended forgets what a session had begun.
func (e *engine) ended(s *router.Session, _ router.Unacknowledged) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, x := range e.running {
		if x.who == s.JID() {
			delete(e.running, id)
		}
	}
}
