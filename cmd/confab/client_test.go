package main

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// client is as little of an XMPP client as the tests of promises need: it logs
// in, writes bytes, and reads elements with encoding/xml.
type client struct {
	conn net.Conn
	in   *xml.Decoder
	jid  string
}

// element is whatever the server sends.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []element  `xml:",any"`
	Text     string     `xml:",chardata"`
}

func (e *element) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (e *element) child(name string) *element {
	for i := range e.Children {
		if e.Children[i].XMLName.Local == name {
			return &e.Children[i]
		}
	}
	return &element{}
}

// login connects over direct TLS, logs in with PLAIN and stops before binding.
func login(addr, domain, user, password string) (*client, error) {
	raw, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	raw.SetDeadline(time.Now().Add(patience))
	c := &client{conn: tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"xmpp-client"}})}
	err = c.open(domain)
	if err == nil {
		auth := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
		err = c.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + auth + "</auth>")
	}
	if err == nil {
		_, err = c.await("success")
	}
	if err == nil {
		err = c.open(domain)
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	return c, nil
}

// online is login, a resource, and presence.
func online(addr, domain, user, password string) (*client, error) {
	c, err := login(addr, domain, user, password)
	if err != nil {
		return nil, err
	}
	if err = c.send("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"); err == nil {
		var bound *element
		if bound, err = c.await("iq"); err == nil {
			c.jid = bound.child("bind").child("jid").Text
			// The answer to a request behind it says that the presence was worked off.
			if err = c.send("<presence/><iq type='get' id='there' to='" + domain + "'><ping xmlns='urn:xmpp:ping'/></iq>"); err == nil {
				_, err = c.await("iq")
			}
		}
	}
	if err != nil {
		c.conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *client) open(domain string) error {
	c.in = xml.NewDecoder(bufio.NewReader(c.conn))
	if err := c.send("<?xml version='1.0'?><stream:stream to='" + domain + "' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"); err != nil {
		return err
	}
	for {
		t, err := c.in.Token()
		if err != nil {
			return err
		}
		if s, ok := t.(xml.StartElement); ok && s.Name.Local == "stream" {
			_, err := c.await("features")
			return err
		}
	}
}

func (c *client) send(s string) error {
	_, err := io.WriteString(c.conn, s)
	return err
}

// next reads the next element.
func (c *client) next() (*element, error) {
	for {
		t, err := c.in.Token()
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			var e element
			return &e, c.in.DecodeElement(&e, &t)
		case xml.EndElement:
			return nil, io.EOF
		}
	}
}

// await reads until an element of that name comes.
func (c *client) await(name string) (*element, error) {
	for {
		e, err := c.next()
		if err != nil {
			return nil, fmt.Errorf("waiting for <%s/>: %w", name, err)
		}
		switch e.XMLName.Local {
		case name:
			return e, nil
		case "failure", "error":
			return nil, fmt.Errorf("waiting for <%s/>: got %+v", name, *e)
		}
	}
}

// mustOnline is online for tests that cannot go on without it.
func mustOnline(t *testing.T, addr, user string) *client {
	t.Helper()
	c, err := online(addr, "example.com", user, "pw-"+user)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.conn.Close() })
	return c
}

// hears reads messages with a body until one says text, and fails if another
// comes before it.
func (c *client) hears(t *testing.T, text string) *element {
	t.Helper()
	for {
		e, err := c.await("message")
		if err != nil {
			t.Fatalf("waiting for %q: %v", text, err)
		}
		if body := e.child("body").Text; body == text {
			return e
		} else if strings.TrimSpace(body) != "" {
			t.Fatalf("heard %q, waiting for %q", body, text)
		}
	}
}
