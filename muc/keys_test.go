package muc

import (
	"reflect"
	"testing"
	"time"

	"confab/xmpp"
)

func TestRecords(t *testing.T) {
	at := time.Date(2024, 3, 1, 12, 0, 0, 5000, time.UTC)
	c := Config{
		Name: "Höhle", Description: "dark", Lang: "de", PubSub: "xmpp:x?;node=y", Password: "s", Persistent: true, Moderated: true, AnySubject: true,
		Private: Nobody, MaxOccupants: 7, History: 11, Broadcast: allRoles, Lists: 1 << Visitor,
	}
	r := &stored{id: 12, created: at, maker: 7, config: c}
	if got, err := parseStored(r.append(nil)); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, a := range []affiliate{{Affiliation: Owner, nick: "x"}, {Affiliation: Outcast, reason: "Treason"}, {}} {
		if got, err := parseAffiliate(a.append(nil)); err != nil || got != a {
			t.Errorf("%+v, %v", got, err)
		}
	}
	s := subject{text: "Spells", nick: "romeo", id: "abc", at: at}
	if got, err := parseSubject(s.append(nil)); err != nil || got != s {
		t.Errorf("%+v, %v", got, err)
	}
	for _, w := range []who{{user: 3}, {address: xmpp.MustJID("a@elsewhere.example")}, {address: xmpp.MustJID("elsewhere.example")}} {
		if got, err := parseWho(keyAffiliation(9, w)[9:]); err != nil || got != w {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

// TestOldRecords reads what earlier versions have written, byte for byte.
func TestOldRecords(t *testing.T) {
	at := time.Date(2024, 3, 1, 12, 0, 0, 5000, time.UTC)
	cave := xmpp.MustJID("cave@conference.example.com")
	c := Config{
		Name: "Höhle", Description: "dark", Lang: "de", PubSub: "xmpp:x?;node=y", Password: "s", Persistent: true, Moderated: true, AnySubject: true,
		Private: Nobody, MaxOccupants: 7, History: 11, Broadcast: allRoles, Lists: 1 << Visitor,
	}
	for _, x := range []struct {
		record interface{ append([]byte) []byte }
		bytes  string
	}{
		{&stored{id: 12, created: at, config: c}, "\x01\f\x85\xa0\x9d\xec\x81ӄ\x03)\x03\a\v\x0e\x02\x06Höhle\x04dark\x02de\x0exmpp:x?;node=y\x01s"},
		{&stored{id: 1, created: at, maker: 5}, "\x01\x01\x85\xa0\x9d\xec\x81ӄ\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05"},
		{&subject{text: "Spells", nick: "romeo", id: "abc", at: at}, "\x01\x85\xa0\x9d\xec\x81ӄ\x03\x06Spells\x05romeo\x03abc"},
		{&affiliate{Affiliation: Owner, nick: "x"}, "\x01\x04\x01x\x00"},
		{&vcard{hashes: []string{"ab", "cd"}, xml: []byte("<vCard/>")}, "\x01\x02\x02ab\x02cd<vCard/>"},
		{&place{cave, 12, "romeo", standing{Owner, Moderator}, true, card{[]byte(">"), 4}, nil},
			"\x01\x1bcave@conference.example.com\ti\x00\x00\x00\x00\x00\x00\x00\f\x05romeo\x04\x03\x01\x04\x01>"},
		{&place{cave, 12, "romeo", standing{Owner, Moderator}, true, card{[]byte(">"), 4}, []question{{"x", xmpp.MustJID("a@b/c"), nil, cave, "1"}}},
			"\x02\x1bcave@conference.example.com\ti\x00\x00\x00\x00\x00\x00\x00\f\x05romeo\x04\x03\x01\x04\x01>\x01\x01x\x05a@b/c\x1bcave@conference.example.com\x011"},
	} {
		if got := string(x.record.append(nil)); got != x.bytes {
			t.Errorf("%T is written as %q, not %q", x.record, got, x.bytes)
		}
	}
}

// FuzzRecords reads what may be on a disk: an error or a record that reads the same again, and no panic.
func FuzzRecords(f *testing.F) {
	f.Add((&stored{id: 1, config: DefaultConfig()}).append(nil))
	f.Add((&affiliate{Affiliation: Owner, nick: "x"}).append(nil))
	f.Add((&subject{text: "x", nick: "y"}).append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := parseAffiliate(b); err == nil {
			if again, err := parseAffiliate(a.append(nil)); err != nil || again != a {
				t.Errorf("%+v is read as %+v, %v", a, again, err)
			}
			_ = a.String()
		}
		if r, err := parseStored(b); err == nil {
			if again, err := parseStored(r.append(nil)); err != nil || !reflect.DeepEqual(again, r) {
				t.Errorf("%+v is read as %+v, %v", r, again, err)
			}
		}
		if s, err := parseSubject(b); err == nil {
			if again, err := parseSubject(s.append(nil)); err != nil || again != s {
				t.Errorf("%+v is read as %+v, %v", s, again, err)
			}
		}
		_, _ = parseWho(b)
	})
}
