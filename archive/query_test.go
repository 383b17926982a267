package archive

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"confab/xmpp"
	"confab/xmpp/xmpptest"
)

func query(inside string) string {
	return "<query xmlns='urn:xmpp:mam:2' queryid='q1'>" + inside + "</query>"
}

func fields(inside string) string {
	return query("<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>" + inside + "</x>")
}

func rsm(inside string) string {
	return query("<set xmlns='http://jabber.org/protocol/rsm'>" + inside + "</set>")
}

func parse(t testing.TB, s string) (Request, error) {
	t.Helper()
	n, err := xmpp.ParseNode([]byte(s))
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return ParseRequest(n)
}

func TestParseRequest(t *testing.T) {
	id := FormatID(77)
	day := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	for i, test := range []struct {
		xml  string
		want Query
	}{
		0:  {query(""), Query{}},
		1:  {"<query xmlns='urn:xmpp:mam:2' queryid='q1'/>", Query{}},
		2:  {fields(""), Query{}},
		3:  {query("<x xmlns='jabber:x:data' type='submit'><field var='with'><value>juliet@EXAMPLE.com/x</value></field></x>"), Query{With: xmpp.MustJID("juliet@example.com/x")}},
		4:  {fields("<field var='start' type='text-single'><value>2024-05-06T07:08:09Z</value></field>"), Query{Start: day}},
		5:  {fields("<field var='end'><value>2024-05-06T09:08:09.000001+02:00</value></field>"), Query{End: day.Add(time.Microsecond)}},
		6:  {fields("<field var='after-id'><value>" + id + "</value></field><field var='before-id'><value>" + id + "</value></field>"), Query{AfterID: 77, BeforeID: 77}},
		7:  {fields("<field var='ids' type='list-multi'><value>" + id + "</value><value>" + FormatID(78) + "</value></field>"), Query{IDs: []uint64{77, 78}}},
		8:  {fields("<field var='include-groupchat'><value>true</value></field>"), Query{}},
		9:  {fields("<field var='with'/>"), Query{}},
		10: {rsm("<max>10</max>"), Query{Max: 10}},
		11: {rsm("<max>0</max>"), Query{None: true}},
		12: {rsm("<max>10</max><before/>"), Query{Max: 10, Last: true}},
		13: {rsm("<before>" + id + "</before>"), Query{Last: true, Before: 77}},
		14: {rsm("<after>" + id + "</after>"), Query{After: 77}},
		15: {rsm("<index>3</index>"), Query{HasIndex: true, Index: 3}},
		16: {query("<flip-page/>"), Query{Flip: true}},
	} {
		got, err := parse(t, test.xml)
		got.Start, got.End = got.Start.UTC(), got.End.UTC()
		if test.want.Start.IsZero() {
			got.Start = test.want.Start
		}
		if test.want.End.IsZero() {
			got.End = test.want.End
		}
		if err != nil || !reflect.DeepEqual(got.Query, test.want) || got.QueryID != "q1" {
			t.Errorf("%d: %s\n got %+v, %v\nwant %+v", i, test.xml, got, err, test.want)
		}
	}
}

func TestParseRequestRefuses(t *testing.T) {
	value := func(name, v string) string {
		return fields("<field var='" + name + "'><value>" + v + "</value></field>")
	}
	for i, test := range []struct {
		xml  string
		want xmpp.Condition
	}{
		0:  {value("with", "@"), xmpp.BadRequest},
		1:  {value("with", ""), xmpp.BadRequest},
		2:  {value("start", "yesterday"), xmpp.BadRequest},
		3:  {value("start", "2024-05-06"), xmpp.BadRequest},
		4:  {value("start", "2024-05-06T07:08:09"), xmpp.BadRequest},
		5:  {value("start", "2024-05-06T07:08:09,5Z"), xmpp.BadRequest},
		6:  {value("start", "2024-05-06T7:08:09Z"), xmpp.BadRequest},
		7:  {value("end", "2024-13-06T07:08:09Z"), xmpp.BadRequest},
		8:  {value("after-id", "nonsense"), xmpp.ItemNotFound},
		9:  {value("before-id", FormatID(0)), xmpp.ItemNotFound},
		10: {value("ids", "x"), xmpp.ItemNotFound},
		11: {value("include-groupchat", "maybe"), xmpp.BadRequest},
		12: {value("{http://example.com/}free-text-search", "x"), xmpp.FeatureNotImplemented},
		13: {value("FORM_TYPE", "urn:xmpp:mam:2"), xmpp.BadRequest},
		14: {query("<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:1</value></field></x>"), xmpp.BadRequest},
		15: {query("<x xmlns='jabber:x:data' type='result'/>"), xmpp.BadRequest},
		16: {fields("<field var='with'><value>a@example.com</value><value>b@example.com</value></field>"), xmpp.BadRequest},
		17: {rsm("<max>many</max>"), xmpp.BadRequest},
		18: {rsm("<after>x</after>"), xmpp.ItemNotFound},
		19: {rsm("<before>x</before>"), xmpp.ItemNotFound},
		20: {value("ids", strings.Repeat("</value><value>"+FormatID(5), maxIDs+1)), ""},
	} {
		_, err := parse(t, test.xml)
		var peer *xmpp.Error
		if !errors.As(err, &peer) || test.want != "" && peer.Condition != test.want {
			t.Errorf("%d: %.300s: %v, want %s", i, test.xml, err, test.want)
		}
	}
}

func same(t *testing.T, got []byte, want string) {
	t.Helper()
	g, err := xmpptest.Canonical(string(got))
	if err != nil {
		t.Fatalf("%s: %v", got, err)
	}
	w, err := xmpptest.Canonical(want)
	if err != nil {
		t.Fatalf("%s: %v", want, err)
	}
	if g != w {
		t.Errorf("got  %s\nwant %s", g, w)
	}
}

func TestAnswers(t *testing.T) {
	same(t, AppendFin(nil, Result{First: 1, Last: 2, Index: 3, Count: 9}),
		"<fin xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><first index='3'>0000000000001</first><last>0000000000002</last><count>9</count></set></fin>")
	same(t, AppendFin(nil, Result{First: 1, Last: 2, Index: 3, Count: 9, Backward: true}),
		"<fin xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'><first>0000000000001</first><last>0000000000002</last><count>9</count></set></fin>")
	same(t, AppendFin(nil, Result{Index: -1, Complete: true}),
		"<fin xmlns='urn:xmpp:mam:2' complete='true'><set xmlns='http://jabber.org/protocol/rsm'><count>0</count></set></fin>")
	same(t, AppendMetadata(nil, 0, 0), "<metadata xmlns='urn:xmpp:mam:2'/>")
	same(t, AppendMetadata(nil, 1_700_000_000_000_001, 1_700_000_000_500_000),
		"<metadata xmlns='urn:xmpp:mam:2'><start id='"+FormatID(1_700_000_000_000_001)+"' timestamp='2023-11-14T22:13:20.000001Z'/>"+
			"<end id='"+FormatID(1_700_000_000_500_000)+"' timestamp='2023-11-14T22:13:20.500000Z'/></metadata>")
	for _, b := range [][]byte{AppendFields(nil), AppendPrefs(nil)} {
		if _, err := xmpp.ParseNode(b); err != nil {
			t.Errorf("%s: %v", b, err)
		}
	}
}

func TestAppendResult(t *testing.T) {
	d := Delivery{From: jids[juliet], To: xmpp.MustJID("juliet@example.com/balcony"), QueryID: "a'b"}
	it := Item{ID: 1_700_000_000_000_001, Stanza: []byte("<message xmlns='jabber:client' from='bob@example.com/x' to='sales@example.com' type='chat'><body>quote</body></message>"),
		Edit: xmpp.Edit{From: xmpp.MustJID("sales@example.com/bob"), To: jids[juliet], Label: "Bob"}}
	b, err := d.AppendResult([]byte("<a/>"), &it)
	if err != nil {
		t.Fatal(err)
	}
	same(t, b, "<a/><message from='juliet@example.com' to='juliet@example.com/balcony'><result xmlns='urn:xmpp:mam:2' queryid=\"a'b\" id='"+FormatID(it.ID)+"'>"+
		"<forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2023-11-14T22:13:20.000001Z'/>"+
		"<message xmlns='jabber:client' from='sales@example.com/bob' to='juliet@example.com' type='chat'><body>Bob: quote</body></message>"+
		"</forwarded></result></message>")
	it.Stanza = []byte("<message>")
	if b, err := d.AppendResult([]byte("<a/>"), &it); err == nil || string(b) != "<a/>" {
		t.Errorf("a damaged stanza: %s, %v", b, err)
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add(query(""))
	f.Add(fields("<field var='with'><value>juliet@example.com</value></field><field var='start'><value>2024-05-06T07:08:09Z</value></field>"))
	f.Add(fields("<field var='ids' type='list-multi'><value>" + FormatID(5) + "</value><value/></field>"))
	f.Add(fields("<field var='{urn:xmpp:fulltext:0}fulltext'><value>Nguyễn \"der Brief\" lun</value></field><field var='{urn:confab:mam:0}files'><value>1</value></field>"))
	f.Add(rsm("<max>10</max><before/><index>1</index>"))
	f.Fuzz(func(t *testing.T, s string) {
		n, err := xmpp.ParseNode([]byte(s))
		if err != nil {
			return
		}
		r, err := ParseRequest(n)
		var peer *xmpp.Error
		if err != nil && !errors.As(err, &peer) {
			t.Errorf("%s: %v is not for the peer", s, err)
		}
		if err == nil && (r.Max < 0 || r.Index < 0 || len(r.IDs) > maxIDs) {
			t.Errorf("%s: %+v", s, r)
		}
	})
}
