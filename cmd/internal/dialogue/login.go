package dialogue

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mellium.im/sasl"
)

// login is how somebody tries to log in.
type login struct {
	mechanism string
	user      string // "" is the speaker's
	password  string // "" is the speaker's
	authzid   string
	binding   string // "" is what mellium takes; else tls-exporter, tls-server-end-point, nonsense, nothing
}

// preferred are the mechanisms that "connects" chooses from, if a script does not say.
var preferred = []string{"SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"}

var mechanisms = map[string]sasl.Mechanism{
	"PLAIN":              sasl.Plain,
	"SCRAM-SHA-1":        sasl.ScramSha1,
	"SCRAM-SHA-1-PLUS":   sasl.ScramSha1Plus,
	"SCRAM-SHA-256":      sasl.ScramSha256,
	"SCRAM-SHA-256-PLUS": sasl.ScramSha256Plus,
}

func (c *conn) offeredMechanisms() []string {
	var all []string
	if c.features == nil {
		return nil
	}
	if list := c.features.child(nsSASL, "mechanisms"); list != nil {
		for _, m := range list.elements() {
			if m.is(nsSASL, "mechanism") {
				all = append(all, m.text())
			}
		}
	}
	return all
}

// negotiator is the client's half of a login.
func (p *play) negotiator(who string, c *conn, l login) (*sasl.Negotiator, error) {
	name, _ := p.account(who)
	if l.user != "" {
		name = l.user
	}
	password := l.password
	if u := p.script.scene.user(p.base(who)); password == "" && u != nil {
		password = u.Password
	}
	m, ok := mechanisms[l.mechanism]
	if !ok || l.binding != "" {
		var err error
		if m, err = ownSCRAM(l.mechanism, l.binding, c); err != nil {
			return nil, err
		}
	}
	options := []sasl.Option{
		sasl.Credentials(func() (user, pass, identity []byte) { return []byte(name), []byte(password), []byte(l.authzid) }),
		sasl.RemoteMechanisms(c.offeredMechanisms()...),
	}
	if c.tls != nil {
		options = append(options, sasl.TLSState(*c.tls))
	}
	return sasl.NewClient(m, options...), nil
}

// bindingData returns the channel binding of a type, RFC 5929 and RFC 9266.
func bindingData(kind string, c *conn) ([]byte, error) {
	if kind == "nothing" {
		return nil, nil
	}
	if c.tls == nil {
		return nil, errors.New("there is no TLS to bind to")
	}
	state := c.tls
	switch kind {
	case "nonsense":
		return []byte("nonsense"), nil
	case "tls-exporter":
		return state.ExportKeyingMaterial("EXPORTER-Channel-Binding", []byte{}, 32)
	case "tls-server-end-point":
		cert := state.PeerCertificates[0]
		if !slices.Contains([]string{"SHA256-RSA", "ECDSA-SHA256", "Ed25519"}, cert.SignatureAlgorithm.String()) {
			return nil, fmt.Errorf("which hash goes with %v is not known here", cert.SignatureAlgorithm)
		}
		sum := sha256.Sum256(cert.Raw)
		return sum[:], nil
	}
	return nil, fmt.Errorf("no channel binding is called %s", kind)
}

// try goes through a login up to the server's last word, which it leaves to be received.
func (p *play) try(who string, l login) error {
	c, err := p.conn(who)
	if err != nil {
		return err
	}
	n, err := p.negotiator(who, c, l)
	if err != nil {
		return err
	}
	_, initial, err := n.Step(nil)
	if err != nil {
		return err
	}
	text := base64.StdEncoding.EncodeToString(initial)
	if text == "" {
		text = "="
	}
	auth := fmt.Sprintf("<auth xmlns='%s' mechanism='%s'>%s</auth>", nsSASL, l.mechanism, text)
	if err := c.write(auth, p.patience); err != nil {
		return err
	}
	for {
		e, err := c.peek(p.patience)
		if err != nil {
			return err
		}
		if !e.n.is(nsSASL, "challenge") && !e.n.is(nsSASL, "success") {
			return nil // for the script to receive
		}
		data, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(e.n.text(), "="))
		if err != nil {
			return fmt.Errorf("the server's <%s/>: %w", e.n.local, err)
		}
		if e.n.local == "success" && strings.HasPrefix(l.mechanism, "PLAIN") {
			return nil
		}
		_, answer, err := n.Step(data)
		if err != nil {
			return fmt.Errorf("the server's <%s/> %q: %w", e.n.local, data, err)
		}
		if e.n.local == "success" {
			return nil
		}
		if _, err := c.find(p.patience, func(f event) bool { return f.n == e.n }); err != nil {
			return err
		}
		response := fmt.Sprintf("<response xmlns='%s'>%s</response>", nsSASL, base64.StdEncoding.EncodeToString(answer))
		if err := c.write(response, p.patience); err != nil {
			return err
		}
	}
}

// logIn secures the stream if that was not done, authenticates and opens the stream anew.
func (p *play) logIn(who, mechanism string, port Port) error {
	var err error
	switch c := p.conns[who]; {
	case c == nil || c.loggedIn || c.ended() || c.tls == nil:
		err = p.secure(who, port, "")
	case c.features == nil:
		if err = p.openStream(who, ""); err == nil {
			err = p.greeted(who)
		}
	}
	if err != nil {
		return err
	}
	c := p.conns[who]
	if mechanism == "" {
		offered := c.offeredMechanisms()
		i := slices.IndexFunc(preferred, func(m string) bool { return slices.Contains(offered, m) })
		if i < 0 {
			return fmt.Errorf("none of the mechanisms %v can be used here", offered)
		}
		mechanism = preferred[i]
	}
	if err := p.try(who, login{mechanism: mechanism}); err != nil {
		return err
	}
	n, err := p.next(who)
	if err != nil {
		return err
	}
	if !n.is(nsSASL, "success") {
		return fmt.Errorf("the login with %s was answered by\n%s", mechanism, indent(n.String(), "    "))
	}
	if err := p.openStream(who, ""); err != nil {
		return err
	}
	c.loggedIn = true
	return p.greeted(who)
}

// connect logs in, if that was not done, and binds the resource that the speaker is named after, or one of the server's.
func (p *play) connect(who, mechanism string, port Port) error {
	if p.script.scene.component(who) != nil {
		return p.connectComponent(who)
	}
	if c := p.conns[who]; c == nil || !c.loggedIn || c.bound || c.ended() {
		if err := p.logIn(who, mechanism, port); err != nil {
			return err
		}
	}
	if p.conns[who].features == nil { // the script received <success/>
		if err := p.openStream(who, ""); err != nil {
			return err
		}
		if err := p.greeted(who); err != nil {
			return err
		}
	}
	wish := ""
	if _, resource, ok := strings.Cut(who, "/"); ok {
		wish = "<resource>" + escape(resource) + "</resource>"
	}
	result, err := p.ask(who, fmt.Sprintf("type='set'><bind xmlns='%s'>%s</bind>", nsBind, wish))
	if err != nil {
		return err
	}
	bind := result.child(nsBind, "bind")
	if bind == nil || bind.child(nsBind, "jid") == nil {
		return fmt.Errorf("no resource was bound:\n%s", indent(result.String(), "    "))
	}
	jid := bind.child(nsBind, "jid").text()
	local, domain := p.account(who)
	if want := local + "@" + domain + "/"; !strings.HasPrefix(jid, want) || wish != "" && jid != want+who[strings.Index(who, "/")+1:] {
		return fmt.Errorf("%s was bound as %s", who, jid)
	}
	p.conns[who].bound = true
	p.env.vars[who] = jid
	return nil
}

// tlsConfig is that of a client of the domain which speaks the given version, or any.
func (p *play) tlsConfig(domain, version string, port Port) *tls.Config {
	config := &tls.Config{RootCAs: p.server.Roots(), ServerName: domain, MinVersion: tls.VersionTLS10}
	if v, ok := tlsVersions[version]; ok {
		config.MinVersion, config.MaxVersion = v, v
	}
	switch port {
	case DirectTLS:
		config.NextProtos = []string{"xmpp-client"} // XEP-0368 §3
	case WebSocket, BOSH:
		config.NextProtos = []string{"http/1.1"}
	}
	return config
}

var tlsVersions = map[string]uint16{"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}
