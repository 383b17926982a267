package main

import (
	"crypto/sha1"
	"encoding/base64"
	"io"
	"strings"
	"time"
)

const (
	floodedNode = "urn:example:flooded"
	largest     = 200 << 10 // of an item; a stanza has at most 256 KiB
)

// curious is a client that has said that it wants to hear of the node, and was believed (XEP-0115).
func (d *disturber) curious(user string) (*client, error) {
	c, err := d.online(user)
	if err != nil {
		return nil, err
	}
	const feature = floodedNode + "+notify"
	ver := sha1.Sum([]byte("client/pc//<" + feature + "<"))
	err = c.send("<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:example' ver='" + base64.StdEncoding.EncodeToString(ver[:]) + "'/></presence>" +
		"<iq type='get' id='said' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>")
	for err == nil {
		var e *element
		switch e, err = c.await("iq"); {
		case err != nil:
		case e.attr("id") == "said":
			return c, nil
		case e.child("query").XMLName.Space == "http://jabber.org/protocol/disco#info":
			err = c.send("<iq type='result' to='" + e.attr("from") + "' id='" + e.attr("id") +
				"'><query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' type='pc'/><feature var='" + feature + "'/></query></iq>")
		}
	}
	return nil, err
}

// nodeFlood is one who publishes items of a size to a node of which 500 clients want to hear.
func (d *disturber) nodeFlood(size int) error {
	var last *client
	for i := range members {
		c, err := d.curious(member(i))
		if err != nil {
			return err
		}
		if last = c; i < members-1 {
			go io.Copy(io.Discard, c.conn)
		}
	}
	c, err := d.online("bomber")
	if err != nil {
		return err
	}
	publish := func(payload string) error {
		return c.send("<iq type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='" + floodedNode +
			"'><item id='current'><x xmlns='" + floodedNode + "'>" + payload + "</x></item></publish></pubsub></iq>")
	}
	for e := new(element); e.attr("type") != "result"; { // what was published a moment ago may be in the way
		if err = publish(""); err == nil {
			e, err = c.await("iq")
		}
		if err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	for e := new(element); !strings.HasPrefix(e.attr("from"), "bomber@"); { // they hear of it
		if e, err = last.await("message"); err != nil {
			return err
		}
	}
	go io.Copy(io.Discard, last.conn)
	go func() {
		for {
			e, err := c.next()
			if err != nil {
				return
			}
			if e.attr("type") == "result" { // the others are refused
				d.done.Add(1)
			}
		}
	}()
	d.ready()
	payload := strings.Repeat("x", size)
	for {
		if err := publish(payload); err != nil {
			return err
		}
	}
}

func (d *disturber) largeItems() error { return d.nodeFlood(largest) }

func (d *disturber) smallItems() error { return d.nodeFlood(100) }
