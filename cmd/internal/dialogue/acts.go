package dialogue

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

func (p *play) comeOnline(who, priority string, port Port) error {
	if c := p.conns[who]; c == nil || !c.bound || c.ended() {
		if err := p.connect(who, "", port); err != nil {
			return err
		}
	}
	if _, err := p.ask(who, "type='get'><query xmlns='jabber:iq:roster'/>"); err != nil {
		return err
	}
	presence := "<presence/>"
	if priority != "" {
		presence = "<presence><priority>" + priority + "</priority></presence>"
	}
	c := p.conns[who]
	if err := c.write(presence, p.patience); err != nil {
		return err
	}
	if err := p.fence(who); err != nil {
		return err
	}
	c.forget()
	return nil
}

// befriend makes two people contacts of each other, RFC 6121 §3.1, without anybody being online.
func (p *play) befriend(a, b string) error {
	const first, second = "/dialogue-1", "/dialogue-2"
	one, two := a+first, b+second
	for _, who := range []string{one, two} {
		if err := p.connect(who, "", STARTTLS); err != nil {
			return err
		}
	}
	say := func(who, to, kind string) error {
		local, domain := p.account(to)
		if err := p.conns[who].write(fmt.Sprintf("<presence to='%s@%s' type='%s'/>", local, domain, kind), p.patience); err != nil {
			return err
		}
		return p.fence(who)
	}
	err := errors.Join(
		say(one, two, "subscribe"), say(two, one, "subscribed"),
		say(two, one, "subscribe"), say(one, two, "subscribed"))
	if err != nil {
		return err
	}
	for _, who := range []string{one, two} {
		p.conns[who].forget()
		if err := p.disconnect(who); err != nil {
			return err
		}
		delete(p.conns, who)
	}
	p.cast = p.cast[:len(p.cast)-2]
	return nil
}

func (p *play) disconnect(who string) error {
	c, err := p.conn(who)
	if err != nil {
		return err
	}
	if err := c.write(closingTag, p.patience); err != nil {
		return err
	}
	n, err := p.next(who)
	if err != nil {
		return err
	}
	if !n.is(nsStream, streamEnd) {
		return fmt.Errorf("before the end of the stream came\n%s", indent(n.String(), "    "))
	}
	return p.disconnected(who)
}

// disconnected waits for the end of the connection, and takes nothing else.
func (p *play) disconnected(who string) error {
	c, err := p.conn(who)
	if err != nil {
		return err
	}
	defer c.sock.Close()
	if err := c.waitEnd(p.patience); err != nil {
		return err
	}
	c.bound = false
	for _, e := range c.unread(p.skipped(who)) {
		if e.end == nil {
			return p.nothingFor(who)
		}
	}
	return nil
}

func (p *play) drop(who string) error {
	c, err := p.conn(who)
	if err != nil {
		return err
	}
	if err := c.hangUp(p.patience); err != nil {
		return err
	}
	if c.port == BOSH {
		p.server.Advance(time.Second)
	}
	c.bound = false
	c.forget()
	return nil
}

func (p *play) passTime(d time.Duration) error {
	if err := p.fenceAll(); err != nil {
		return err
	}
	p.server.Advance(d)
	return nil
}

// words splits a command as a shell would, with either kind of quotes.
func words(command string) ([]string, error) {
	var all []string
	var word strings.Builder
	var quote rune
	started := false
	for _, r := range command {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, started = r, true
		case r == ' ':
			if started {
				all = append(all, word.String())
				word.Reset()
				started = false
			}
		default:
			word.WriteRune(r)
			started = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("the quote %c is not closed", quote)
	}
	if started {
		all = append(all, word.String())
	}
	return all, nil
}

func (p *play) command(text, stdin string) (string, error) {
	if err := p.fenceAll(); err != nil {
		return "", err
	}
	text, err := p.env.expand(text)
	if err != nil {
		return "", err
	}
	args, err := words(text)
	if err != nil {
		return "", err
	}
	return p.server.Operate(stdin, args...)
}

func (p *play) operate(text, stdin string) error {
	out, err := p.command(text, stdin)
	p.output = out
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

func (p *play) operateInVain(text, want string) error {
	out, err := p.command(text, "")
	p.output = out
	if err == nil {
		return fmt.Errorf("that was a success:\n%s", out)
	}
	if want == "" {
		return nil
	}
	if ok, failed := p.env.match(strings.TrimSpace(want), strings.TrimSpace(err.Error())); !ok {
		return errors.Join(failed, fmt.Errorf("the error is %q", err.Error()))
	}
	return nil
}

// reads compares what the operator's last command printed with lines of patterns.
func (p *play) reads(want string) error {
	got := strings.Split(strings.TrimRight(p.output, "\n"), "\n")
	ok, err := p.matchLines(strings.Split(want, "\n"), got)
	if err == nil && !ok {
		err = fmt.Errorf("printed was\n%s\nexpected\n%s", indent(p.output, "    "), indent(want, "    "))
	}
	return err
}

func (p *play) matchLines(want, got []string) (bool, error) {
	if len(want) == 0 {
		return len(got) == 0, nil
	}
	if strings.TrimSpace(want[0]) == moreMark {
		for i := range len(got) + 1 {
			if ok, err := p.matchLines(want[1:], got[i:]); ok || err != nil {
				return ok, err
			}
		}
		return false, nil
	}
	if len(got) == 0 {
		return false, nil
	}
	ok, err := p.env.match(strings.TrimSpace(want[0]), strings.TrimSpace(got[0]))
	if !ok || err != nil {
		return false, err
	}
	return p.matchLines(want[1:], got[1:])
}

func (p *play) restart(how How) error {
	if err := p.fenceAll(); err != nil {
		return err
	}
	if err := p.server.Stop(how); err != nil {
		return err
	}
	for _, c := range p.conns {
		if err := c.waitEnd(p.patience); err != nil {
			return err
		}
		c.bound = false
		c.forget()
	}
	return p.server.Start()
}
