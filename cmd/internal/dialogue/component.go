package dialogue

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
)

// connectComponent does the handshake of a component, XEP-0114 §3.
func (p *play) connectComponent(who string) error {
	if c := p.conns[who]; c == nil || c.ended() {
		if err := p.open(who, Accept, ""); err != nil {
			return err
		}
		if err := p.openStream(who, ""); err != nil {
			return err
		}
	}
	c := p.conns[who]
	h, err := p.next(who)
	if err != nil {
		return err
	}
	if !h.is(nsStream, "stream") || h.attr("from") != c.domain || h.attr("id") == "" {
		return fmt.Errorf("that is not the header of a stream for %s:\n%s", c.domain, indent(h.String(), "    "))
	}
	sum := sha1.Sum([]byte(h.attr("id") + p.script.scene.component(who).Secret))
	if err := c.write("<handshake>"+hex.EncodeToString(sum[:])+"</handshake>", p.patience); err != nil {
		return err
	}
	n, err := p.next(who)
	if err != nil {
		return err
	}
	if !n.is(nsClient, "handshake") || len(n.content) > 0 {
		return fmt.Errorf("the handshake was answered by\n%s", indent(n.String(), "    "))
	}
	c.bound = true
	p.env.vars[who] = who
	return nil
}
