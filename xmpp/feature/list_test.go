package feature_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/feature/carbons"
	"confab/xmpp/feature/disco"
	"confab/xmpp/feature/entitytime"
	"confab/xmpp/feature/lastactivity"
	"confab/xmpp/feature/ping"
	"confab/xmpp/feature/version"
	"confab/xmpp/router"
)

func everybody(directory.ID, xmpp.JID) bool { return true }

func TestHandlersAreAnnounced(t *testing.T) {
	list := []feature.Feature{
		carbons.New(), disco.New(disco.Options{MaySee: everybody}), entitytime.New(),
		lastactivity.New(lastactivity.Options{MaySee: everybody}), ping.New(), version.New("1.0"),
	}
	for _, missing := range feature.Unannounced(list) {
		t.Errorf("%s is neither announced nor silent", missing)
	}
}

func TestUnannounced(t *testing.T) {
	answer := func(_ *feature.Query, dst []byte) ([]byte, error) { return dst, nil }
	announced := feature.Feature{Name: "a", IQ: []feature.IQ{feature.Get("ns", "a", feature.Server|feature.Nobody, answer)}}
	for _, test := range []struct {
		name   string
		change func(f *feature.Feature)
		want   int
	}{
		{"not announced", func(f *feature.Feature) {}, 1},
		{"announced elsewhere", func(f *feature.Feature) { f.Advertise = []feature.Advert{{Var: "ns", Where: feature.Self}} }, 1},
		{"something else announced", func(f *feature.Feature) { f.Advertise = []feature.Advert{{Var: "n", Where: feature.Server}} }, 1},
		{"announced", func(f *feature.Feature) { f.Advertise = []feature.Advert{{Var: "ns", Where: feature.Server}} }, 0},
		{"silent", func(f *feature.Feature) { f.IQ[0].Silent = true }, 0},
	} {
		f := announced
		f.IQ = slices.Clone(f.IQ)
		test.change(&f)
		if got := feature.Unannounced([]feature.Feature{f}); len(got) != test.want {
			t.Errorf("%s: %q", test.name, got)
		}
	}
}

func TestListIsChecked(t *testing.T) {
	answer := func(_ *feature.Query, dst []byte) ([]byte, error) { return dst, nil }
	iq := func(name string, q feature.IQ) feature.Feature {
		return feature.Feature{Name: name, IQ: []feature.IQ{q}}
	}
	first := iq("first", feature.Get("ns", "a", feature.Server|feature.Self, answer))
	for _, test := range []struct {
		second feature.Feature
		wrong  string
	}{
		{iq("second", feature.Get("ns", "a", feature.Self, answer)), "second"},
		{iq("second", feature.Get("ns", "a", feature.Account, answer)), ""},
		{iq("second", feature.Set("ns", "a", feature.Self, answer)), ""},
		{iq("second", feature.Get("ns", "b", feature.Self, answer)), ""},
		{feature.Feature{Name: "third", Targets: []feature.Target{
			{Where: feature.Service, Label: "x"}, {Where: feature.Service, Label: "x"}}}, "third"},
		{feature.Feature{Name: "start", Start: func(*feature.Host) error { return errors.New("cannot") }}, "start: cannot"},
	} {
		_, err := feature.NewTable(&feature.Host{}, first, test.second)
		if (err == nil) != (test.wrong == "") || err != nil && !strings.Contains(err.Error(), test.wrong) {
			t.Errorf("with %s: %v", test.second.Name, err)
		}
	}
}

func TestMomentsInTheOrderOfTheList(t *testing.T) {
	var said []string
	say := func(name, what string) { said = append(said, name+" "+what) }
	moments := func(name string) feature.Feature {
		return feature.Feature{
			Name:     name,
			Bound:    func(*router.Session) { say(name, "bound") },
			Resumed:  func(*router.Session) { say(name, "resumed") },
			Inactive: func(*router.Session) { say(name, "inactive") },
			Ended:    func(*router.Session, router.Unacknowledged) { say(name, "ended") },
			Start:    func(*feature.Host) error { say(name, "start"); return nil },
			Stop:     func() { say(name, "stop") },
			StreamFeatures: func(domain string, dst []byte) []byte {
				return append(dst, "<"+name+domain+"/>"...)
			},
		}
	}
	h := house(t, moments("a"), moments("b"))
	romeo := h.Connect(t, "romeo@example.com/orchard")
	h.Table.Inactive(romeo.Session)
	h.Table.Resumed(romeo.Session)
	h.Table.End(romeo.Session)
	h.Table.End(romeo.Session) // nothing more happens
	h.Table.Stop()
	want := "[a start b start a bound b bound a inactive b inactive a resumed b resumed a ended b ended b stop a stop]"
	if got := fmt.Sprint(said); got != want {
		t.Errorf("%s, not %s", got, want)
	}
	if got := string(h.Table.StreamFeatures("x", nil)); got != "<ax/><bx/>" {
		t.Errorf("stream features: %s", got)
	}
}

func TestPresenceEndsWhereItIsHandled(t *testing.T) {
	var said []string
	presence := func(name string, handled bool, err error) feature.Feature {
		return feature.Feature{Name: name, Presence: func(*feature.Dispatch) (bool, error) {
			said = append(said, name)
			return handled, err
		}}
	}
	h := house(t, presence("a", false, nil), presence("b", true, nil), presence("c", true, nil))
	romeo := h.Connect(t, "romeo@example.com/orchard")
	romeo.Sends("<presence/>")
	romeo.Hears()
	if fmt.Sprint(said) != "[a b]" {
		t.Errorf("asked: %v", said)
	}
	h = house(t, presence("a", false, xmpp.NewError(xmpp.NotAllowed, "")), presence("b", true, nil))
	romeo = h.Connect(t, "romeo@example.com/orchard")
	romeo.Sends("<presence id='1' to='juliet@example.com' type='subscribe'/>")
	romeo.Hears(refusal("presence", "juliet@example.com", "cancel", "not-allowed", ""))
}

func TestTarget(t *testing.T) {
	var said []string
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	service := feature.Target{
		Where: feature.Service, Label: "echo",
		Message: func(d *feature.Dispatch) error {
			if d.Stanza.Child("", "body") == nil {
				return xmpp.NewError(xmpp.NotAcceptable, "")
			}
			d.Copies = append(d.Copies, feature.Copy{Owner: d.Session.User(), OwnerJID: d.From.Bare(), With: d.To})
			return nil
		},
		Deliver:  func(d *feature.Dispatch, out *router.Batch) { say("deliver %s %d", d.To, d.ID) },
		Presence: func(d *feature.Dispatch) error { say("presence %s", d.To); return nil },
		IQ: func(d *feature.Dispatch) error {
			say("iq %s %s", d.To, d.Stanza.Type)
			if d.Stanza.Type == xmpp.TypeGet {
				return xmpp.NewError(xmpp.ItemNotFound, "")
			}
			return nil
		},
	}
	answer := func(_ *feature.Query, dst []byte) ([]byte, error) { return dst, nil }
	h := house(t,
		feature.Feature{Name: "echo", Targets: []feature.Target{service}},
		feature.Feature{Name: "answer", IQ: []feature.IQ{feature.Get("a", "b", feature.Service, answer)},
			After: func(d *feature.Dispatch, _ *router.Batch) { say("after %s", d.To) }},
	)
	romeo := h.Online(t, "romeo@example.com/orchard")
	romeo.Sends(
		"<message to='x@echo.example.com'><body>hi</body></message>",
		"<presence to='x@echo.example.com/nick'/>",
		"<iq type='get' id='1' to='echo.example.com'><b xmlns='a'/></iq>",
		"<iq type='get' id='1' to='echo.example.com'><c xmlns='a'/></iq>",
		"<iq type='result' id='1' to='x@echo.example.com'/>",
		"<message id='1' to='x@echo.example.com'/>",
	)
	romeo.Hears(
		"<iq type='result' id='1' from='echo.example.com' to='romeo@example.com/orchard'/>",
		refusal("iq", "echo.example.com", "cancel", "item-not-found", ""),
		refusal("message", "x@echo.example.com", "modify", "not-acceptable", ""),
	)
	want := "[deliver x@echo.example.com 1 after x@echo.example.com presence x@echo.example.com/nick " +
		"iq echo.example.com get iq x@echo.example.com result]"
	if got := fmt.Sprint(said); got != want {
		t.Errorf("%s, not %s", got, want)
	}
}
