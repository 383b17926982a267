package bosh

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"

	"confab/xmpp"
)

// The namespaces of the wrapper.
const (
	NS     = "http://jabber.org/protocol/httpbind" // XEP-0124
	NSXMPP = "urn:xmpp:xbosh"                      // XEP-0206
)

// condition is why a session is terminated (XEP-0124 §17.2).
type condition string

const (
	none                   condition = ""
	badRequest             condition = "bad-request"
	hostGone               condition = "host-gone"
	hostUnknown            condition = "host-unknown"
	improperAddressing     condition = "improper-addressing"
	internalServerError    condition = "internal-server-error"
	itemNotFound           condition = "item-not-found"
	policyViolation        condition = "policy-violation"
	remoteConnectionFailed condition = "remote-connection-failed"
	remoteStreamError      condition = "remote-stream-error"
	systemShutdown         condition = "system-shutdown"
)

// body is a request's <body/> (XEP-0124 §6).
type body struct {
	sid       string
	rid       uint64
	key, next string // of a sequence of keys (§15)
	terminate bool
	restart   bool // XEP-0206 §5
	pause     int  // seconds, -1: not asked for
	ack       uint64

	node     *xmpp.Node // the wrapper, without its children
	payloads [][]byte
}

// maxRID is the largest rid (XEP-0124 §14.1).
const maxRID = 1<<53 - 1

var errBody = errors.New("bosh: not a body")

// declarationRoom bounds by how much payloads become longer when what the wrapper declares is repeated in each.
const declarationRoom = 64 << 10

// parse reads a request. What it returns shares nothing with b.
func parse(b []byte, limit int) (*body, error) {
	b = bytes.TrimLeft(b, " \t\r\n")
	if bytes.HasPrefix(b, []byte("<?xml ")) {
		end := bytes.Index(b, []byte("?>"))
		if end < 0 {
			return nil, errBody
		}
		b = bytes.TrimLeft(b[end+2:], " \t\r\n")
	}
	b = bytes.Clone(b)
	var st xmpp.Stanza
	lexer := xmpp.NewLexer(xmpp.Limits{Bytes: limit, Depth: 65, Attrs: 64, Children: 1024, NameBytes: 512})
	n, err := lexer.Next(b, &st)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(b[n:])) > 0 || !st.Is(NS, "body") {
		return nil, errBody
	}
	p := &body{node: wrapper(&st), pause: -1}
	if err := p.attributes(); err != nil {
		return nil, err
	}
	outer := declarations(b[:tagLength(b)])
	size := 0
	for i := range st.Children {
		text := standalone(st.Children[i].Raw, outer)
		if size += len(text); size > 2*limit+declarationRoom {
			return nil, errBody
		}
		p.payloads = append(p.payloads, text)
	}
	return p, nil
}

// wrapper is the tree of a <body/> that is taken for empty.
func wrapper(st *xmpp.Stanza) *xmpp.Node {
	tag := st.Raw[:tagLength(st.Raw)]
	empty := append(bytes.Clone(bytes.TrimRight(tag[:len(tag)-1], "/")), "/>"...)
	n, err := xmpp.ParseNode(empty)
	if err != nil {
		return &xmpp.Node{Space: NS, Local: "body"}
	}
	return n
}

func (p *body) attributes() (err error) {
	n := p.node
	p.sid, p.key, p.next = n.Attr("sid"), n.Attr("key"), n.Attr("newkey")
	if p.rid, err = strconv.ParseUint(n.Attr("rid"), 10, 64); err != nil || p.rid > maxRID {
		return errBody
	}
	switch n.Attr("type") {
	case "terminate":
		p.terminate = true
	case "":
	default: // §17.3: clients have no errors to report that could be mended
		return errBody
	}
	if text, ok := n.Lookup("pause"); ok {
		if p.pause, err = strconv.Atoi(text); err != nil || p.pause < 0 {
			return errBody
		}
	}
	if text, ok := n.Lookup("ack"); ok {
		if p.ack, err = strconv.ParseUint(text, 10, 64); err != nil {
			return errBody
		}
	}
	restart, _ := n.LookupNS(NSXMPP, "restart")
	p.restart = restart == "true" || restart == "1"
	return nil
}

// opening is the element that opens a stream as the wrapper asks for it.
func (p *body) opening() []byte {
	b := []byte("<open xmlns='" + xmpp.NSFraming + "'")
	b = xmpp.AppendAttr(b, "to", p.node.Attr("to"))
	if from, ok := p.node.Lookup("from"); ok {
		b = xmpp.AppendAttr(b, "from", from)
	}
	version, ok := p.node.LookupNS(NSXMPP, "version")
	if !ok { // XEP-0206 §3 has it as a SHOULD
		version = "1.0"
	}
	b = xmpp.AppendAttr(b, "version", version)
	if lang, ok := p.node.LookupNS(xmpp.NSXML, "lang"); ok {
		b = xmpp.AppendAttr(b, "xml:lang", lang)
	}
	return append(b, "/>"...)
}

// empty reports whether the request only asks what there is.
func (p *body) empty() bool { return len(p.payloads) == 0 && !p.restart && !p.terminate && p.pause < 0 }

// tagLength is how long the start tag is that b begins with; the lexer took it.
func tagLength(b []byte) int {
	var quote byte
	for i, c := range b {
		switch {
		case quote == 0 && c == '>':
			return i + 1
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case c == quote:
			quote = 0
		}
	}
	return len(b)
}

// declaration binds a prefix.
type declaration struct{ prefix, text string }

// declarations lists the prefixes that a start tag binds; the lexer took it.
func declarations(tag []byte) (list []declaration) {
	for rest := tag; ; {
		before, after, ok := bytes.Cut(rest, []byte{'='})
		if !ok {
			return list
		}
		value := bytes.TrimLeft(after, " \t\r\n")
		end := bytes.IndexByte(value[1:], value[0]) + 2
		name := bytes.TrimRight(before, " \t\r\n")
		name = name[bytes.LastIndexAny(name, " \t\r\n")+1:]
		if prefix, ok := bytes.CutPrefix(name, []byte("xmlns:")); ok {
			list = append(list, declaration{string(prefix), " " + string(name) + "=" + string(value[:end])})
		}
		rest = value[end:]
	}
}

// standalone is an element with the declarations from outside that it may need.
// Its default namespace, if it has none of its own, is jabber:client: many clients
// leave that out (XEP-0206 §2).
func standalone(raw []byte, outer []declaration) []byte {
	tag := raw[:tagLength(raw)]
	name := bytes.IndexAny(tag, " \t\r\n/>")
	own := declarations(tag)
	b := append([]byte(nil), raw[:name]...)
	for _, d := range outer {
		hidden := slices.ContainsFunc(own, func(o declaration) bool { return o.prefix == d.prefix })
		if !hidden && bytes.Contains(raw, []byte(d.prefix+":")) {
			b = append(b, d.text...)
		}
	}
	return append(b, raw[name:]...)
}

// opens tells whether a key is that before another in their sequence (§15.4).
func opens(key, after string) bool {
	sum := sha1.Sum([]byte(key))
	return key != "" && strings.EqualFold(hex.EncodeToString(sum[:]), after)
}

// answer writes a <body/> with attributes, which are escaped, around payloads.
func answer(attributes string, payloads []byte) []byte {
	b := []byte("<body xmlns='" + NS + "'" + attributes)
	if bytes.Contains(payloads, []byte("<stream:")) { // XEP-0206 §2
		b = append(b, " xmlns:stream='"+xmpp.NSStream+"'"...)
	}
	if len(payloads) == 0 {
		return append(b, "/>"...)
	}
	b = append(append(b, '>'), payloads...)
	return append(b, "</body>"...)
}

// terminal writes the <body/> that ends a session.
func terminal(c condition, payloads []byte) []byte {
	if c == none {
		return answer(" type='terminate'", payloads)
	}
	return answer(" type='terminate' condition='"+string(c)+"'", payloads)
}

// recoverable is what a request hears in whose place its copy has come (§14.3, §17.3).
var recoverable = answer(" type='error'", nil)
