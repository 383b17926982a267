package archive

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"confab/archive/search"
	"confab/xmpp"
	"confab/xmpp/form"
)

// Request is <query xmlns='urn:xmpp:mam:2'/> as a peer sends it.
type Request struct {
	Query
	QueryID string
	Node    string // of XEP-0442; empty in archives of messages
}

// What queries may ask for besides what XEP-0313 says; disco#info announces it.
const (
	NSFulltext = "urn:xmpp:fulltext:0" // XEP-0431
	NSFiles    = "urn:confab:mam:0"    // our own: the field {urn:confab:mam:0}files, a boolean; true: only messages that name files
)

const (
	fieldText  = "{" + NSFulltext + "}fulltext"
	fieldFiles = "{" + NSFiles + "}files"
)

// maxIDs bounds how many messages one query may name.
const maxIDs = 1000

func badRequest(text string) *xmpp.Error { return xmpp.NewError(xmpp.BadRequest, text) }

// ParseRequest reads a query (XEP-0313 §4). Everything but the element itself may be missing. The error is an
// *xmpp.Error for the peer. The owner is for the caller to fill in.
func ParseRequest(n *xmpp.Node) (Request, error) {
	r := Request{QueryID: n.Attr("queryid"), Node: n.Attr("node")}
	q := &r.Query
	if x := n.Child(xmpp.NSDataForms, "x"); x != nil {
		f, err := form.Parse(x)
		if err != nil {
			return r, err
		}
		if err := q.readForm(f); err != nil {
			return r, err
		}
	}
	rsm, err := form.ParseRSM(n.Child(xmpp.NSRSM, "set"))
	if err != nil {
		return r, err
	}
	if err := q.readRSM(rsm); err != nil {
		return r, err
	}
	q.Flip = n.Child(xmpp.NSMAM, "flip-page") != nil
	return r, nil
}

func (q *Query) readForm(f *form.Form) error {
	// Fields may come without their type, and the form without its FORM_TYPE.
	if f.Type != "submit" {
		return badRequest("the form is to be of the type submit")
	}
	var seen []string
	for i := range f.Fields {
		field := &f.Fields[i]
		if len(field.Values) == 0 {
			continue
		}
		if slices.Contains(seen, field.Var) {
			return badRequest("the field " + field.Var + " is there twice")
		}
		seen = append(seen, field.Var)
		if len(field.Values) > 1 && field.Var != "ids" {
			return badRequest("the field " + field.Var + " has one value")
		}
		if err := q.readField(field.Var, field.Values); err != nil {
			return err
		}
	}
	return nil
}

func (q *Query) readField(name string, values []string) (err error) {
	value := values[0]
	switch name {
	case "FORM_TYPE":
		if value != xmpp.NSMAM {
			return badRequest("the form is not one of " + xmpp.NSMAM)
		}
	case "with":
		if q.With, err = xmpp.ParseJID(value); err != nil {
			return badRequest("with is no address")
		}
	case "start":
		q.Start, err = parseStamp(value)
	case "end":
		q.End, err = parseStamp(value)
	case "after-id":
		q.AfterID, err = parseKnownID(value)
	case "before-id":
		q.BeforeID, err = parseKnownID(value)
	case "ids":
		if len(values) > maxIDs {
			return xmpp.NewError(xmpp.PolicyViolation, "at most "+strconv.Itoa(maxIDs)+" ids in one query")
		}
		for _, v := range values {
			id, err := parseKnownID(v)
			if err != nil {
				return err
			}
			q.IDs = append(q.IDs, id)
		}
	case "include-groupchat":
		// XEP-0313 §4.1.4: archives of people hold nothing that was said in rooms, so both answers are alike.
		_, err = parseBool(name, value)
	case fieldText: // XEP-0431 §3.1; empty it is no condition
		if value != "" {
			q.Text, err = search.Parse(value)
		}
	case fieldFiles:
		q.Files, err = parseBool(name, value)
	default:
		// XEP-0313 §4.1.5
		return xmpp.NewError(xmpp.FeatureNotImplemented, "there is no field "+name)
	}
	return err
}

// parseBool reads a boolean field (XEP-0004 §3.3).
func parseBool(name, value string) (bool, error) {
	switch value {
	case "1", "true":
		return true, nil
	case "0", "false":
		return false, nil
	}
	return false, badRequest(name + " is true or false")
}

func (q *Query) readRSM(r form.RSM) (err error) {
	if r.Max == 0 {
		q.None = true
	}
	q.Max = max(0, r.Max)
	if r.HasAfter && r.After != "" {
		if q.After, err = parseKnownID(r.After); err != nil {
			return err
		}
	}
	if r.HasBefore {
		q.Last = true
		if r.Before != "" {
			if q.Before, err = parseKnownID(r.Before); err != nil {
				return err
			}
		}
	}
	if r.Index >= 0 {
		q.HasIndex, q.Index = true, r.Index
	}
	return nil
}

// parseKnownID reads an id that a peer refers to. What is no id of ours is the id of no message.
func parseKnownID(s string) (uint64, error) {
	id, ok := ParseID(s)
	if !ok || id == 0 || id == maxID {
		return 0, errUnknownID
	}
	return id, nil
}

// parseStamp reads a DateTime of XEP-0082 §3.2. time.Parse is laxer: it takes a comma for a point, and one digit for an hour.
func parseStamp(s string) (time.Time, error) {
	const shape = "dddd-dd-ddTdd:dd:dd"
	ok := len(s) > len(shape) && !strings.Contains(s, ",")
	for i := 0; ok && i < len(shape); i++ {
		if shape[i] == 'd' {
			ok = s[i] >= '0' && s[i] <= '9'
		} else {
			ok = s[i] == shape[i]
		}
	}
	if ok {
		if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, badRequest("not a date and time as XEP-0082 has it: " + s)
}

// AppendFin appends the payload that ends a query (XEP-0313 §4.4).
func AppendFin(dst []byte, r Result) []byte {
	dst = append(dst, "<fin xmlns='urn:xmpp:mam:2'"...)
	if r.Complete {
		dst = append(dst, " complete='true'"...)
	}
	dst = append(dst, '>')
	set := form.RSMResult{Index: r.Index, Count: r.Count}
	if r.Backward {
		// COMPAT(slixmpp 1.8): its iterator ends at a page that reaches the last message, also when it is paging back and
		// that is the first page. It cannot tell if it is not told the index, which is optional.
		set.Index = -1
	}
	if r.First != 0 {
		set.First, set.Last = FormatID(r.First), FormatID(r.Last)
	}
	return append(set.Append(dst), "</fin>"...)
}

// AppendFields appends the answer to the question which fields a query may have (XEP-0313 §4.1.5).
func AppendFields(dst []byte) []byte {
	return append(dst, "<query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='form'>"+
		"<field type='hidden' var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>"+
		"<field type='jid-single' var='with'/>"+
		"<field type='text-single' var='start'/>"+
		"<field type='text-single' var='end'/>"+
		"<field type='text-single' var='before-id'/>"+
		"<field type='text-single' var='after-id'/>"+
		"<field type='list-multi' var='ids'><validate xmlns='http://jabber.org/protocol/xdata-validate' datatype='xs:string'><open/></validate></field>"+
		"<field type='boolean' var='include-groupchat'/>"+
		"<field type='text-single' var='"+fieldText+"'/>"+
		"<field type='boolean' var='"+fieldFiles+"'/>"+
		"</x></query>"...)
}

// AppendMetadata appends what an archive spans (XEP-0313 §5).
func AppendMetadata(dst []byte, first, last uint64) []byte {
	if first == 0 {
		return append(dst, "<metadata xmlns='urn:xmpp:mam:2'/>"...)
	}
	dst = append(dst, "<metadata xmlns='urn:xmpp:mam:2'>"...)
	for _, end := range []struct {
		name string
		id   uint64
	}{{"start", first}, {"end", last}} {
		dst = append(append(append(dst, '<'), end.name...), " id='"...)
		dst = append(AppendID(dst, end.id), "' timestamp='"...)
		dst = append(AppendStamp(dst, IDTime(end.id)), "'/>"...)
	}
	return append(dst, "</metadata>"...)
}

// AppendPrefs appends what is kept: everything (XEP-0441 §2).
func AppendPrefs(dst []byte) []byte {
	return append(dst, "<prefs xmlns='urn:xmpp:mam:2' default='always'><always/><never/></prefs>"...)
}
