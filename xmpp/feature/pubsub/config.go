package pubsub

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"confab/xmpp"
	"confab/xmpp/form"
)

// Access says who may read a node and is told of what happens in it (XEP-0060
// §4.5). The owner always may.
type Access string

const (
	Presence  Access = "presence"  // who sees the owner's presence
	Roster    Access = "roster"    // those of them who are in certain groups of the owner's roster
	Whitelist Access = "whitelist" // members of the node
	Open      Access = "open"      // everybody
	Authorize Access = "authorize" // whom an owner has let in
)

// Publishing says who may publish besides owners and publishers (pubsub#publish_model).
type Publishing string

const (
	ByPublishers  Publishing = "" // nobody
	BySubscribers Publishing = "subscribers"
	ByAll         Publishing = "open"
)

// When the last item is sent without being asked for (XEP-0060 §17.4.4,
// pubsub#send_last_published_item).
const (
	lastNever    = "never"
	lastOnSub    = "on_sub"
	lastPresence = "on_sub_and_presence"
)

// maxExpire is the longest time after which items go by themselves, in seconds.
const maxExpire = 1 << 30

// Config is the configuration of a node (XEP-0060 §8.2).
type Config struct {
	Title         string     `json:"title,omitempty"`
	Description   string     `json:"description,omitempty"`
	Type          string     `json:"type,omitempty"`
	Access        Access     `json:"access"`
	Publishing    Publishing `json:"publishing,omitempty"`
	Expire        int        `json:"expire,omitempty"` // seconds; 0: never
	Groups        []string   `json:"groups,omitempty"`
	Transient     bool       `json:"transient,omitempty"`
	MaxItems      int        `json:"max"` // 0: as many as the server allows
	MaxPayload    int        `json:"maxPayload,omitempty"`
	Mute          bool       `json:"mute,omitempty"`       // nobody is told
	NoPayloads    bool       `json:"noPayloads,omitempty"` // what they are told has no payload
	NotifyConfig  bool       `json:"notifyConfig,omitempty"`
	NotifySub     bool       `json:"notifySub,omitempty"` // owners are told of subscribers
	QuietDelete   bool       `json:"quietDelete,omitempty"`
	QuietRetract  bool       `json:"quietRetract,omitempty"`
	NoSubscribing bool       `json:"noSubscribing,omitempty"`
	Last          string     `json:"last"`
	Normal        bool       `json:"normal,omitempty"` // notifications are messages of type normal, not headline
}

// Standard is what PEP prescribes (XEP-0163 §5).
func Standard() Config { return Config{Access: Presence, MaxItems: 1, Last: lastPresence} }

// Private is what XEP-0223 prescribes, for nodes of many items.
func Private() Config { return Config{Access: Whitelist, Last: lastNever} }

// shared is how a node of the service begins (XEP-0060 §4.5: open; §4.3, since
// last-published is announced: on_sub_and_presence).
func shared() Config { return Config{Access: Open, Last: lastPresence} }

// Quiet returns the configuration for a node whose last item is not sent unasked.
func (c Config) Quiet() Config {
	c.Last = lastNever
	return c
}

// initial is how a node begins, as far as who makes it says nothing else.
func (p *PubSub) initial(h *home, name string) Config {
	switch {
	case h.isService():
		return shared()
	case p.hooks.Initial != nil:
		return p.hooks.Initial(name)
	}
	return Standard()
}

// alone refuses a configuration that shows others what is its user's alone.
func (p *PubSub) alone(h *home, name string, c *Config) error {
	if h.isService() || p.hooks.Alone == nil || !p.hooks.Alone(name) {
		return nil
	}
	if c.Access != Whitelist || c.Publishing != ByPublishers {
		return unacceptable("this node is its owner's alone")
	}
	return nil
}

// Names of the forms (XEP-0060 §17.4).
const (
	formConfig   = xmpp.NSPubSub + "#node_config"
	formOptions  = xmpp.NSPubSub + "#publish-options"
	formMetadata = xmpp.NSPubSub + "#meta-data"
	formApproval = xmpp.NSPubSub + "#subscribe_authorization"
)

// setting is a field of the configuration form.
type setting struct {
	name, kind, label string
	options           []string
	get               func(*Config) []string
	set               func(*Config, *form.Form, string) error
}

// boolean makes the setting of a flag; negated says that the flag is kept as its opposite.
func boolean(name, label string, at func(*Config) *bool, negated bool) setting {
	return setting{name, form.Boolean, label, nil,
		func(c *Config) []string { return []string{strconv.FormatBool(*at(c) != negated)} },
		func(c *Config, f *form.Form, name string) error {
			v, ok, err := f.Bool(name)
			if ok {
				*at(c) = v != negated
			}
			return err
		}}
}

// text makes the setting of a short text.
func text(name, label string, at func(*Config) *string) setting {
	return setting{name, form.TextSingle, label, nil,
		func(c *Config) []string {
			if *at(c) == "" {
				return nil
			}
			return []string{*at(c)}
		},
		func(c *Config, f *form.Form, name string) error {
			v, _, err := f.Text(name)
			if len(v) > maxText {
				return unacceptable("the field %s is too long", name)
			}
			if err == nil {
				*at(c) = v
			}
			return err
		}}
}

// choice makes the setting of one value out of several.
func choice(name, label string, options []string, get func(*Config) string, set func(*Config, string)) setting {
	return setting{name, form.ListSingle, label, options,
		func(c *Config) []string { return []string{get(c)} },
		func(c *Config, f *form.Form, name string) error {
			v, ok, err := f.Text(name)
			switch {
			case err != nil || !ok:
				return err
			case !slices.Contains(options, v):
				text := "the field " + name + " has none of the values that are possible: " + strings.Join(options, ", ")
				if name == fieldAccess { // XEP-0060 §8.1.2
					return Refusal(xmpp.NotAcceptable, "unsupported-access-model", text)
				}
				return xmpp.NewError(xmpp.NotAcceptable, text)
			}
			set(c, v)
			return nil
		}}
}

// number makes the setting of a number up to most, which is written max.
func number(name, label string, most int, at func(*Config) *int) setting {
	return setting{name, form.TextSingle, label, nil,
		func(c *Config) []string {
			if *at(c) == 0 {
				return []string{"max"}
			}
			return []string{strconv.Itoa(*at(c))}
		},
		func(c *Config, f *form.Form, name string) error {
			v, ok, err := f.Text(name)
			if err != nil || !ok {
				return err
			}
			if v == "max" {
				*at(c) = 0
				return nil
			}
			n, _, err := f.Int(name)
			switch {
			case err != nil:
				return err
			case n > most:
				return unacceptable("the field %s is at most %d", name, most)
			case n == most:
				n = 0
			case n == 0:
				return unacceptable("the field %s is at least 1", name)
			}
			*at(c) = n
			return nil
		}}
}

// payloadSize is number, and always written as one: "max" is for the numbers that
// config-node-max is about, and clients read no other (XEP-0060 §17.3).
func payloadSize() setting {
	s := number("pubsub#max_payload_size", "The maximum payload size in bytes", MaxPayload, func(c *Config) *int { return &c.MaxPayload })
	s.get = func(c *Config) []string { return []string{strconv.Itoa(c.maxPayload())} }
	return s
}

const fieldAccess = "pubsub#access_model"

// settings are the fields of the form, in its order.
var settings = []setting{
	text("pubsub#title", "A friendly name for the node", func(c *Config) *string { return &c.Title }),
	text("pubsub#description", "A description of the node", func(c *Config) *string { return &c.Description }),
	text("pubsub#type", "The type of node data", func(c *Config) *string { return &c.Type }),
	choice("pubsub#node_type", "Whether the node is a leaf", []string{"leaf"},
		func(*Config) string { return "leaf" }, func(*Config, string) {}),
	choice(fieldAccess, "Who may subscribe and retrieve items",
		[]string{string(Presence), string(Roster), string(Whitelist), string(Authorize), string(Open)},
		func(c *Config) string { return string(c.Access) }, func(c *Config, v string) { c.Access = Access(v) }),
	{"pubsub#roster_groups_allowed", form.ListMulti, "The roster groups allowed to subscribe and retrieve items", nil,
		func(c *Config) []string { return c.Groups },
		func(c *Config, f *form.Form, name string) error {
			groups := slices.Compact(slices.Sorted(slices.Values(f.Values(name))))
			if len(groups) > maxGroups || slices.ContainsFunc(groups, func(g string) bool { return len(g) > maxText }) {
				return unacceptable("the field %s is too long", name)
			}
			c.Groups = groups
			return nil
		}},
	choice("pubsub#publish_model", "Who may publish", []string{"publishers", string(BySubscribers), string(ByAll)},
		func(c *Config) string { return c.publishModel() },
		func(c *Config, v string) {
			if c.Publishing = Publishing(v); v == "publishers" {
				c.Publishing = ByPublishers
			}
		}),
	boolean("pubsub#persist_items", "Persist items to storage", func(c *Config) *bool { return &c.Transient }, true),
	number("pubsub#max_items", "How many items are kept", MaxItems, func(c *Config) *int { return &c.MaxItems }),
	number("pubsub#item_expire", "Seconds after which items go by themselves", maxExpire, func(c *Config) *int { return &c.Expire }),
	payloadSize(),
	choice("pubsub#send_last_published_item", "When to send the last published item",
		[]string{lastNever, lastOnSub, lastPresence},
		func(c *Config) string { return c.Last }, func(c *Config, v string) { c.Last = v }),
	boolean("pubsub#deliver_notifications", "Deliver event notifications", func(c *Config) *bool { return &c.Mute }, true),
	boolean("pubsub#deliver_payloads", "Deliver payloads with event notifications", func(c *Config) *bool { return &c.NoPayloads }, true),
	boolean("pubsub#notify_config", "Notify subscribers when the node configuration changes", func(c *Config) *bool { return &c.NotifyConfig }, false),
	boolean("pubsub#notify_sub", "Notify owners about new subscribers and unsubscribes", func(c *Config) *bool { return &c.NotifySub }, false),
	boolean("pubsub#notify_delete", "Notify subscribers when the node is deleted", func(c *Config) *bool { return &c.QuietDelete }, true),
	boolean("pubsub#notify_retract", "Notify subscribers when items are removed from the node", func(c *Config) *bool { return &c.QuietRetract }, true),
	choice("pubsub#notification_type", "The type of notifications", []string{"headline", "normal"},
		func(c *Config) string {
			if c.Normal {
				return "normal"
			}
			return "headline"
		}, func(c *Config, v string) { c.Normal = v == "normal" }),
	boolean("pubsub#subscribe", "Whether to allow subscriptions", func(c *Config) *bool { return &c.NoSubscribing }, true),
}

func findSetting(name string) *setting {
	for i := range settings {
		if settings[i].name == name {
			return &settings[i]
		}
	}
	return nil
}

// limit is how many items a node keeps.
func (c *Config) limit() int {
	if c.MaxItems == 0 {
		return MaxItems
	}
	return c.MaxItems
}

func (c *Config) maxPayload() int {
	if c.MaxPayload == 0 {
		return MaxPayload
	}
	return c.MaxPayload
}

func (c *Config) publishModel() string {
	if c.Publishing == ByPublishers {
		return "publishers"
	}
	return string(c.Publishing)
}

// expired reports whether an item is older than the node is to keep.
func (c *Config) expired(published, now time.Time) bool {
	return c.Expire > 0 && now.Sub(published) >= time.Duration(c.Expire)*time.Second
}

// form is the configuration as a form.
func (c *Config) form(kind string) *form.Form {
	f := form.New(kind, formConfig)
	for i := range settings {
		s := &settings[i]
		field := form.Field{Var: s.name, Values: s.get(c)}
		if kind == form.TypeForm {
			field.Type, field.Label = s.kind, s.label
			for _, o := range s.options {
				field.Options = append(field.Options, form.Option{Value: o})
			}
		}
		f.Fields = append(f.Fields, field)
	}
	return f
}

// with returns the configuration as a submitted form changes it. Fields that
// the form does not have stay; those that are not known are left alone
// (XEP-0004 §3.2).
func (c Config) with(f *form.Form) (Config, error) {
	for i := range f.Fields {
		if s := findSetting(f.Fields[i].Var); s != nil {
			if err := s.set(&c, f, s.name); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

// differs names the first field in which the configuration is not what the
// options ask for (XEP-0060 §7.1.5). Only the fields that are given count.
func (c Config) differs(options *form.Form) (field string, err error) {
	asked, err := c.with(options)
	if err != nil {
		return "", err
	}
	for i := range options.Fields {
		if s := findSetting(options.Fields[i].Var); s != nil && !slices.Equal(s.get(&c), s.get(&asked)) {
			return s.name, nil
		}
	}
	return "", nil
}

// parseForm reads a form that was submitted in an element, nil if there is none.
// cancelled says that it takes the request back.
func parseForm(in *xmpp.Node, formType string) (f *form.Form, cancelled bool, err error) {
	x := in.Child(xmpp.NSDataForms, "x")
	if x == nil {
		return nil, false, nil
	}
	if f, err = form.Parse(x); err != nil {
		return nil, false, err
	}
	switch {
	case f.Type == form.TypeCancel:
		return nil, true, nil
	case f.Type != form.TypeSubmit:
		return nil, false, xmpp.NewError(xmpp.BadRequest, "a form of the type submit was expected")
	}
	// XEP-0068 §3.1: who does not say it means what it can only be.
	if t := f.FormType(); t != "" && t != formType {
		return nil, false, xmpp.NewError(xmpp.BadRequest, "the form is for something else: "+t)
	}
	return f, false, nil
}

// ParseOptions reads publish-options. XEP-0060 §7.1.5: what is not known cannot
// be checked, and is refused.
func ParseOptions(pubsub *xmpp.Node) (*form.Form, error) {
	o := pubsub.Child("", "publish-options")
	if o == nil {
		return nil, nil
	}
	f, _, err := parseForm(o, formOptions)
	if err != nil || f == nil {
		return nil, err
	}
	for i := range f.Fields {
		if name := f.Fields[i].Var; name != "" && name != form.FormType && findSetting(name) == nil {
			return nil, xmpp.NewError(xmpp.BadRequest, "there is no such option: "+name)
		}
	}
	return f, nil
}

func unacceptable(format string, args ...any) *xmpp.Error {
	return xmpp.NewError(xmpp.NotAcceptable, fmt.Sprintf(format, args...))
}

// Refusal is an error with a condition of its own (XEP-0060 §12).
func Refusal(c xmpp.Condition, condition, text string) *xmpp.Error {
	return xmpp.NewError(c, text).WithApp("<" + condition + " xmlns='" + xmpp.NSPubSubErr + "'/>")
}

func unsupported(feature string) *xmpp.Error {
	return xmpp.NewError(xmpp.FeatureNotImplemented, "").
		WithApp("<unsupported xmlns='" + xmpp.NSPubSubErr + "' feature='" + feature + "'/>")
}

// anonymous reports that what is published has neither payload nor id (XEP-0060 §4.3).
func (c *Config) anonymous() bool { return c.Transient && c.NoPayloads }

// ParseConfig reads a configuration that is submitted, nil if there is none or it
// is cancelled.
func ParseConfig(about *xmpp.Node) (*form.Form, error) {
	f, _, err := parseForm(about, formConfig)
	return f, err
}

// AppendConfiguration appends the answer to an owner who asks how a node is configured.
func AppendConfiguration(dst []byte, node string, c Config) []byte {
	dst = append(dst, "<pubsub xmlns='"+xmpp.NSPubSubOwn+"'><configure"...)
	dst = append(xmpp.AppendAttr(dst, "node", node), '>')
	return append(c.form(form.TypeForm).Append(dst), "</configure></pubsub>"...)
}
