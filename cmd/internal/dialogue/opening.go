package dialogue

import (
	"crypto/tls"
	"errors"
	"fmt"
)

func (p *play) conn(who string) (*conn, error) {
	c := p.conns[who]
	if c == nil {
		return nil, fmt.Errorf("%s is not connected", who)
	}
	return c, nil
}

func (p *play) open(who string, port Port, version string) error {
	component := p.script.scene.component(who)
	if component != nil {
		port = Accept
	}
	if c := p.conns[who]; c != nil {
		c.sock.Close()
	}
	c, err := p.dial(who, port)
	if err != nil {
		return err
	}
	if p.conns[who] == nil {
		p.cast = append(p.cast, who)
	}
	p.conns[who] = c
	c.port = port
	if _, c.domain = p.account(who); component != nil {
		c.domain, c.content = component.Name, nsAccept
	}
	if port == DirectTLS {
		if err := c.startTLS(p.tlsConfig(c.domain, version, port), p.patience); err != nil {
			return err
		}
	}
	c.read()
	return nil
}

func (p *play) dial(who string, port Port) (*conn, error) {
	if port != WebSocket && port != BOSH {
		return dial(p.server.Addr(port), p.patience)
	}
	_, domain := p.account(who)
	config := p.tlsConfig(domain, "", port)
	var f framed
	var state *tls.ConnectionState
	var err error
	if port == BOSH {
		f, state, err = dialBOSH(p.server.Addr(port), config, p.patience)
	} else {
		f, state, err = dialWebSocket(p.server.Addr(port), config, p.patience)
	}
	if err != nil {
		return nil, err
	}
	return &conn{sock: &framedSock{framed: f}, framed: f, tls: state, news: make(chan struct{}, 1)}, nil
}

func (p *play) openStream(who, to string) error {
	c, err := p.conn(who)
	if err != nil {
		return err
	}
	if to != "" {
		c.domain = to
	}
	c.features = nil
	if c.content != "" { // XEP-0114 §3: no version
		return c.write(fmt.Sprintf("<stream:stream xmlns='%s' xmlns:stream='%s' to='%s'>", c.content, nsStream, escape(c.domain)), p.patience)
	}
	return c.write(fmt.Sprintf("<?xml version='1.0'?><stream:stream xmlns='%s' xmlns:stream='%s' to='%s' version='1.0'>",
		nsClient, nsStream, escape(c.domain)), p.patience)
}

// greeted takes the server's stream header and features.
func (p *play) greeted(who string) error {
	c := p.conns[who]
	if c.port == BOSH { // it has no header of the stream
		return p.featured(who)
	}
	h, err := p.next(who)
	if err != nil {
		return err
	}
	if !h.is(nsStream, "stream") || h.attr("from") != c.domain || h.attr("id") == "" || h.attr("version") != "1.0" {
		return fmt.Errorf("that is not the header of a stream from %s:\n%s", c.domain, indent(h.String(), "    "))
	}
	return p.featured(who)
}

// featured takes the stream's features.
func (p *play) featured(who string) error {
	c := p.conns[who]
	f, err := p.next(who)
	if err != nil {
		return err
	}
	if !f.is(nsStream, "features") {
		return fmt.Errorf("not stream features, RFC 6120 §4.3.2:\n%s", indent(f.String(), "    "))
	}
	c.features = f
	return nil
}

func (p *play) startTLS(who, version string) error {
	c, err := p.conn(who)
	if err != nil {
		return err
	}
	if c.isReading() {
		return errors.New("there was no <proceed/>")
	}
	if err := c.startTLS(p.tlsConfig(c.domain, version, STARTTLS), p.patience); err != nil {
		return err
	}
	c.features = nil
	c.read()
	return nil
}

func (p *play) refusedTLS(who, version string) error {
	c, err := p.conn(who)
	if err != nil {
		return err
	}
	defer c.sock.Close()
	if err := c.startTLS(p.tlsConfig(c.domain, version, STARTTLS), p.patience); err == nil {
		return fmt.Errorf("the handshake with TLS %s was a success", version)
	}
	return nil
}

// secure brings a connection to the point where a login is offered.
func (p *play) secure(who string, port Port, version string) error {
	if port == STARTTLS && p.usual != "" && version == "" {
		port = p.usual
	}
	if err := p.open(who, port, version); err != nil {
		return err
	}
	if err := p.openStream(who, ""); err != nil {
		return err
	}
	if err := p.greeted(who); err != nil || port != STARTTLS {
		return err
	}
	c := p.conns[who]
	if c.features.child(nsTLS, "starttls") == nil {
		return fmt.Errorf("STARTTLS is not offered:\n%s", indent(c.features.String(), "    "))
	}
	if err := c.write("<starttls xmlns='"+nsTLS+"'/>", p.patience); err != nil {
		return err
	}
	n, err := p.next(who)
	if err != nil {
		return err
	}
	if !n.is(nsTLS, "proceed") {
		return fmt.Errorf("STARTTLS was answered by\n%s", indent(n.String(), "    "))
	}
	if err := p.startTLS(who, version); err != nil {
		return err
	}
	if err := p.openStream(who, ""); err != nil {
		return err
	}
	return p.greeted(who)
}
