package adhoc

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/form"
)

// refusal is a bad-request with one of the conditions of §4.4.
func refusal(condition, text string) error {
	return xmpp.NewError(xmpp.BadRequest, text).WithApp("<" + condition + " xmlns='" + xmpp.NSCommands + "'/>")
}

// request is a <command/> as somebody sends it.
type request struct {
	node, action, id string
	hasID            bool
	form             *form.Form // nil: none
}

func parse(n *xmpp.Node) (r request, err error) {
	r = request{node: n.Attr("node"), action: n.Attr("action")}
	r.id, r.hasID = n.Lookup("sessionid")
	switch r.action {
	case "":
		r.action = "execute"
	case "execute", "cancel", "prev", "next", "complete":
	default:
		return r, refusal("malformed-action", "there is no such action")
	}
	if r.node == "" {
		return r, xmpp.NewError(xmpp.BadRequest, "a command has a node")
	}
	if lang, ok := n.LookupNS(xmpp.NSXML, "lang"); ok && !isLanguage(lang) {
		return r, refusal("bad-locale", "this is no language")
	}
	for _, c := range n.Children {
		if !c.Is(xmpp.NSDataForms, "x") {
			continue // nothing else is asked for
		}
		if r.form != nil {
			return r, refusal("bad-payload", "there are two forms")
		}
		if r.form, err = form.Parse(c); err != nil {
			return r, badPayload(err)
		}
		if r.form.Type != form.TypeSubmit && r.form.Type != form.TypeCancel { // §3.5.1: a cancel is to count as a submit
			return r, refusal("bad-payload", "the form is not submitted")
		}
	}
	return r, nil
}

// badPayload says what is wrong with a form.
func badPayload(err error) error {
	var e *xmpp.Error
	if errors.As(err, &e) {
		return refusal("bad-payload", e.Text)
	}
	return err
}

// isLanguage reports whether s has the form of a language tag (RFC 5646 §2.1). Any will do: what is not
// understood is answered in English, since a refusal would shut out every client that says where its user comes from.
func isLanguage(s string) bool {
	for part := range strings.SplitSeq(s, "-") {
		if part == "" || len(part) > 8 || strings.ContainsFunc(part, func(c rune) bool {
			return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
		}) {
			return false
		}
	}
	return true
}

// command answers a <command/>. An error says to what, as in the examples of
// the specification (§3.7); COMPAT(slixmpp 1.8), which finds the execution by it.
func (e *engine) command(q *feature.Query, dst []byte) ([]byte, error) {
	r, err := parse(q.Payload.Node())
	if err == nil {
		dst, err = e.answer(q, r, dst)
	}
	var refused *xmpp.Error
	if !errors.As(err, &refused) {
		return dst, err
	}
	told := *refused
	told.Payload = append([]byte("<command xmlns='"), xmpp.NSCommands+"'"...)
	told.Payload = xmpp.AppendAttr(told.Payload, "node", r.node)
	if r.hasID {
		told.Payload = xmpp.AppendAttr(told.Payload, "sessionid", r.id)
	}
	told.Payload = append(told.Payload, "/>"...)
	return nil, &told
}

func (e *engine) answer(q *feature.Query, r request, dst []byte) ([]byte, error) {
	if lang := string(q.Stanza.Lang); lang != "" && !isLanguage(lang) {
		return nil, refusal("bad-locale", "this is no language")
	}
	c := e.find(r.node, q.Where)
	if c == nil {
		return nil, xmpp.NewError(xmpp.ItemNotFound, "there is no such command")
	}
	if err := may(q, c); err != nil {
		return nil, err
	}
	if !r.hasID {
		if r.action != "execute" {
			return nil, refusal("bad-action", "a command begins with execute")
		}
		return e.begin(q, c, dst)
	}
	x, err := e.take(q, r)
	if err != nil {
		return nil, err
	}
	return e.proceed(q, x, r, dst)
}

// begin starts a command.
func (e *engine) begin(q *feature.Query, c *feature.Command, dst []byte) ([]byte, error) {
	x := &execution{id: e.newID(q, c), who: q.From, at: q.To, command: c}
	if len(c.Steps) == 0 {
		return run(q, x, dst)
	}
	if err := x.ask(q); err != nil {
		return nil, err
	}
	if err := e.put(x); err != nil {
		return nil, err
	}
	return x.appendForm(dst), nil
}

// proceed goes on with a command, which nobody else has while that lasts.
func (e *engine) proceed(q *feature.Query, x *execution, r request, dst []byte) ([]byte, error) {
	last := len(x.answers) == len(x.command.Steps)-1
	action := r.action
	if action == "execute" { // §3.4: it stands for what <actions/> said
		if action = "next"; last {
			action = "complete"
		}
	}
	var err error
	switch {
	case action == "cancel":
		return append(x.open(dst, "canceled"), "/>"...), nil
	case action == "prev" && len(x.answers) > 0:
		x.back()
	case action == "next" && !last, action == "complete" && last:
		if err = x.take(r.form); err != nil {
			break
		}
		if !last {
			err = x.ask(q)
		} else if dst, err = run(q, x, dst); err == nil {
			return dst, nil
		}
		if err != nil {
			x.answers = x.answers[:len(x.answers)-1]
		}
	default:
		err = refusal("bad-action", "this cannot be done now")
	}
	if again := e.put(x); err == nil {
		err = again
	}
	if err != nil {
		return nil, err
	}
	return x.appendForm(dst), nil
}

// ask makes the form of the next step.
func (x *execution) ask(q *feature.Query) error {
	f, err := x.command.Steps[len(x.answers)](&feature.Execution{Query: q, Answers: x.answers})
	if err == nil {
		x.asked = append(x.asked, f)
	}
	return err
}

// take takes the answer to the form that waits.
func (x *execution) take(answer *form.Form) error {
	if answer == nil {
		return refusal("bad-payload", "the form is missing")
	}
	if err := x.asked[len(x.asked)-1].Check(answer); err != nil {
		return badPayload(err)
	}
	x.answers = append(x.answers, answer)
	return nil
}

// back returns to the step before, whose form has what was filled in there.
func (x *execution) back() {
	x.asked = x.asked[:len(x.asked)-1]
	last := len(x.answers) - 1
	f := x.asked[len(x.asked)-1]
	for i := range f.Fields {
		if had := x.answers[last].Field(f.Fields[i].Var); had != nil && f.Fields[i].Type != form.Fixed && f.Fields[i].Type != form.TextPrivate {
			f.Fields[i].Values = had.Values
		}
	}
	x.answers = x.answers[:last]
}

func run(q *feature.Query, x *execution, dst []byte) ([]byte, error) {
	out, err := x.command.Run(&feature.Execution{Query: q, Answers: x.answers})
	if err != nil {
		return nil, err
	}
	dst = append(x.open(dst, "completed"), '>')
	for _, n := range out.Notes {
		dst = append(xmpp.AppendAttr(append(dst, "<note"...), "type", string(n.Severity)), '>')
		dst = append(xmpp.AppendText(dst, n.Text), "</note>"...)
	}
	if out.Form != nil {
		dst = out.Form.Append(dst)
	}
	dst = append(dst, out.Payload...)
	return append(dst, "</command>"...), nil
}

// open begins an answer, without the end of its first tag.
func (x *execution) open(dst []byte, status string) []byte {
	dst = append(dst, "<command xmlns='"+xmpp.NSCommands+"' xml:lang='en'"...)
	dst = xmpp.AppendAttr(dst, "node", x.command.Node)
	dst = xmpp.AppendAttr(dst, "sessionid", x.id)
	return xmpp.AppendAttr(dst, "status", status)
}

// appendForm appends the form that waits, and what may be done with it (§3.4).
func (x *execution) appendForm(dst []byte) []byte {
	dst = append(x.open(dst, "executing"), '>')
	forward := "next"
	if len(x.answers) == len(x.command.Steps)-1 {
		forward = "complete"
	}
	dst = append(dst, "<actions execute='"+forward+"'>"...)
	if len(x.answers) > 0 {
		dst = append(dst, "<prev/>"...)
	}
	dst = append(dst, "<"+forward+"/></actions>"...)
	return append(x.asked[len(x.asked)-1].Append(dst), "</command>"...)
}

// newID makes the id of an execution.
func (e *engine) newID(q *feature.Query, c *feature.Command) string {
	var random [16]byte
	rand.Read(random[:])
	return base64.RawURLEncoding.EncodeToString(append(random[:], e.sign(random[:], q, c.Node)...))
}

func (e *engine) sign(random []byte, q *feature.Query, node string) []byte {
	h := hmac.New(sha256.New, e.key[:])
	h.Write(random)
	for _, s := range []string{q.From.String(), q.To.String(), node} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	return h.Sum(nil)[:16]
}

// gave reports whether this server gave that id to that client for that command.
func (e *engine) gave(q *feature.Query, r request) bool {
	b, err := base64.RawURLEncoding.DecodeString(r.id)
	return err == nil && len(b) == 32 && hmac.Equal(b[16:], e.sign(b[:16], q, r.node))
}

// take takes an execution out, so that two requests at a time cannot go on with it.
func (e *engine) take(q *feature.Query, r request) (*execution, error) {
	if !e.gave(q, r) {
		return nil, refusal("bad-sessionid", "there is no such execution")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	x := e.running[r.id]
	delete(e.running, r.id)
	if x == nil || e.host.Now().Sub(x.touched) > e.opts.Lifetime {
		return nil, xmpp.NewError(xmpp.NotAllowed, "this execution is over: begin again").
			WithApp("<session-expired xmlns='" + xmpp.NSCommands + "'/>")
	}
	return x, nil
}

// put has an execution wait for its next answer.
func (e *engine) put(x *execution) error {
	x.touched = e.host.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	var own []*execution
	for _, o := range e.running {
		if o.who.Bare() == x.who.Bare() {
			own = append(own, o)
		}
	}
	if len(own) >= e.opts.PerUser {
		oldest := slices.MinFunc(own, func(a, b *execution) int { return a.touched.Compare(b.touched) })
		delete(e.running, oldest.id)
	}
	if len(e.running) >= e.opts.Total {
		for id, o := range e.running {
			if x.touched.Sub(o.touched) > e.opts.Lifetime {
				delete(e.running, id)
			}
		}
	}
	if len(e.running) >= e.opts.Total {
		return xmpp.NewError(xmpp.ResourceConstraint, "too many commands are under way")
	}
	e.running[x.id] = x
	return nil
}
