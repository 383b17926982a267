package adhoc_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/feature/adhoc"
	"confab/xmpp/feature/disco"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/form"
)

// config is the example of XEP-0050 §2.4.2, time a command without forms, and secret one that only romeo may run.
func commands(ran *[]string) feature.Feature {
	service := func(*feature.Execution) (*form.Form, error) {
		f := form.New(form.TypeForm, "", form.Field{Var: "service", Type: form.ListSingle, Required: true, Options: []form.Option{{Value: "httpd"}, {Value: "jabberd"}}})
		f.Title = "Configure"
		return f, nil
	}
	state := func(c *feature.Execution) (*form.Form, error) {
		if c.Answer().Values("service")[0] == "jabberd" {
			return nil, xmpp.NewError(xmpp.Conflict, "it runs")
		}
		return form.New(form.TypeForm, "", form.Field{Var: "state", Type: form.TextSingle}, form.Field{Var: "key", Type: form.TextPrivate}), nil
	}
	return feature.Feature{Name: "commands", Commands: []feature.Command{
		{
			Node: "config", Name: "Configure <it>", Where: feature.Server, Steps: []feature.Step{service, state},
			Run: func(c *feature.Execution) (feature.Outcome, error) {
				state, _, _ := c.Answer().Text("state")
				if state == "broken" {
					return feature.Outcome{}, xmpp.NewError(xmpp.NotAcceptable, "")
				}
				*ran = append(*ran, c.Answers[0].Values("service")[0]+"="+state)
				return feature.Outcome{Notes: []feature.Note{{Severity: feature.NoteInfo, Text: "done & <good>"}}}, nil
			},
		},
		{
			Node: "time", Name: "Time", Where: feature.Server | feature.Self,
			Run: func(*feature.Execution) (feature.Outcome, error) {
				return feature.Outcome{Form: form.New(form.TypeResult, "", form.Field{Var: "t", Values: []string{"now"}}), Payload: []byte("<x xmlns='urn:x'/>")}, nil
			},
		},
		{
			Node: "secret", Name: "Secret", Where: feature.Server,
			May: func(q *feature.Query) error {
				if q.From.Local() != "romeo" {
					return feature.Forbidden("")
				}
				return nil
			},
			Run: func(*feature.Execution) (feature.Outcome, error) { return feature.Outcome{}, nil },
		},
	}}
}

func open(t testing.TB, o adhoc.Options) (*featuretest.House, *[]string) {
	t.Helper()
	ran := new([]string)
	h := featuretest.New(t, func(*feature.Host) []feature.Feature {
		return []feature.Feature{commands(ran), disco.New(disco.Options{}), adhoc.New(o)}
	})
	return h, ran
}

const (
	orchard = "romeo@example.com/orchard"
	balcony = "juliet@example.com/balcony"
)

// ask sends a command and returns what comes back.
func ask(t *testing.T, p *featuretest.Person, attrs, payload string) string {
	t.Helper()
	p.Sends("<iq type='set' id='1' to='example.com'><command xmlns='" + xmpp.NSCommands + "' " + attrs + ">" + payload + "</command></iq>")
	got := p.Conn.Left()
	if len(got) != 1 {
		t.Fatalf("%s got %q", p.JID(), got)
	}
	return got[0]
}

var sessionID = regexp.MustCompile(`sessionid='([^']*)'`)

func idOf(t *testing.T, answer string) string {
	t.Helper()
	m := sessionID.FindStringSubmatch(answer)
	if m == nil {
		t.Fatalf("no session id in %s", answer)
	}
	return m[1]
}

func submit(fields ...string) string {
	x := "<x xmlns='jabber:x:data' type='submit'>"
	for i := 0; i < len(fields); i += 2 {
		x += "<field var='" + fields[i] + "'><value>" + fields[i+1] + "</value></field>"
	}
	return x + "</x>"
}

func has(t *testing.T, got string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(got, part) {
			t.Errorf("%q is not in %s", part, got)
		}
	}
}

func TestStages(t *testing.T) {
	h, ran := open(t, adhoc.Options{})
	romeo := h.Online(t, orchard)
	got := ask(t, romeo, "node='config'", "")
	id := idOf(t, got)
	has(t, got, "status='executing'", "<actions execute='next'><next/></actions>", "xml:lang='en'", "<title>Configure</title>")
	attrs := "node='config' sessionid='" + id + "'"
	got = ask(t, romeo, attrs, submit("service", "jabberd")) // the next step refuses the answer, which can be given again
	has(t, got, "<conflict ")
	got = ask(t, romeo, attrs+" action='next'", submit("service", "httpd"))
	has(t, got, "<actions execute='complete'><prev/><complete/></actions>", "var='state'")
	got = ask(t, romeo, attrs+" action='prev'", "")
	has(t, got, "<actions execute='next'><next/></actions>", "<value>httpd</value><option>")
	ask(t, romeo, attrs, submit("service", "httpd"))
	got = ask(t, romeo, attrs, submit("state", "broken"))
	has(t, got, "<not-acceptable ")
	got = ask(t, romeo, attrs+" action='complete'", strings.Replace(submit("state", "on"), "submit", "cancel", 1)) // §3.5.1
	has(t, got, "status='completed'", "<note type='info'>done &amp; &lt;good&gt;</note></command>")
	if len(*ran) != 1 || (*ran)[0] != "httpd=on" {
		t.Errorf("it ran as %q", *ran)
	}
	got = ask(t, romeo, attrs, submit("state", "on"))
	has(t, got, "type='cancel'", "<not-allowed ", "<session-expired xmlns='http://jabber.org/protocol/commands'/>")
}

func TestWithoutForm(t *testing.T) {
	h, _ := open(t, adhoc.Options{})
	romeo := h.Online(t, orchard)
	has(t, ask(t, romeo, "node='time' action='execute' status='executing'", ""), "status='completed'><x xmlns='jabber:x:data' type='result'>", "<x xmlns='urn:x'/>")
	romeo.Sends("<iq type='set' id='1'><command xmlns='" + xmpp.NSCommands + "' node='time'/></iq>")
	has(t, strings.Join(romeo.Conn.Left(), ""), "status='completed'")
	romeo.Sends("<iq type='set' id='1'><command xmlns='" + xmpp.NSCommands + "' node='config'/></iq>")
	has(t, strings.Join(romeo.Conn.Left(), ""), "<item-not-found ")
}

// The errors of §4.4.
func TestRefused(t *testing.T) {
	h, ran := open(t, adhoc.Options{})
	romeo, juliet := h.Online(t, orchard), h.Online(t, balcony)
	id := idOf(t, ask(t, romeo, "node='config'", ""))
	good := "node='config' sessionid='" + id + "'"
	for name, test := range map[string]struct{ attrs, payload, condition, app string }{
		"unknown action":    {good + " action='destroy'", "", "bad-request", "malformed-action"},
		"unknown command":   {"node='none'", "", "item-not-found", ""},
		"no command":        {"", "", "bad-request", ""},
		"next at first":     {"node='config' action='next'", "", "bad-request", "bad-action"},
		"cancel at first":   {"node='config' action='cancel'", "", "bad-request", "bad-action"},
		"prev at the first": {good + " action='prev'", "", "bad-request", "bad-action"},
		"complete too soon": {good + " action='complete'", submit("service", "httpd"), "bad-request", "bad-action"},
		"no language":       {good + " xml:lang='e_n'", "", "bad-request", "bad-locale"},
		"no form":           {good, "", "bad-request", "bad-payload"},
		"two forms":         {good, submit("service", "httpd") + submit("service", "httpd"), "bad-request", "bad-payload"},
		"a form for us":     {good, "<x xmlns='jabber:x:data' type='form'/>", "bad-request", "bad-payload"},
		"unknown type":      {good, "<x xmlns='jabber:x:data' type='x'/>", "bad-request", "bad-payload"},
		"missing field":     {good, submit(), "bad-request", "bad-payload"},
		"unknown field":     {good, submit("service", "httpd", "x", ""), "bad-request", "bad-payload"},
		"repeated field":    {good, submit("service", "httpd", "service", "httpd"), "bad-request", "bad-payload"},
		"no choice":         {good, submit("service", "smtpd"), "bad-request", "bad-payload"},
		"another's id":      {"node='config' sessionid='" + strings.Repeat("A", 43) + "'", "", "bad-request", "bad-sessionid"},
		"an empty id":       {"node='config' sessionid=''", "", "bad-request", "bad-sessionid"},
		"of another node":   {"node='time' sessionid='" + id + "'", "", "bad-request", "bad-sessionid"},
	} {
		got := ask(t, romeo, test.attrs, test.payload)
		want := "<" + test.condition + " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
		if test.app != "" {
			want = "<error type='modify'>" + want
		}
		if !strings.Contains(got, want) || test.app != "" && !strings.Contains(got, "<"+test.app+" xmlns='http://jabber.org/protocol/commands'/>") {
			t.Errorf("%s: %s", name, got)
		}
	}
	// After all that it is still under way, for romeo alone.
	has(t, ask(t, juliet, good, submit("service", "httpd")), "<bad-sessionid ")
	has(t, ask(t, juliet, "node='secret'", ""), "<error type='cancel'><forbidden ")
	has(t, ask(t, romeo, good+" xml:lang='de-AT'", submit("service", "httpd")), "status='executing'")
	has(t, ask(t, romeo, good+" action='next'", submit("state", "on")), "<bad-action ")
	has(t, ask(t, romeo, good+" action='cancel'", ""), "status='canceled'/>")
	has(t, ask(t, romeo, good+" action='cancel'", ""), "<session-expired ")
	if len(*ran) != 0 {
		t.Errorf("something ran: %q", *ran)
	}
}

func TestListed(t *testing.T) {
	h, _ := open(t, adhoc.Options{})
	romeo, juliet := h.Online(t, orchard), h.Online(t, balcony)
	items := func(p *featuretest.Person, to, node string) string {
		p.Sends("<iq type='get' id='1' to='" + to + "'><query xmlns='" + xmpp.NSDiscoItems + "' node='" + node + "'/></iq>")
		return strings.Join(p.Conn.Left(), "")
	}
	info := func(p *featuretest.Person, node string) string {
		p.Sends("<iq type='get' id='1' to='example.com'><query xmlns='" + xmpp.NSDiscoInfo + "' node='" + node + "'/></iq>")
		return strings.Join(p.Conn.Left(), "")
	}
	const list = "http://jabber.org/protocol/commands"
	has(t, items(romeo, "example.com", list), "<item jid='example.com' node='config' name='Configure &lt;it&gt;'/>", "node='time'", "node='secret'")
	if got := items(juliet, "example.com", list); strings.Contains(got, "secret") || !strings.Contains(got, "node='time'") {
		t.Errorf("juliet sees %s", got)
	}
	if got := items(juliet, "juliet@example.com", list); strings.Contains(got, "config") || !strings.Contains(got, "<item jid='juliet@example.com' node='time' name='Time'/>") {
		t.Errorf("juliet sees at her address %s", got)
	}
	has(t, info(romeo, list), "<identity category='automation' type='command-list'/>")
	has(t, info(romeo, "time"), "<identity category='automation' type='command-node' name='Time'/>", "<feature var='http://jabber.org/protocol/commands'/>", "<feature var='jabber:x:data'/>")
	has(t, info(juliet, "secret"), "<forbidden ")
	has(t, info(romeo, "none"), "<item-not-found ")
	has(t, items(romeo, "example.com", "time"), "node='time'></query>")
}

func TestBounds(t *testing.T) {
	h, _ := open(t, adhoc.Options{PerUser: 2, Total: 3})
	romeo, juliet := h.Online(t, orchard), h.Online(t, balcony)
	var ids []string
	for range 3 {
		ids = append(ids, idOf(t, ask(t, romeo, "node='config'", "")))
		h.Clock.Pass(time.Second)
	}
	goOn := func(p *featuretest.Person, id string) string {
		return ask(t, p, fmt.Sprintf("node='config' sessionid='%s'", id), submit("service", "httpd"))
	}
	has(t, goOn(romeo, ids[0]), "<session-expired ") // the oldest made room
	has(t, goOn(romeo, ids[1]), "status='executing'")
	hers := idOf(t, ask(t, juliet, "node='config'", ""))
	has(t, ask(t, juliet, "node='config'", ""), "<resource-constraint ")
	h.Clock.Pass(11 * time.Minute)
	has(t, goOn(juliet, hers), "<session-expired ")
	hers = idOf(t, ask(t, juliet, "node='config'", "")) // those that are over made room
	h.Table.End(juliet.Session)
	juliet = h.Online(t, balcony)
	has(t, goOn(juliet, hers), "<session-expired ")
}

// Whatever is sent as a command is answered, once, and nothing runs that was not asked for properly.
func FuzzCommand(f *testing.F) {
	for _, s := range []string{
		"node='config' action='execute'/>", "node='time' xml:lang='x'/>", "node='config' sessionid='AAAA'><x xmlns='jabber:x:data' type='submit'/></command>",
		"node='config' sessionid='ID'>" + submit("service", "httpd") + "</command>", "node='config' sessionid='ID' action='prev'/>",
		"node='config' sessionid='ID'><x xmlns='jabber:x:data' type='submit'><field var='service' type='boolean'/><field/></x></command>",
	} {
		f.Add(s)
	}
	h, ran := open(f, adhoc.Options{})
	f.Fuzz(func(t *testing.T, s string) {
		romeo := h.Online(t, orchard)
		id := idOf(t, ask(t, romeo, "node='config'", ""))
		raw := "<iq type='set' id='1' to='example.com'><command xmlns='" + xmpp.NSCommands + "' " + strings.ReplaceAll(s, "ID", id) + "</iq>"
		if _, err := xmpp.Parse([]byte(raw)); err != nil {
			return
		}
		romeo.Sends(raw)
		got := romeo.Conn.Left()
		if len(got) != 1 {
			t.Fatalf("%d answers to %s", len(got), raw)
		}
		if _, err := xmpp.ParseNode([]byte(got[0])); err != nil {
			t.Errorf("%s is answered with %s: %v", raw, got[0], err)
		}
		if len(*ran) != 0 {
			t.Errorf("%s ran %q", raw, *ran)
		}
	})
}
