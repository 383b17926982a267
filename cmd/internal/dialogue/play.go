package dialogue

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Patience is how long an expected stanza may take. Only failures take that long.
const Patience = 2 * time.Minute

// Extension is that of scripts.
const Extension = ".txt"

// Run plays every script below dir, each against a server of its own, as a subtest named after it.
func Run(t *testing.T, dir string, start Start) { RunOver(t, dir, STARTTLS, start) }

// RunOver is Run with clients that connect by a port where a script does not say by which. Over BOSH, scripts in
// which time passes are left out: no client could make its requests in time.
func RunOver(t *testing.T, dir string, port Port, start Start) {
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) == Extension {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no scripts in %s", dir)
	}
	for _, file := range files {
		name, err := filepath.Rel(dir, file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.ToSlash(name), Extension), func(t *testing.T) {
			t.Parallel()
			s, err := readScript(file)
			if err != nil {
				t.Fatal(err)
			}
			if port == BOSH && s.takesTime() {
				t.Skip("time passes")
			}
			p := newPlay(s, start(t, s.scene), Patience)
			p.usual = port
			if err := p.run(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// play is a script being played.
type play struct {
	script   *script
	usual    Port // where those connect for whom the script does not say; "" is STARTTLS
	server   Server
	patience time.Duration
	env      *env
	conns    map[string]*conn
	cast     []string // the speakers in the order of their first words
	ignored  map[string]map[string]bool
	pings    int
	output   string   // of the operator's last command
	heard    []string // the last stanzas that the script expected, for messages
}

func newPlay(s *script, server Server, patience time.Duration) *play {
	return &play{
		script: s, server: server, patience: patience,
		env:     &env{vars: map[string]string{}, now: server.Now},
		conns:   map[string]*conn{},
		ignored: map[string]map[string]bool{},
	}
}

func (p *play) run() error {
	defer func() {
		for _, c := range p.conns {
			c.sock.Close()
		}
	}()
	for _, at := range p.script.steps {
		if err := at.do(p); err != nil {
			return p.failure(at, err)
		}
	}
	if err := p.end(); err != nil {
		return &scriptError{p.script.file, p.script.steps[len(p.script.steps)-1].line, fmt.Errorf("at the end: %w", err)}
	}
	return nil
}

// failure adds to an error where it happened, and what else was on its way.
func (p *play) failure(at step, err error) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s", at.text, indent(err.Error(), "  "))
	if len(p.heard) > 0 {
		fmt.Fprintf(&b, "\n  before that:\n%s", indent(strings.Join(p.heard, "\n"), "    "))
	}
	for _, who := range p.cast {
		if left := p.conns[who].unread(func(event) bool { return false }); len(left) > 0 {
			fmt.Fprintf(&b, "\n  not yet received by %s:\n%s", who, indent(list(left), "    "))
		}
	}
	return &scriptError{p.script.file, at.line, errors.New(b.String())}
}

func list(events []event) string {
	var lines []string
	for _, e := range events {
		if e.end != nil {
			lines = append(lines, fmt.Sprintf("(end of the connection: %v)", e.end))
			continue
		}
		lines = append(lines, e.n.String())
	}
	return strings.Join(lines, "\n")
}

// base is the user's part of a speaker's name.
func (p *play) base(who string) string {
	name, _, _ := strings.Cut(who, "/")
	return name
}

func (p *play) account(who string) (local, domain string) {
	return p.script.scene.account(p.base(who))
}

// ask sends an IQ to the account or server and returns its result. head is what follows the id in the tag, and the rest.
func (p *play) ask(who, head string) (*node, error) {
	p.pings++
	id := fmt.Sprintf("dialogue-%d", p.pings)
	c := p.conns[who]
	if err := c.write(fmt.Sprintf("<iq id='%s' %s</iq>", id, head), p.patience); err != nil {
		return nil, err
	}
	e, err := c.find(p.patience, func(e event) bool { return e.n != nil && e.n.is(nsClient, "iq") && e.n.attr("id") == id })
	if err != nil {
		return nil, err
	}
	if e.n.attr("type") == "error" && !strings.Contains(head, "urn:xmpp:ping") {
		return nil, fmt.Errorf("refused:\n%s", indent(e.n.String(), "    "))
	}
	return e.n, nil
}

// fence returns when the server has worked off what the speaker said, and what it then had to say to
// him is in the queue.
func (p *play) fence(who string) error {
	c := p.conns[who]
	if o := p.script.scene.component(who); o != nil {
		_, err := p.ask(who, fmt.Sprintf("type='get' from='%s' to='%s'><ping xmlns='urn:xmpp:ping'/>", o.Name, o.Home))
		return err
	}
	if !c.isManaged() {
		_, err := p.ask(who, fmt.Sprintf("type='get' to='%s'><ping xmlns='urn:xmpp:ping'/>", c.domain))
		return err
	}
	if err := c.write("<r xmlns='"+nsSM+"'/>", p.patience); err != nil {
		return err
	}
	c.asked++
	_, err := c.find(p.patience, func(e event) bool { return e.ack == c.asked })
	return err
}

// fenceAll fences everyone, and again: what the last one said may have reached the first.
func (p *play) fenceAll() error {
	for range 2 {
		for _, who := range p.cast {
			if c := p.conns[who]; c.bound && !c.ended() {
				if err := p.fence(who); err != nil {
					return fmt.Errorf("while waiting for %s: %w", who, err)
				}
			}
		}
	}
	return nil
}

func (p *play) settle() error {
	err := p.fenceAll()
	for _, c := range p.conns {
		c.forget()
	}
	return err
}

// end looks for what the script did not expect.
func (p *play) end() error {
	if err := p.fenceAll(); err != nil {
		return err
	}
	for _, who := range p.cast {
		if err := p.nothingFor(who); err != nil {
			return err
		}
	}
	return nil
}

// skipped are events that a script may leave out: requests for acknowledgement, and what the speaker ignores.
func (p *play) skipped(who string) func(event) bool {
	ignored := p.ignored[who]
	return func(e event) bool {
		return e.n != nil && (e.n.is(nsSM, "r") || ignored[e.n.local] && e.n.space == nsClient)
	}
}

func (p *play) nothingFor(who string) error {
	left := p.conns[who].unread(p.skipped(who))
	if n := len(left); n > 0 && left[n-1].end != nil && !p.conns[who].bound {
		left = left[:n-1]
	}
	if len(left) > 0 {
		return fmt.Errorf("%s heard\n%s", who, indent(list(left), "    "))
	}
	return nil
}

// next takes the next stanza or other element that the speaker does not ignore.
func (p *play) next(who string) (*node, error) { return p.nextBut(who, p.skipped(who)) }

func (p *play) nextBut(who string, skip func(event) bool) (*node, error) {
	c, err := p.conn(who)
	if err != nil {
		return nil, err
	}
	e, err := c.find(p.patience, func(e event) bool { return e.end == nil && !skip(e) })
	return e.n, err
}

// peek waits for the next element and leaves it where it is.
func (c *conn) peek(patience time.Duration) (event, error) {
	e, err := c.find(patience, func(e event) bool { return e.end == nil })
	if err == nil {
		c.mu.Lock()
		c.queue = slices.Insert(c.queue, 0, e)
		c.mu.Unlock()
	}
	return e, err
}

// send sends stanzas, which must be such: a slip of the script shall not look like a test of the server.
func (p *play) send(who, block string) error {
	text, err := p.env.expandXML(block)
	if err != nil {
		return err
	}
	nodes, err := parse(text)
	if err != nil {
		return fmt.Errorf("what is to be sent is not well-formed: %w", err)
	}
	c, err := p.conn(who)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		switch {
		case n.is(nsSM, "enable") || n.is(nsSM, "resume"):
			c.mayAsk = true
		case n.is(nsSM, "r") && c.mayAsk:
			c.asked++
		}
	}
	return c.write(text, p.patience)
}

func (p *play) sendRaw(who, block string) error {
	text, err := p.env.expand(block)
	if err != nil {
		return err
	}
	c, err := p.conn(who)
	if err != nil {
		return err
	}
	err = c.writeRaw(text, p.patience)
	if c.ended() {
		return nil // the server had enough before all was written; the script says what it heard
	}
	return err
}

func (p *play) remember(who string, n *node) {
	p.heard = append(p.heard, who+": "+n.String())
	if len(p.heard) > 4 {
		p.heard = p.heard[1:]
	}
}

func (p *play) receive(who string, ps []*pattern) error {
	for _, want := range ps {
		skip := p.skipped(who)
		if want.n.is(nsSM, "r") {
			skip = func(event) bool { return false }
		}
		n, err := p.nextBut(who, skip)
		if err != nil {
			return fmt.Errorf("%w, but expected was\n%s", err, indent(want.String(), "    "))
		}
		if err := p.expect(want, n); err != nil {
			return err
		}
		switch c := p.conns[who]; {
		case n.is(nsStream, "features"):
			c.features = n
		case n.is(nsSASL, "success"):
			c.loggedIn, c.features = true, nil
		case n.is(nsSASL2, "success"):
			c.loggedIn, c.features = true, nil
			p.boundWithin(who, n)
		case n.is(nsSM, "resumed"):
			c.bound = true
		case n.is(nsSM, "failed") && !c.isManaged():
			c.mayAsk, c.asked = false, 0
		}
		p.remember(who, n)
	}
	return nil
}

// boundWithin notes what a login by XEP-0388 did besides.
func (p *play) boundWithin(who string, success *node) {
	id := success.child(nsSASL2, "authorization-identifier")
	if id == nil || !strings.Contains(id.text(), "/") {
		return
	}
	c := p.conns[who]
	c.bound, c.mayAsk = true, c.mayAsk || c.isManaged()
	p.env.vars[who] = id.text()
}

func (p *play) expect(want *pattern, n *node) error {
	ok, err := p.env.matches(want, n)
	if ok {
		return nil
	}
	if err != nil {
		return err
	}
	diff := p.env.differences(want, n)
	if len(diff) == 0 {
		diff = []string{"no child by itself: the order, or what {name} stands for"}
	}
	return fmt.Errorf("expected\n%s\nreceived\n%s\nthe difference\n%s",
		indent(want.String(), "    "), indent(n.String(), "    "), indent(strings.Join(diff, "\n"), "    "))
}

func (p *play) receiveAny(who string, ps []*pattern) error {
	var got []*node
	for range ps {
		n, err := p.next(who)
		if err != nil {
			return fmt.Errorf("%w after %d of %d stanzas:\n%s", err, len(got), len(ps), indent(listNodes(got), "    "))
		}
		got = append(got, n)
	}
	ok, err := p.env.assign(ps, got)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("received\n%s\nbut not, in any order,\n%s", indent(listNodes(got), "    "), indent(p.unmatched(ps, got), "    "))
	}
	for _, n := range got {
		p.remember(who, n)
	}
	return nil
}

func listNodes(nodes []*node) string {
	var lines []string
	for _, n := range nodes {
		lines = append(lines, n.String())
	}
	return strings.Join(lines, "\n")
}

// unmatched lists the patterns that no stanza matches, or all if each has one.
func (p *play) unmatched(ps []*pattern, got []*node) string {
	var alone, all []string
	for _, want := range ps {
		all = append(all, want.String())
		if !slices.ContainsFunc(got, func(n *node) bool { ok, _ := p.env.matches(want, n); return ok }) {
			alone = append(alone, want.String())
		}
	}
	if len(alone) > 0 {
		return strings.Join(alone, "\n")
	}
	return strings.Join(all, "\n")
}

// currentFeatures are those of the latest stream; if they were not received yet, they are now.
func (p *play) currentFeatures(who string) (*node, error) {
	c, err := p.conn(who)
	if err != nil {
		return nil, err
	}
	if c.features == nil {
		if err := p.greeted(who); err != nil {
			return nil, err
		}
	}
	return c.features, nil
}

func (p *play) offered(who string, ps []*pattern) error {
	features, err := p.currentFeatures(who)
	if err != nil {
		return err
	}
	ok, err := p.env.assign(ps, features.elements())
	if err == nil && !ok {
		err = fmt.Errorf("offered is\n%s\nbut not\n%s", indent(features.String(), "    "), indent(p.unmatched(ps, features.elements()), "    "))
	}
	return err
}

func (p *play) notOffered(who string, ps []*pattern) error {
	features, err := p.currentFeatures(who)
	if err != nil {
		return err
	}
	for _, unwanted := range ps {
		for _, n := range features.elements() {
			if ok, err := p.env.matches(unwanted, n); ok || err != nil {
				return errors.Join(err, fmt.Errorf("offered is\n%s", indent(n.String(), "    ")))
			}
		}
	}
	return nil
}

func (p *play) hearNothing(who string) error {
	c, err := p.conn(who)
	if err != nil {
		return err
	}
	if !c.bound {
		return fmt.Errorf("%s has bound no resource: nothing can be waited for", who)
	}
	if err := p.fenceAll(); err != nil {
		return err
	}
	return p.nothingFor(who)
}

func (p *play) ignore(who, what string) error {
	if p.ignored[who] == nil {
		p.ignored[who] = map[string]bool{}
	}
	p.ignored[who][strings.TrimSuffix(what, "s")] = true
	return nil
}
