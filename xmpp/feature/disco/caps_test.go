package disco

import (
	"crypto/sha1"
	"encoding/base64"
	"testing"

	"confab/xmpp"
)

// XEP-0115 §5.2 and §5.3; and, computed by hand as §5.1 has it, an answer in
// which names begin with one another.
func TestVerification(t *testing.T) {
	const vars = "<feature var='http://jabber.org/protocol/muc'/><feature var='http://jabber.org/protocol/disco#items'/>" +
		"<feature var='http://jabber.org/protocol/disco#info'/><feature var='http://jabber.org/protocol/caps'/>"
	for _, test := range []struct{ inside, want string }{
		{"<identity category='client' type='pc' name='Exodus 0.9.1'/>" + vars, "QgayPKawpkPSDYmwT/WM94uAlu0="},
		{"<identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>" +
			"<identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>" + vars +
			"<x xmlns='jabber:x:data' type='result'>" +
			"<field var='software'><value>Psi</value></field>" +
			"<field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>" +
			"<field var='ip_version' type='text-multi'><value>ipv6</value><value>ipv4</value></field>" +
			"<field var='os'><value>Mac</value></field><field var='os_version'><value>10.5.1</value></field>" +
			"<field var='software_version'><value>0.11</value></field></x>", "q07IKJEyjvHSyhy//CH0CxmKi8w="},
		{"<identity category='a-b' type='x'/><identity category='a' type='x'/><feature var='urn:m#extended'/><feature var='urn:m'/>" +
			"<x xmlns='jabber:x:data'><field var='FORM_TYPE'><value>t-u</value></field><field var='v-w'/><field var='v'/></x>" +
			"<x xmlns='jabber:x:data'><field var='FORM_TYPE'><value>t</value></field></x>",
			sum("a/x//<a-b/x//<urn:m<urn:m#extended<t<t-u<v<v-w<")},
	} {
		n, err := xmpp.ParseNode([]byte("<query xmlns='http://jabber.org/protocol/disco#info'>" + test.inside + "</query>"))
		if err != nil {
			t.Fatal(err)
		}
		if got := verification(n); got != test.want {
			t.Errorf("%s, not %s", got, test.want)
		}
	}
}

func sum(s string) string {
	h := sha1.Sum([]byte(s))
	return base64.StdEncoding.EncodeToString(h[:])
}
