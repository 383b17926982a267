package pubsub

import (
	"fmt"
	"strings"
	"testing"

	"confab/xmpp"
)

// The example of XEP-0115 §5.2.
const exodus = `<query xmlns='http://jabber.org/protocol/disco#info'>
	<identity category='client' name='Exodus 0.9.1' type='pc'/>
	<feature var='http://jabber.org/protocol/caps'/>
	<feature var='http://jabber.org/protocol/disco#info'/>
	<feature var='http://jabber.org/protocol/disco#items'/>
	<feature var='http://jabber.org/protocol/muc'/>
</query>`

// The example of XEP-0115 §5.3.
const psi = `<query xmlns='http://jabber.org/protocol/disco#info'>
	<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>
	<identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>
	<feature var='http://jabber.org/protocol/caps'/>
	<feature var='http://jabber.org/protocol/disco#info'/>
	<feature var='http://jabber.org/protocol/disco#items'/>
	<feature var='http://jabber.org/protocol/muc'/>
	<x xmlns='jabber:x:data' type='result'>
		<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>
		<field var='ip_version' type='text-multi'><value>ipv4</value><value>ipv6</value></field>
		<field var='os'><value>Mac</value></field>
		<field var='os_version'><value>10.5.1</value></field>
		<field var='software'><value>Psi</value></field>
		<field var='software_version'><value>0.11</value></field>
	</x>
</query>`

func verify(t *testing.T, info, hash string) (string, bool) {
	t.Helper()
	n, err := xmpp.ParseNode([]byte(info))
	if err != nil {
		t.Fatal(err)
	}
	return verification(n, hash)
}

func TestVerification(t *testing.T) {
	for info, want := range map[string]string{exodus: "QgayPKawpkPSDYmwT/WM94uAlu0=", psi: "q07IKJEyjvHSyhy//CH0CxmKi8w="} {
		if got, ok := verify(t, info, "sha-1"); got != want || !ok {
			t.Errorf("%q, %v", got, ok)
		}
	}
	if got, ok := verify(t, exodus, "sha-256"); len(got) != 44 || !ok {
		t.Errorf("sha-256: %q, %v", got, ok)
	}
	if _, ok := verify(t, exodus, "md2"); ok {
		t.Error("a hash that is not known was computed")
	}
}

// §5.4, what makes an answer ill-formed. The last one is the attack of §10: a
// word that reads like two.
func TestIllFormed(t *testing.T) {
	form := "<x xmlns='jabber:x:data' type='result'><field var='FORM_TYPE' type='hidden'><value>urn:a</value></field></x>"
	for name, more := range map[string]string{
		"identity twice": "<identity category='client' name='Exodus 0.9.1' type='pc'/>",
		"feature twice":  "<feature var='http://jabber.org/protocol/muc'/>",
		"form twice":     form + form,
		"two purposes":   strings.Replace(form, "</value>", "</value><value>urn:b</value>", 1),
		"an end inside":  "<feature var='a&lt;b'/>",
	} {
		if ver, ok := verify(t, strings.Replace(exodus, "</query>", more+"</query>", 1), "sha-1"); ok {
			t.Errorf("%s: %s", name, ver)
		}
	}
	// A form that does not count changes nothing.
	open := strings.Replace(form, "hidden", "text-single", 1)
	if ver, ok := verify(t, strings.Replace(exodus, "</query>", open+"</query>", 1), "sha-1"); !ok || ver != "QgayPKawpkPSDYmwT/WM94uAlu0=" {
		t.Error(ver, ok)
	}
}

func TestWants(t *testing.T) {
	var b strings.Builder
	b.WriteString("<query xmlns='http://jabber.org/protocol/disco#info'><feature var='+notify'/><feature var='b+notify'/><feature var='a+notify'/><feature var='a+notify'/><feature var='c'/>")
	for range 1000 {
		b.WriteString("<feature var='b+notify'/>")
	}
	b.WriteString("<feature var='" + strings.Repeat("x", maxName+1) + "+notify'/></query>")
	n, err := xmpp.ParseNode([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if got := wants(n); len(got) != 2 || got[0] != "a" || got[1] != "b" {
		t.Errorf("%q", got)
	}
}

// What is remembered of a client is bounded, however long the names are.
func TestWantsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("<query xmlns='http://jabber.org/protocol/disco#info'>")
	for i := range maxNotify {
		fmt.Fprintf(&b, "<feature var='%0*d+notify'/>", maxName, i)
	}
	n, err := xmpp.ParseNode([]byte(b.String() + "<feature var='urn:mood+notify'/></query>"))
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, name := range wants(n) {
		size += len(name)
	}
	if size == 0 || size > maxWanted {
		t.Errorf("%d bytes", size)
	}
}

func FuzzVerification(f *testing.F) {
	f.Add([]byte(exodus))
	f.Add([]byte(psi))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := xmpp.ParseNode(b)
		if err != nil {
			return
		}
		ver, ok := verification(n, "sha-1")
		if ok != (len(ver) == 28) {
			t.Errorf("%q, %v", ver, ok)
		}
		if got := wants(n); len(got) > maxNotify {
			t.Errorf("%d nodes", len(got))
		}
	})
}

func FuzzItem(f *testing.F) {
	it := Item{ID: "1", Publisher: "romeo@example.com", Payload: []byte("<x/>")}
	f.Add(it.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		it, err := decodeItem(itemKey(1, 2, 3), b)
		if err != nil {
			return
		}
		if it.seq != 3 || string(it.encode()) != string(b) {
			t.Errorf("%x became %x", b, it.encode())
		}
	})
}
