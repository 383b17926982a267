package transfer

import (
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"confab/xmpp"
	"confab/xmpp/auth"
)

func files(m map[string]string) Files {
	dir := fstest.MapFS{}
	for name, text := range m {
		dir[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return func(name string) (io.ReadCloser, error) { return dir.Open(name) }
}

func read(text string, f Files) (users []*User, err error) {
	err = Read(strings.NewReader(text), f, func(u *User) error {
		users = append(users, u)
		return nil
	})
	return users, err
}

const open, shut = "<server-data xmlns='urn:xmpp:pie:0' xmlns:xi='http://www.w3.org/2001/XInclude'>", "</server-data>"

// The layout of §5.1: a file for all, one for each host, one for each user.
func TestIncluded(t *testing.T) {
	users, err := read(open+"<xi:include href='capulet.example.xml'/>"+shut, files(map[string]string{
		"capulet.example.xml":        "<host xmlns='urn:xmpp:pie:0' xmlns:xi='http://www.w3.org/2001/XInclude' jid='capulet.example'><xi:include href='capulet.example/juliet.xml'/></host>",
		"capulet.example/juliet.xml": "<user xmlns='urn:xmpp:pie:0' name='juliet'><v:vCard xmlns:v='vcard-temp'><v:FN xml:lang='en'>Juliet</v:FN></v:vCard></user>",
	}))
	if err != nil || len(users) != 1 || users[0].Domain != "capulet.example" || users[0].Local != "juliet" {
		t.Fatalf("%v, %v", users, err)
	}
	if got := string(users[0].Elements[0].Append(nil)); got != `<vCard xmlns='vcard-temp'><FN xml:lang='en'>Juliet</FN></vCard>` {
		t.Error(got)
	}
}

// Includes within what is a user's own are the user's own (§6).
func TestIncludeWithinData(t *testing.T) {
	users, err := read(open+"<host jid='a.example'><user name='u'><query xmlns='jabber:iq:private'><xi:include href='/etc/passwd'/></query></user></host>"+shut, files(nil))
	if err != nil || len(users) != 1 || !users[0].Elements[0].Children[0].Is(nsInclude, "include") {
		t.Errorf("%v, %v", users, err)
	}
}

func TestNotRead(t *testing.T) {
	f := files(map[string]string{
		"loop.xml": open + "<xi:include href='loop.xml'/>" + shut,
	})
	user := func(s string) string {
		return open + "<host jid='a.example'><user name='u'>" + s + "</user></host>" + shut
	}
	for what, text := range map[string]string{
		"nothing":            "",
		"no such document":   "<html/>",
		"a DOCTYPE":          "<!DOCTYPE x [<!ENTITY a 'aaaa'>]>" + open + shut,
		"an entity":          user("<vCard xmlns='vcard-temp'><FN>&a;</FN></vCard>"),
		"an end too early":   open + "<host jid='a.example'>",
		"two documents":      open + shut + open + shut,
		"a host without jid": open + "<host/>" + shut,
		"a user nameless":    open + "<host jid='a.example'><user/></host>" + shut,
		"a loop":             open + "<xi:include href='loop.xml'/>" + shut,
		"a way out":          open + "<xi:include href='../../etc/passwd'/>" + shut,
		"another host's":     open + "<xi:include href='https://example.com/x'/>" + shut,
		"an absolute path":   open + "<xi:include href='/etc/passwd'/>" + shut,
		"text":               open + "<xi:include parse='text' href='loop.xml'/>" + shut,
		"depth":              user(strings.Repeat("<a xmlns='b'>", 200) + strings.Repeat("</a>", 200)),
		"another encoding":   "<?xml version='1.0' encoding='EBCDIC'?>" + open + shut,
	} {
		if users, err := read(text, f); err == nil {
			t.Errorf("%s: %v", what, users)
		}
	}
}

// endless is a file that goes on for ever.
type endless struct {
	head io.Reader
	what string
}

func (e *endless) Read(b []byte) (int, error) {
	if n, err := e.head.Read(b); err != io.EOF {
		return n, err
	}
	return copy(b, e.what), nil
}

// What one user may have, what a name and what a text may have, is bounded.
func TestBounded(t *testing.T) {
	for what, e := range map[string]*endless{
		"an attribute": {strings.NewReader(open + "<host jid='"), strings.Repeat("a", 4096)},
		"a text":       {strings.NewReader(open + "<host jid='a.example'><user name='u'><vCard xmlns='vcard-temp'><FN>"), strings.Repeat("a", 4096)},
		"an element":   {strings.NewReader(open + "<host jid='a.example'><user name='u'><vCard xmlns='vcard-temp'>"), strings.Repeat("<FN>a</FN>", 400)},
		"a user":       {strings.NewReader(open + "<host jid='a.example'><user name='u'>"), strings.Repeat("<vCard xmlns='vcard-temp'><FN>a</FN></vCard>", 100)},
		"a comment":    {strings.NewReader(open + "<!--"), strings.Repeat("a", 4096)},
	} {
		rd := &reader{limits: limits{1 << 20, 1 << 20}, fn: func(*User) error { return nil }}
		if err := rd.document(e, ".", scope{}); err == nil {
			t.Errorf("%s was read to its end", what)
		}
	}
}

// What is not taken is counted.
func TestPassed(t *testing.T) {
	users, err := read(open+"<host jid='a.example'><x xmlns='other'>x</x><user name='u'>"+
		"<offline-messages><message xmlns='jabber:client'/><message xmlns='jabber:client'/></offline-messages>"+
		"<archive xmlns='urn:xmpp:pie:0#mam'><result xmlns='urn:xmpp:mam:2'/></archive>"+
		"<scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-MD5'/></user></host>"+shut, nil)
	if err != nil || len(users) != 1 {
		t.Fatal(err)
	}
	u, err := ReadUser("a.example", string(users[0].Append(nil))) // as it goes to the server
	if err != nil {
		t.Fatal(err)
	}
	if keys := u.Keys(); keys != nil || u.Passed["offline messages"] != 2 || u.Passed["messages of the history"] != 1 || u.Passed["credentials"] != 1 {
		t.Errorf("%v, %v", keys, u.Passed)
	}
}

// What is written is read again as it was.
func TestWrittenAndRead(t *testing.T) {
	keys := auth.Keys{{Hash: auth.SHA256, Iterations: 10000, Salt: []byte("salt"), StoredKey: make([]byte, 32), ServerKey: make([]byte, 32)}}
	p := Profile{Name: "Romeo & <Juliet>", Groups: []string{"A", "B"}, Hidden: true}
	text := string(AppendHead(nil)) + string(AppendHost(nil, "a.example")) + string(AppendUser(nil, "o\\27brien", p, keys, []byte("<vCard xmlns='vcard-temp'/>"))) + HostEnd + End
	users, err := read(text, nil)
	if err != nil || len(users) != 1 {
		t.Fatal(err)
	}
	u := users[0]
	if got := u.Keys(); len(got) != 1 || got[0].Iterations != 10000 || string(got[0].Salt) != "salt" {
		t.Errorf("%v", got)
	}
	if got := u.Profile(); got.Name != p.Name || len(got.Groups) != 2 || !got.Hidden || got.Admin {
		t.Errorf("%+v", got)
	}
	if u.Local != "o\\27brien" || len(u.Elements) != 1 || !u.Elements[0].Is(xmpp.NSVCard, "vCard") {
		t.Errorf("%+v", u)
	}
}

// FuzzRead: whatever a file has in it is read or refused, and what was read can
// be handed on.
func FuzzRead(f *testing.F) {
	f.Add(open + "<host jid='a.example'><user name='u' password='p'><query xmlns='jabber:iq:roster'><item jid='b@c'/></query></user></host>" + shut)
	f.Add(open + "<xi:include href='a.xml'/>" + shut)
	f.Add(open + "<host jid='a'><user name='u'><a:b xmlns:a='c' d:e='f' xmlns:d='g' xml:lang='h'>t<![CDATA[<]]></a:b></user></host>" + shut)
	f.Add(open + "<host jid='a'><user name='u' password='scram:AA==,AA==,AA==,1'><scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-SHA-1'/></user></host>" + shut)
	f.Fuzz(func(t *testing.T, text string) {
		none := func(string) (io.ReadCloser, error) { return nil, fs.ErrNotExist }
		err := Read(strings.NewReader(text), none, func(u *User) error {
			again, err := ReadUser(u.Domain, string(u.Append(nil)))
			if err != nil {
				t.Errorf("%q: %v", text, err)
				return errors.New("stop")
			}
			if again.Local != u.Local || again.Password != u.Password {
				t.Errorf("%q became %q", u.Local, again.Local)
			}
			again.Keys()
			again.Profile()
			return nil
		})
		_ = err
	})
}
