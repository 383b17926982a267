// Package extdisco tells clients of servers outside of XMPP that they need for
// calls, STUN and TURN, with credentials that hold for a while (XEP-0215).
//
// A TURN server that shares a secret with us takes whatever credentials we make
// of it and needs to hear of none: the user name is the time until which they
// hold and somebody's pseudonym, the password its HMAC-SHA1
// (draft-uberti-behave-turn-rest-00 §2.2). The pseudonym is the same for all
// calls of a user, so that the TURN server can bound what one may use, and tells
// it nothing else.
package extdisco

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"time"

	"confab/xmpp"
	"confab/xmpp/feature"
)

// NS is the namespace of XEP-0215.
const NS = "urn:xmpp:extdisco:2"

// Service is a server outside of XMPP.
type Service struct {
	Type      string // stun, stuns, turn or turns
	Host      string
	Port      int
	Transport string // udp or tcp
	Domain    string // the mail domain whose users are told; "": all

	Secret             string        // shared with the server; or else
	Username, Password string        // fixed ones; or neither
	TTL                time.Duration // how long credentials made of Secret hold
}

// open reports whether no credentials are needed.
func (s *Service) open() bool { return s.Secret == "" && s.Username == "" }

// New makes the feature. services returns what there is at this moment.
func New(services func() []Service) feature.Feature {
	d := &discovery{services}
	return feature.Feature{
		Name:       "extdisco",
		Implements: []feature.XEP{feature.Implements(215, "1.0.0", feature.Complete, "STUN and TURN, with credentials that expire")},
		Advertise:  []feature.Advert{{Var: NS, Where: feature.Server}},
		IQ: []feature.IQ{
			feature.Get(NS, "services", feature.Server, d.list),
			feature.Get(NS, "credentials", feature.Server, d.credentials),
		},
	}
}

type discovery struct{ services func() []Service }

// known returns the services that whoever asks is told of. They are for those
// who belong to the domain (§3.1).
func (d *discovery) known(q *feature.Query) ([]Service, error) {
	if q.Session == nil && q.Origin() == nil {
		return nil, xmpp.NewError(xmpp.Forbidden, "")
	}
	var known []Service
	for _, s := range d.services() {
		if s.Domain == "" || s.Domain == q.To.Domain() {
			known = append(known, s)
		}
	}
	return known, nil
}

// list answers which services there are, or which of one type (§3.2, §3.3).
func (d *discovery) list(q *feature.Query, dst []byte) ([]byte, error) {
	known, err := d.known(q)
	if err != nil {
		return nil, err
	}
	kind, one := q.Payload.Attr("type")
	dst = append(dst, "<services xmlns='"+NS+"'"...)
	if one {
		dst = xmpp.AppendAttr(dst, "type", kind)
	}
	dst = append(dst, '>')
	for i := range known {
		if !one || known[i].Type == kind {
			dst = append(known[i].append(dst, q), "/>"...)
		}
	}
	return append(dst, "</services>"...), nil
}

// credentials answers by which somebody is let in at a service (§3.4).
func (d *discovery) credentials(q *feature.Query, dst []byte) ([]byte, error) {
	known, err := d.known(q)
	if err != nil {
		return nil, err
	}
	want := q.Payload.Node().Child(NS, "service")
	if want == nil || want.Attr("host") == "" || want.Attr("type") == "" {
		return nil, xmpp.NewError(xmpp.BadRequest, "the request names no service: it has a 'host' and a 'type'")
	}
	port, one := want.Lookup("port")
	dst = append(dst, "<credentials xmlns='"+NS+"'>"...)
	before := len(dst)
	for i := range known {
		s := &known[i]
		if s.Host == want.Attr("host") && s.Type == want.Attr("type") && (!one || port == strconv.Itoa(s.Port)) && !s.open() {
			dst = append(s.append(dst, q), "/>"...)
		}
	}
	if len(dst) == before {
		return nil, xmpp.NewError(xmpp.ItemNotFound, "there is no such service, or it asks for no credentials")
	}
	return append(dst, "</credentials>"...), nil
}

// append appends the tag of a service, without its end.
func (s *Service) append(dst []byte, q *feature.Query) []byte {
	dst = append(dst, "<service"...)
	dst = xmpp.AppendAttr(dst, "type", s.Type)
	dst = xmpp.AppendAttr(dst, "host", s.Host)
	dst = xmpp.AppendAttr(dst, "port", strconv.Itoa(s.Port))
	dst = xmpp.AppendAttr(dst, "transport", s.Transport)
	if s.open() {
		return dst
	}
	user, password := s.Username, s.Password
	if s.Secret != "" {
		expires := q.Host().Now().Add(s.TTL).UTC().Truncate(time.Second)
		user, password = s.issue(q.From.Bare(), expires)
		dst = xmpp.AppendAttr(dst, "expires", expires.Format(time.RFC3339))
	}
	dst = xmpp.AppendAttr(dst, "restricted", "true")
	dst = xmpp.AppendAttr(dst, "username", user)
	return xmpp.AppendAttr(dst, "password", password)
}

// issue makes credentials that hold until then.
func (s *Service) issue(who xmpp.JID, until time.Time) (user, password string) {
	pseudonym := hex.EncodeToString(sign(s.Secret, "confab "+who.String())[:8])
	user = strconv.FormatInt(until.Unix(), 10) + ":" + pseudonym
	return user, base64.StdEncoding.EncodeToString(sign(s.Secret, user))
}

func sign(secret, text string) []byte {
	h := hmac.New(sha1.New, []byte(secret))
	h.Write([]byte(text))
	return h.Sum(nil)
}
