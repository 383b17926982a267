package feature_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/feature/featuretest"
	"confab/xmpp/router"
)

const stanzas = "urn:ietf:params:xml:ns:xmpp-stanzas"

func house(t testing.TB, features ...feature.Feature) *featuretest.House {
	t.Helper()
	return featuretest.New(t, func(*feature.Host) []feature.Feature { return features })
}

// echo is a service at echo.example.com, without opinions.
func echo() feature.Feature {
	return feature.Feature{Name: "echo", Targets: []feature.Target{{Where: feature.Service, Label: "echo"}}}
}

func TestAddresses(t *testing.T) {
	var got feature.Where
	h := house(t, echo(), feature.Feature{Name: "watch", Accept: func(d *feature.Dispatch) error {
		got = d.Where
		return nil
	}})
	romeo := h.Online(t, "romeo@example.com/orchard")
	for _, test := range []struct {
		to   string
		want feature.Where
	}{
		{"", feature.Self},
		{"romeo@example.com", feature.Self},
		{"ROMEO@Example.COM", feature.Self},
		{"romeo@example.com/orchard", feature.Full},
		{"romeo@example.com/elsewhere", feature.Full},
		{"example.com", feature.Server},
		{"example.com/resource", feature.Server},
		{"juliet@example.com", feature.Account},
		{"juliet@example.com/balcony", feature.Full},
		{"nobody@example.com", feature.Nobody},
		{"nobody@example.com/x", feature.Nobody},
		{"carol@example.com", feature.Nobody}, // disabled
		{"carol@example.com/x", feature.Nobody},
		{"echo.example.com", feature.Service},
		{"room@echo.example.com/nick", feature.Service},
		{"other.example.com", feature.Remote},
		{"echo.capulet.example", feature.Remote}, // the service of another domain of ours
		{"capulet.example", feature.Remote},      // which is never seen
		{"juliet@capulet.example", feature.Remote},
		{"echo.elsewhere.example", feature.Remote},
		{"tybalt@elsewhere.example", feature.Remote},
	} {
		to := " to='" + test.to + "'"
		if test.to == "" {
			to = ""
		}
		for _, kind := range []string{"message", "presence", "iq"} {
			got = 0
			romeo.Sends("<" + kind + to + "/>")
			if got != test.want {
				t.Errorf("%s to %q went to %d, not %d", kind, test.to, got, test.want)
			}
		}
	}
	if err := h.Table.Inject(xmpp.MustJID("capulet.example"), parse(t, "<message to='juliet@capulet.example'/>")); err != nil || got != feature.Account {
		t.Errorf("what the server sends to capulet.example went to %d: %v", got, err)
	}
}

func parse(t testing.TB, s string) *xmpp.Stanza {
	t.Helper()
	st, err := xmpp.Parse([]byte(s))
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return st
}

// refusal is an error reply of a stanza that romeo sent with the id 1.
func refusal(kind, from, errorType, condition, text string) string {
	if from != "" {
		from = " from='" + from + "'"
	}
	if text != "" {
		text = "<text xmlns='" + stanzas + "' xml:lang='en'>" + text + "</text>"
	}
	return fmt.Sprintf("<%s type='error' id='1'%s to='romeo@example.com/orchard'><error type='%s'><%s xmlns='%s'/>%s</error></%s>",
		kind, from, errorType, condition, stanzas, text, kind)
}

// RFC 6120 §8.2.3 and §8.5.1 of RFC 6121.
func TestRequestsAreChecked(t *testing.T) {
	answer := func(_ *feature.Query, dst []byte) ([]byte, error) { return append(dst, "<b xmlns='a'/>"...), nil }
	h := house(t, feature.Feature{Name: "answer", IQ: []feature.IQ{feature.Get("a", "b", feature.Server, answer)}})
	romeo := h.Online(t, "romeo@example.com/orchard")
	const server, unavailable = "example.com", "service-unavailable"
	for _, test := range []struct{ send, want string }{
		{"<iq type='get' id='1' to='example.com'><b xmlns='a'/></iq>",
			"<iq type='result' id='1' from='example.com' to='romeo@example.com/orchard'><b xmlns='a'/></iq>"},
		{"<iq type='set' id='1' to='example.com'><b xmlns='a'/></iq>", refusal("iq", server, "cancel", unavailable, "")},
		{"<iq type='get' id='1' to='example.com'><b xmlns='c'/></iq>", refusal("iq", server, "cancel", unavailable, "")},
		{"<iq type='get' id='1' to='juliet@example.com'><b xmlns='a'/></iq>", refusal("iq", "juliet@example.com", "cancel", unavailable, "")},
		{"<iq type='get' id='1' to='nobody@example.com'><b xmlns='a'/></iq>", refusal("iq", "nobody@example.com", "cancel", unavailable, "")},
		{"<iq type='get' id='1' to='juliet@example.com/gone'><b xmlns='a'/></iq>", refusal("iq", "juliet@example.com/gone", "cancel", unavailable, "")},
		{"<iq type='get' id='1'><b xmlns='a'/></iq>", refusal("iq", "", "cancel", unavailable, "")},
		{"<iq type='get' id='1' to='tybalt@elsewhere.example'><b xmlns='a'/></iq>",
			refusal("iq", "tybalt@elsewhere.example", "cancel", "remote-server-not-found", "")},
		{"<iq type='get' id='1' to='example.com'/>", refusal("iq", server, "modify", "bad-request", "a request has exactly one child element")},
		{"<iq type='get' id='1' to='example.com'><b xmlns='a'/><b xmlns='a'/></iq>",
			refusal("iq", server, "modify", "bad-request", "a request has exactly one child element")},
		{"<iq type='get' to='example.com'><b xmlns='a'/></iq>",
			strings.Replace(refusal("iq", server, "modify", "bad-request", "an IQ has an id"), " id='1'", "", 1)},
		{"<iq type='fetch' id='1' to='example.com'><b xmlns='a'/></iq>",
			refusal("iq", server, "modify", "bad-request", "an IQ has the type get, set, result or error")},
		{"<iq id='1' to='example.com'><b xmlns='a'/></iq>",
			refusal("iq", server, "modify", "bad-request", "an IQ has the type get, set, result or error")},
		{"<iq type='result' id='1' to='example.com'/>", ""}, // to a push: nobody waits for it
		{"<iq type='error' id='1' to='example.com'><error type='cancel'/></iq>", ""},
		{"<iq type='result' id='1' to='juliet@example.com/gone'/>", ""},
		{"<iq type='result' id='1' to='tybalt@elsewhere.example'/>", ""},
		{"<iq type='result' to='example.com'/>", ""}, // not even for a missing id (RFC 6120 §8.3.1)
	} {
		romeo.Sends(test.send)
		t.Log(test.send)
		if test.want == "" {
			romeo.Hears()
		} else {
			romeo.Hears(test.want)
		}
	}
	romeo.Sends("<iq type='get' id='1' to='@'><b xmlns='a'/></iq>")
	if got := romeo.Conn.Left(); len(got) != 1 || !strings.Contains(got[0], "<jid-malformed ") {
		t.Errorf("a malformed address was answered with %q", got)
	}
}

func TestIQsReachTheirClient(t *testing.T) {
	h := house(t)
	romeo, juliet := h.Online(t, "romeo@example.com/orchard"), h.Connect(t, "juliet@example.com/balcony")
	for _, iq := range []string{
		"<iq %s type='get' id='1' to='juliet@example.com/balcony'><b xmlns='a'/></iq>",
		"<iq %s type='result' id='1' to='juliet@example.com/balcony'><b xmlns='a'/></iq>",
		"<iq %s type='error' id='1' to='juliet@example.com/balcony'><b xmlns='a'/><error type='cancel'/></iq>",
	} {
		romeo.Sends(fmt.Sprintf(iq, ""))
		juliet.Hears(fmt.Sprintf(iq, "from='romeo@example.com/orchard'"))
	}
	romeo.Hears()
}

// RFC 6121 §8.5, as the sender and the recipient see it; the rules themselves
// are tested with the router.
func TestMessagesGoTheirWay(t *testing.T) {
	h := house(t, featuretest.Keep())
	romeo, juliet := h.Online(t, "romeo@example.com/orchard"), h.Online(t, "juliet@example.com/balcony")
	const bounce = "service-unavailable"
	for _, test := range []struct{ to, kind, bounced, heard string }{
		{"juliet@example.com", "chat", "", "1"},
		{"juliet@example.com", "groupchat", bounce, ""},
		{"juliet@example.com", "error", "", ""},
		{"juliet@example.com", "strange", "", "1"}, // as normal, §5.2.2
		{"juliet@example.com/balcony", "groupchat", "", "1"},
		{"juliet@example.com/gone", "chat", "", "1"},
		{"juliet@example.com/gone", "normal", bounce, ""},
		{"alice@example.com", "chat", "", ""}, // waits
		{"alice@example.com", "headline", "", ""},
		{"nobody@example.com", "chat", bounce, ""},
		{"carol@example.com", "chat", bounce, ""},
		{"example.com", "chat", bounce, ""},
		{"tybalt@elsewhere.example", "chat", "remote-server-not-found", ""},
		{"nobody@example.com", "error", "", ""}, // an error is never answered with one
		{"tybalt@elsewhere.example", "error", "", ""},
	} {
		t.Log(test)
		romeo.Sends(fmt.Sprintf("<message id='1' to='%s' type='%s'/>", test.to, test.kind))
		if test.bounced == "" {
			romeo.Hears()
		} else {
			romeo.Hears(refusal("message", test.to, "cancel", test.bounced, ""))
		}
		if test.heard == "" {
			juliet.Hears()
		} else {
			juliet.Hears(fmt.Sprintf("<message from='romeo@example.com/orchard' id='1' to='%s' type='%s'/>", test.to, test.kind))
		}
	}
}

func TestMessageToOneselfReachesTheOtherDevices(t *testing.T) {
	h := house(t, featuretest.Keep())
	orchard, phone := h.Online(t, "romeo@example.com/orchard"), h.Online(t, "romeo@example.com/phone")
	orchard.Sends("<message type='chat'><body>buy milk</body></message>")
	orchard.Hears()
	phone.Hears("<message from='romeo@example.com/orchard' to='romeo@example.com' type='chat'><body>buy milk</body>" +
		"<stanza-id xmlns='urn:xmpp:sid:0' by='romeo@example.com' id='1'/></message>")
}

func TestReplyTellsNothingOfTheCause(t *testing.T) {
	fail := func(*feature.Query, []byte) ([]byte, error) { return nil, errors.New("the secret cause") }
	h := house(t, feature.Feature{Name: "fail", IQ: []feature.IQ{feature.Get("a", "b", feature.Server, fail)}})
	romeo := h.Online(t, "romeo@example.com/orchard")
	romeo.Sends("<iq type='get' id='1' to='example.com'><b xmlns='a'/></iq>")
	romeo.Hears(refusal("iq", "example.com", "cancel", "internal-server-error", ""))
	if log := h.Logged(); !strings.Contains(log, "the secret cause") || !strings.Contains(log, "{a}b") {
		t.Errorf("the log says %q", log)
	}
}

func TestAcceptRefuses(t *testing.T) {
	h := house(t, featuretest.Keep(), feature.Feature{Name: "no", Accept: func(*feature.Dispatch) error {
		return xmpp.NewError(xmpp.NotAllowed, "no")
	}})
	romeo, juliet := h.Online(t, "romeo@example.com/orchard"), h.Online(t, "juliet@example.com/balcony")
	for _, kind := range []string{"message", "presence", "iq"} {
		romeo.Sends("<" + kind + " id='1' to='juliet@example.com/balcony'><body/></" + kind + ">")
		romeo.Hears(refusal(kind, "juliet@example.com/balcony", "cancel", "not-allowed", "no"))
	}
	juliet.Hears()
}

// One read may bring many stanzas. They share a commit, and their order is kept
// against everything else.
func TestBatchKeepsTheOrder(t *testing.T) {
	answer := func(_ *feature.Query, dst []byte) ([]byte, error) { return dst, nil }
	h := house(t, featuretest.Keep(), feature.Feature{Name: "answer", IQ: []feature.IQ{feature.Get("a", "b", feature.Server, answer)}})
	romeo, juliet := h.Online(t, "romeo@example.com/orchard"), h.Online(t, "juliet@example.com/balcony")
	romeo.Sends(
		"<message to='juliet@example.com'><body>one</body></message>",
		"<message to='juliet@example.com'><body>two</body></message>",
		"<message to='juliet@example.com'><composing xmlns='s'/></message>",
		"<message to='romeo@example.com/orchard'><body>echo</body></message>",
		"<message id='1' to='nobody@example.com'><body>three</body></message>",
		"<iq type='get' id='1' to='example.com'><b xmlns='a'/></iq>",
		"<message to='juliet@example.com/balcony'><body>four</body></message>",
	)
	const head = "<message from='romeo@example.com/orchard' to='juliet@example.com'>"
	juliet.Hears(
		head+"<body>one</body><stanza-id xmlns='urn:xmpp:sid:0' by='juliet@example.com' id='1'/></message>",
		head+"<body>two</body><stanza-id xmlns='urn:xmpp:sid:0' by='juliet@example.com' id='2'/></message>",
		head+"<composing xmlns='s'/></message>",
		"<message from='romeo@example.com/orchard' to='juliet@example.com/balcony'><body>four</body>"+
			"<stanza-id xmlns='urn:xmpp:sid:0' by='juliet@example.com' id='4'/></message>",
	)
	romeo.Hears(
		"<message from='romeo@example.com/orchard' to='romeo@example.com/orchard'><body>echo</body>"+
			"<stanza-id xmlns='urn:xmpp:sid:0' by='romeo@example.com' id='3'/></message>",
		refusal("message", "nobody@example.com", "cancel", "service-unavailable", ""),
		"<iq type='result' id='1' from='example.com' to='romeo@example.com/orchard'/>",
	)
}

// A connection at rest keeps nothing of what it has brought.
func TestBatchAtRest(t *testing.T) {
	h := house(t, featuretest.Keep())
	romeo := h.Online(t, "romeo@example.com/orchard")
	batch := h.Table.NewBatch(romeo.Session, "")
	var brought []weak.Pointer[xmpp.Stanza]
	for range 3 {
		st := parse(t, "<message to='juliet@example.com'><body>hi</body></message>")
		brought = append(brought, weak.Make(st))
		h.Table.Handle(batch, st)
	}
	h.Table.Commit(batch)
	runtime.GC()
	for i, st := range brought {
		if st.Value() != nil {
			t.Errorf("message %d is still there", i)
		}
	}
	runtime.KeepAlive(batch)
}

func TestFailingStore(t *testing.T) {
	after := 0
	h := house(t, featuretest.Keep(), feature.Feature{Name: "after", After: func(*feature.Dispatch, *router.Batch) { after++ }})
	romeo, juliet := h.Online(t, "romeo@example.com/orchard"), h.Online(t, "juliet@example.com/balcony")
	h.Failing.Fail(errors.New("no space left on device"))
	const message = "<message id='1' to='juliet@example.com'><body>hi</body></message>"
	romeo.Sends(message, message)
	refused := refusal("message", "juliet@example.com", "cancel", "internal-server-error", "the message could not be stored, and was not delivered")
	romeo.Hears(refused, refused)
	juliet.Hears()
	if after != 0 {
		t.Errorf("features saw %d messages that nobody got", after)
	}
	if !strings.Contains(h.Logged(), "no space left on device") {
		t.Errorf("the log says %q", h.Logged())
	}

	h.Failing.Fail(xmpp.NewError(xmpp.ResourceConstraint, "full"))
	romeo.Sends(message)
	romeo.Hears(refusal("message", "juliet@example.com", "wait", "resource-constraint", "full"))
	juliet.Hears()

	h.Failing.Fail(nil)
	romeo.Sends(message)
	romeo.Hears()
	if got := juliet.Conn.Left(); len(got) != 1 || after != 1 {
		t.Errorf("a store that works again delivered %q, and features saw %d", got, after)
	}
}

// Nothing is delivered, and nothing counted, that is not on disk.
func TestNothingHappensBeforeTheCommit(t *testing.T) {
	h := house(t, featuretest.Keep())
	romeo, juliet := h.Online(t, "romeo@example.com/orchard"), h.Online(t, "juliet@example.com/balcony")
	if err := romeo.EnableManagement(time.Minute, func(string) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
	_, token := romeo.Managed()
	h.Held.Hold()
	done := make(chan struct{})
	go func() {
		defer close(done)
		romeo.Sends("<presence/>", "<message to='juliet@example.com'><body>hi</body></message>")
	}()
	if !h.Held.Await(1) {
		t.Fatal("nobody wrote")
	}
	juliet.Hears()
	if n := romeo.Handled(0); n != 1 {
		t.Errorf("%d stanzas are counted as handled before the commit, not 1", n)
	}
	h.Held.Release()
	<-done
	if got := juliet.Conn.Left(); len(got) != 1 {
		t.Errorf("after the commit juliet heard %q", got)
	}
	if n := romeo.Handled(0); n != 2 {
		t.Errorf("%d stanzas are counted as handled, not 2", n)
	}
	if on := h.Count(t, token); on != "2" {
		t.Errorf("the count on disk is %q", on)
	}
}

func TestRecipientWhoComesWhileAMessageIsStored(t *testing.T) {
	h := house(t, featuretest.Keep())
	romeo := h.Online(t, "romeo@example.com/orchard")
	h.Held.Hold()
	done := make(chan struct{})
	go func() {
		defer close(done)
		romeo.Sends("<message to='juliet@example.com'><body>hi</body></message>")
	}()
	if !h.Held.Await(1) {
		t.Fatal("nobody wrote")
	}
	juliet := h.Online(t, "juliet@example.com/balcony")
	h.Held.Release()
	<-done
	if got := juliet.Conn.Left(); len(got) != 1 {
		t.Errorf("juliet heard %q", got)
	}
}

func TestHeldMessageIsNotDelivered(t *testing.T) {
	var got []int
	h := house(t, featuretest.Keep(), feature.Feature{
		Name:  "hold",
		Hold:  func(d *feature.Dispatch) bool { return strings.Contains(string(d.Stanza.Raw), "later") },
		After: func(d *feature.Dispatch, _ *router.Batch) { got = append(got, len(d.Got)) },
	})
	romeo, juliet := h.Online(t, "romeo@example.com/orchard"), h.Online(t, "juliet@example.com/balcony")
	romeo.Sends("<message to='juliet@example.com'><body>later</body></message>", "<message to='juliet@example.com'><body>now</body></message>")
	if left := juliet.Conn.Left(); len(left) != 1 || !strings.Contains(left[0], "now") {
		t.Errorf("juliet heard %q", left)
	}
	if fmt.Sprint(got) != "[0 1]" {
		t.Errorf("who got them: %v", got)
	}
}

func TestPanicCostsTheSenderOnly(t *testing.T) {
	crash := func(where string) func(d *feature.Dispatch) error {
		return func(d *feature.Dispatch) error {
			if strings.Contains(string(d.Stanza.Raw), where) {
				panic(where)
			}
			return nil
		}
	}
	accept, after := crash("accept"), crash("after")
	h := house(t, featuretest.Keep(), feature.Feature{
		Name:   "crash",
		Accept: accept,
		Keep:   crash("keep"),
		After:  func(d *feature.Dispatch, _ *router.Batch) { after(d) },
		IQ: []feature.IQ{feature.Get("a", "b", feature.Server, func(*feature.Query, []byte) ([]byte, error) {
			panic("handle")
		})},
		Presence: func(d *feature.Dispatch) (bool, error) { return true, crash("presence")(d) },
	})
	juliet := h.Online(t, "juliet@example.com/balcony")
	for where, stanza := range map[string]string{
		"accept":   "<message to='juliet@example.com'><body>accept</body></message>",
		"keep":     "<message to='juliet@example.com'><body>keep</body></message>",
		"after":    "<message to='juliet@example.com'><body>after</body></message>",
		"handle":   "<iq type='get' id='1' to='example.com'><b xmlns='a'/></iq>",
		"presence": "<presence><status>presence</status></presence>",
	} {
		romeo := h.Online(t, "romeo@example.com/orchard")
		romeo.Sends("<message to='juliet@example.com'><body>before</body></message>", stanza)
		if err, closed := romeo.Conn.Closed(); !closed || err == nil || err.Condition != xmpp.StreamInternalServerError {
			t.Errorf("%s: the sender's stream was not closed with the error, but: %v", where, err)
		}
		if _, closed := juliet.Conn.Closed(); closed {
			t.Errorf("%s: the recipient's stream was closed", where)
		}
		if heard := juliet.Conn.Left(); len(heard) == 0 || !strings.Contains(heard[0], "before") {
			t.Errorf("%s: the message before it was lost; juliet heard %q", where, heard)
		}
		if log := h.Logged(); !strings.Contains(log, "table_test.go") {
			t.Errorf("%s: the log does not say where: %q", where, log)
		}
		h.Table.End(romeo.Session)
	}
	bob := h.Online(t, "bob@example.com/x")
	bob.Sends("<message to='juliet@example.com'><body>still there?</body></message>")
	if heard := juliet.Conn.Left(); len(heard) != 1 {
		t.Errorf("after all that juliet heard %q", heard)
	}
}

// XEP-0198 §8: who waits for an answer of a session that died gets one.
func TestRequestsThatDieWithTheirSession(t *testing.T) {
	h := house(t)
	romeo, juliet := h.Online(t, "romeo@example.com/orchard"), h.Connect(t, "juliet@example.com/balcony")
	if err := juliet.EnableManagement(time.Minute, func(string) []byte { return nil }); err != nil {
		t.Fatal(err)
	}
	const to = " to='juliet@example.com/balcony'"
	romeo.Sends(
		"<iq type='get' id='0'"+to+"><b xmlns='a'/></iq>",
		"<iq type='get' id='1'"+to+"><b xmlns='a'/></iq>",
		"<iq type='result' id='2'"+to+"><b xmlns='a'/></iq>",
		"<message id='3'"+to+"/>",
	)
	if err := juliet.Acknowledge(1); err != nil {
		t.Fatal(err)
	}
	h.Table.End(juliet.Session)
	romeo.Hears(refusal("iq", "juliet@example.com/balcony", "wait", "recipient-unavailable", ""))
}
