package muc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"confab/xmpp"
	"confab/xmpp/form"
)

// Config is what the owners of a room decide (XEP-0045 §10.2).
type Config struct {
	Name, Description string
	Lang              string
	PubSub            string // address of a node that belongs to the room
	Persistent        bool   // stays when the last occupant leaves
	Hidden            bool   // not in the list of rooms
	MembersOnly       bool
	Moderated         bool
	NonAnonymous      bool   // everybody sees the real addresses, else moderators only
	Password          string // empty: none is needed
	AnySubject        bool   // participants may change the subject, not moderators only
	MembersInvite     bool   // members may invite into a members-only room, not admins only
	Private           Audience
	MaxOccupants      int     // 0: no limit
	History           int     // how many messages a newcomer gets at most
	Broadcast         roleSet // whose presence others see
	Lists             roleSet // who else may read the list of members
}

// Audience says who may send private messages.
type Audience uint8

// The audiences.
const (
	Anyone Audience = iota
	WithVoice
	Moderators
	Nobody
)

var audienceNames = [...]string{"anyone", "participants", "moderators", "none"}

func (a Audience) admits(r Role) bool {
	switch a {
	case Anyone:
		return true
	case WithVoice:
		return r >= Participant
	case Moderators:
		return r == Moderator
	}
	return false
}

// defaultHistory is how many messages a newcomer gets who does not say how many he wants.
const defaultHistory = 20

// maxHistory bounds what a room may promise.
const maxHistory = 250

// DefaultConfig is what a room has that nobody has configured.
func DefaultConfig() Config {
	return Config{Broadcast: allRoles, Lists: 1 << Moderator, History: 100}
}

// givenConfig is what a room of a source has.
func givenConfig(g *Given) Config {
	c := DefaultConfig()
	c.Name, c.Description, c.AnySubject = g.Name, g.Description, g.AnySubject
	c.Persistent, c.MembersOnly, c.Hidden = true, true, true
	return c
}

// The bounds of what owners write.
const (
	maxText     = 1024 // bytes of a name, a description, a password
	maxSubject  = 8 << 10
	maxNickSize = 256
)

// formConfig is the FORM_TYPE of a configuration, and what its fields begin with.
const (
	formConfig   = "http://jabber.org/protocol/muc#roomconfig"
	fieldHistory = "muc#maxhistoryfetch"
)

func fieldName(name string) string { return "muc#roomconfig_" + name }

// option is a yes or no of a configuration.
type option struct {
	name, label string
	value       *bool
	negated     bool // the field says the opposite of the value
}

func (c *Config) options() []option {
	return []option{
		{"persistentroom", "Make the room persistent?", &c.Persistent, false},
		{"publicroom", "List the room publicly?", &c.Hidden, true},
		{"membersonly", "Let members in only?", &c.MembersOnly, false},
		{"moderatedroom", "Let only those speak who were given a voice?", &c.Moderated, false},
		{"changesubject", "May participants change the subject?", &c.AnySubject, false},
		{"allowinvites", "May members invite others?", &c.MembersInvite, false},
	}
}

// line is a text of a configuration.
type line struct {
	name, label string
	value       *string
}

func (c *Config) lines() []line {
	return []line{
		{"roomname", "Name of the room", &c.Name},
		{"roomdesc", "Short description", &c.Description},
		{"lang", "Language of the discussion", &c.Lang},
		{"pubsub", "Publish-subscribe node that belongs to the room", &c.PubSub},
	}
}

// people are the owners and admins that a configuration form lists in full.
type people struct{ owners, admins []xmpp.JID }

// form is the configuration as a form (§10.1.3, §10.2).
func (c *Config) form(room xmpp.JID, p people) *form.Form {
	boolean := func(v bool) []string {
		if v {
			return []string{"1"}
		}
		return []string{"0"}
	}
	f := form.New(form.TypeForm, formConfig)
	f.Title = "Configuration of " + room.String()
	for _, l := range c.lines() {
		f.Fields = append(f.Fields, form.Field{Var: fieldName(l.name), Type: form.TextSingle, Label: l.label, Values: []string{*l.value}})
	}
	for _, o := range c.options() {
		f.Fields = append(f.Fields, form.Field{Var: fieldName(o.name), Type: form.Boolean, Label: o.label, Values: boolean(*o.value != o.negated)})
	}
	whois := "moderators"
	if c.NonAnonymous {
		whois = "anyone"
	}
	limit := "none"
	if c.MaxOccupants > 0 {
		limit = strconv.Itoa(c.MaxOccupants)
	}
	limits := []string{"10", "20", "30", "50", "100", "200", "500", "none"}
	if !slices.Contains(limits, limit) {
		limits = append(limits, limit)
	}
	f.Fields = append(f.Fields,
		form.Field{Var: fieldName("passwordprotectedroom"), Type: form.Boolean, Label: "Ask for a password?", Values: boolean(c.Password != "")},
		form.Field{Var: fieldName("roomsecret"), Type: form.TextPrivate, Label: "Password", Values: []string{c.Password}},
		list("whois", "Who sees the real addresses?", []string{whois}, "moderators", "anyone"),
		list("allowpm", "Who may send private messages?", []string{audienceNames[c.Private]}, audienceNames[:]...),
		list("maxusers", "Most occupants at a time", []string{limit}, limits...),
		form.Field{Var: fieldHistory, Type: form.TextSingle, Label: "Most messages that a newcomer is sent", Values: []string{strconv.Itoa(c.History)}},
		roles("presencebroadcast", "Whose presence do others see?", c.Broadcast),
		roles("getmemberlist", "Who else may read the list of members?", c.Lists),
		addresses("roomadmins", "Admins", p.admins),
		addresses("roomowners", "Owners", p.owners),
	)
	return f
}

func list(name, label string, values []string, options ...string) form.Field {
	f := form.Field{Var: fieldName(name), Type: form.ListSingle, Label: label, Values: values}
	for _, o := range options {
		f.Options = append(f.Options, form.Option{Label: o, Value: o})
	}
	return f
}

func roles(name, label string, s roleSet) form.Field {
	f := list(name, label, nil, "moderator", "participant", "visitor")
	f.Type = form.ListMulti
	for _, o := range f.Options {
		if r, _ := ParseRole(o.Value); s.has(r) {
			f.Values = append(f.Values, o.Value)
		}
	}
	return f
}

func addresses(name, label string, all []xmpp.JID) form.Field {
	f := form.Field{Var: fieldName(name), Type: form.JIDMulti, Label: label}
	for _, j := range all {
		f.Values = append(f.Values, j.String())
	}
	return f
}

func unacceptable(format string, args ...any) *xmpp.Error { // §10.1.3
	return xmpp.NewError(xmpp.NotAcceptable, fmt.Sprintf(format, args...))
}

// submit takes over the fields that a form has; the others stay. Fields that nobody here knows are left alone: clients
// send along what other servers have.
func (c *Config) submit(f *form.Form) error {
	if t := f.FormType(); t != formConfig && (t != "" || len(f.Fields) > 0) {
		return xmpp.NewError(xmpp.BadRequest, "the form is not one of "+formConfig)
	}
	for _, l := range c.lines() {
		if err := text(f, fieldName(l.name), l.value); err != nil {
			return err
		}
	}
	for _, o := range c.options() {
		v, ok, err := f.Bool(fieldName(o.name))
		if err != nil {
			return err
		}
		if ok {
			*o.value = v != o.negated
		}
	}
	for _, take := range []func(*form.Form) error{c.submitPassword, c.submitWhois, c.submitPrivate, c.submitLimits, c.submitRoles} {
		if err := take(f); err != nil {
			return err
		}
	}
	return nil
}

// text reads a line. Fields of several lines, as a description may come, are put together.
func text(f *form.Form, name string, value *string) error {
	if f.Field(name) == nil {
		return nil
	}
	s, _ := f.Lines(name)
	if len(s) > maxText || !utf8.ValidString(s) {
		return unacceptable("the field %s has more than %d bytes", name, maxText)
	}
	*value = s
	return nil
}

func (c *Config) submitPassword(f *form.Form) error {
	wanted, said, err := f.Bool(fieldName("passwordprotectedroom"))
	if err != nil {
		return err
	}
	secret := c.Password
	if err := text(f, fieldName("roomsecret"), &secret); err != nil {
		return err
	}
	switch {
	case said && !wanted:
		secret = ""
	case said && secret == "": // §10.1.3
		return unacceptable("a room that asks for a password needs one")
	}
	c.Password = secret
	return nil
}

func (c *Config) submitWhois(f *form.Form) error {
	v, ok, err := f.Text(fieldName("whois"))
	if !ok || err != nil {
		return err
	}
	switch v {
	case "anyone":
		c.NonAnonymous = true
	case "moderators":
		c.NonAnonymous = false
	default:
		return unacceptable("a room is not anonymous for %q", v)
	}
	return nil
}

func (c *Config) submitPrivate(f *form.Form) error {
	v, ok, err := f.Text(fieldName("allowpm"))
	if !ok || err != nil {
		return err
	}
	for i, name := range audienceNames {
		if v == name {
			c.Private = Audience(i)
			return nil
		}
	}
	return unacceptable("private messages are for anyone, participants, moderators or none, not %q", v)
}

func (c *Config) submitLimits(f *form.Form) error {
	if n, ok, err := f.Int(fieldHistory); err != nil {
		return err
	} else if ok {
		c.History = min(n, maxHistory)
	}
	v, ok, err := f.Text(fieldName("maxusers"))
	if !ok || err != nil {
		return err
	}
	if v == "none" || v == "" {
		c.MaxOccupants = 0
		return nil
	}
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil || n == 0 {
		return unacceptable("the most occupants are a number or none, not %q", v)
	}
	c.MaxOccupants = int(n)
	return nil
}

func (c *Config) submitRoles(f *form.Form) error {
	for name, set := range map[string]*roleSet{"presencebroadcast": &c.Broadcast, "getmemberlist": &c.Lists} {
		if f.Field(fieldName(name)) == nil {
			continue
		}
		var s roleSet
		for _, v := range f.Values(fieldName(name)) {
			r, ok := ParseRole(v)
			if !ok || r == NoRole {
				// XEP-0045 lists affiliations too, and other servers "none".
				continue
			}
			s |= 1 << r
		}
		*set = s
	}
	return nil
}

// submitPeople reads the full lists of owners and admins. ok says which of them the form has.
func submitPeople(f *form.Form) (p people, owners, admins bool, err error) {
	read := func(name string) (all []xmpp.JID, ok bool, err error) {
		if f.Field(fieldName(name)) == nil {
			return nil, false, nil
		}
		for _, v := range f.Values(fieldName(name)) {
			if strings.TrimSpace(v) == "" {
				continue
			}
			j, err := xmpp.ParseJID(strings.TrimSpace(v))
			if err != nil || j.Local() == "" { // a domain can be banned and nothing else
				return nil, false, unacceptable("%q is nobody's address", v)
			}
			all = append(all, j.Bare())
		}
		return all, true, nil
	}
	if p.owners, owners, err = read("roomowners"); err == nil {
		p.admins, admins, err = read("roomadmins")
	}
	return p, owners, admins, err
}
