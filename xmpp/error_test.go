package xmpp

import (
	"errors"
	"testing"
)

// TestErrorTypes pins the types that RFC 6120 §8.3.3 gives.
func TestErrorTypes(t *testing.T) {
	for want, conditions := range map[ErrorType][]Condition{
		ErrorModify: {BadRequest, JIDMalformed, NotAcceptable, PolicyViolation, Redirect},
		ErrorAuth:   {Forbidden, NotAuthorized, RegistrationRequired, SubscriptionRequired},
		ErrorWait:   {RecipientUnavailable, RemoteServerTimeout, ResourceConstraint, UnexpectedRequest},
		ErrorCancel: {Conflict, FeatureNotImplemented, Gone, InternalServerError, ItemNotFound, NotAllowed, RemoteServerNotFound, ServiceUnavailable, UndefinedCondition},
	} {
		for _, c := range conditions {
			if e := NewError(c, ""); e.Type != want || e.Condition != c {
				t.Errorf("%s: %s", c, e.Type)
			}
		}
	}
}

func TestErrorAppend(t *testing.T) {
	base := NewError(NotAllowed, "not <here>")
	withApp := base.WithApp("<x xmlns='urn:x'/>")
	for _, c := range []struct {
		e    *Error
		want string
	}{
		{NewError(ItemNotFound, ""), `<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>`},
		{base, `<error type='cancel'><not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>` +
			`<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>not &lt;here&gt;</text></error>`},
		{withApp, `<error type='cancel'><not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>` +
			`<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>not &lt;here&gt;</text><x xmlns='urn:x'/></error>`},
		{NewError(ServiceUnavailable, "").WithType(ErrorWait), `<error type='wait'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>`},
		{&Error{Condition: Gone, Address: "xmpp:a@b?x&y", By: MustJID("example.com")},
			`<error type='cancel' by='example.com'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:a@b?x&amp;y</gone></error>`},
		{&Error{Condition: Conflict, Address: "xmpp:a@b"}, `<error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>`},
		{&Error{}, `<error type='cancel'><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>`},
	} {
		if got := string(c.e.Append(nil)); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	if base.App != nil || base.Type != ErrorCancel {
		t.Error("WithApp or WithType changed the original")
	}
	if got := base.Error(); got != "not-allowed: not <here>" {
		t.Error(got)
	}
}

func TestReplies(t *testing.T) {
	e := NewError(ServiceUnavailable, "")
	const body = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
	for _, c := range []struct{ in, want string }{
		{"<message from='a@b/c' to='d@e' id='1&apos;' type='chat'><body>x</body></message>", "<message type='error' from='d@e' to='a@b/c' id='1&apos;'>" + body + "</message>"},
		{"<presence from='a@b/c' to='d@e'/>", "<presence type='error' from='d@e' to='a@b/c'>" + body + "</presence>"},
		{"<iq type='get' id=''/>", "<iq type='error' id=''>" + body + "</iq>"},
		{"<iq type='set' to='@' id='1'/>", "<iq type='error' id='1'>" + body + "</iq>"},
		{"<iq type='strange'/>", "<iq type='error'>" + body + "</iq>"},

		// RFC 6120 §8.3.1, §8.2.3: these are not answered.
		{"<message type='error'/>", ""},
		{"<presence type='error'/>", ""},
		{"<iq type='error' id='1'/>", ""},
		{"<iq type='result' id='1'/>", ""},
		{"<r xmlns='urn:xmpp:sm:3'/>", ""},
	} {
		st, err := Parse([]byte(c.in))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(AppendError([]byte("x"), st, e)); got != "x"+c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.in, got, "x"+c.want)
		}
	}
	st, err := Parse([]byte("<iq type='get' from='a@b/c' to='d@e' id='1'><ping xmlns='urn:xmpp:ping'/></iq>"))
	if err != nil {
		t.Fatal(err)
	}
	for payload, want := range map[string]string{
		"":                   "<iq type='result' from='d@e' to='a@b/c' id='1'/>",
		"<x xmlns='urn:x'/>": "<iq type='result' from='d@e' to='a@b/c' id='1'><x xmlns='urn:x'/></iq>",
	} {
		if got := string(AppendResult(nil, st, []byte(payload))); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	dst := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { dst = AppendError(AppendResult(dst[:0], st, nil), st, e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestStreamErrorAppend(t *testing.T) {
	for _, c := range []struct {
		e    *StreamError
		want string
	}{
		{NewStreamError(StreamConflict, ""), `<conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>`},
		{&StreamError{Condition: StreamSeeOtherHost, Host: "a&b"}, `<see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>a&amp;b</see-other-host>`},
		{&StreamError{Condition: StreamPolicyViolation, Text: "too <much>", App: []byte("<x xmlns='urn:x'/>")},
			`<policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>too &lt;much&gt;</text><x xmlns='urn:x'/>`},
		{&StreamError{}, `<undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>`},
	} {
		if got, want := string(c.e.Append(nil)), "<stream:error>"+c.want+"</stream:error>"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		got := c.e.AppendDeclared(nil)
		if st, err := Parse(got); err != nil || !st.Is(NSStream, "error") || !st.Children[0].Is(NSStreams, string(c.want[1:len(st.Children[0].Local)+1])) {
			t.Errorf("%s: %v", got, err)
		}
	}
	var err error = NewStreamError(StreamNotAuthorized, "no")
	var e *StreamError
	if !errors.As(err, &e) || err.Error() != "stream error: not-authorized: no" {
		t.Error(err)
	}
}
