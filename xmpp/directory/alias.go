package directory

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"confab/xmpp"
	"confab/xmpp/picture"
)

// Kind says how people meet in an alias.
type Kind string

const (
	ContactAlias Kind = "contact" // it is in rosters like a person
	RoomAlias    Kind = "room"    // it is a group room
)

// Alias is a mail alias as a conversation of its members, at one moment. An *Alias that a Directory returned never
// changes, a change makes a new one. Aliases share the localparts and the IDs with users.
type Alias struct {
	ID          ID
	JID         xmpp.JID // the bare address
	Domain      string
	Local       string // as it is in the JID
	Name        string // what clients show, may be empty
	Description string
	Kind        Kind
	Everyone    bool // its members are all users of the domain; Members are others besides
	Members     []Member
	Settings    AliasSettings
	Avatar      Avatar

	Created time.Time
	Deleted time.Time // not zero: a tombstone

	// Former is the localpart before the last change of name at Renamed.
	Former  string
	Renamed time.Time

	picture []byte // the avatar's, on its way to disk
}

// Avatar names the picture of an alias. Its bytes are on disk, see Directory.AliasPicture.
type Avatar struct {
	Known bool   `json:"known,omitempty"` // it was said once what it is, or that there is none
	Hash  string `json:"hash,omitempty"`  // see picture.Picture; empty: there is none
	Type  string `json:"type,omitempty"`
	Size  int    `json:"size,omitempty"` // bytes
}

// SetAvatar gives the alias another picture, nil: none. It is for UpdateAlias.
func (a *Alias) SetAvatar(p *picture.Picture) {
	if a.Avatar, a.picture = (Avatar{Known: true}), nil; p != nil {
		a.Avatar, a.picture = Avatar{true, p.Hash(), p.Type, len(p.Data)}, p.Data
	}
}

// Shown is what people are shown as the alias's name.
func (a *Alias) Shown() string {
	if a.Name != "" {
		return a.Name
	}
	return xmpp.UnescapeLocal(a.Local)
}

// MemberKind says what a Member is.
type MemberKind byte

const (
	UserMember     MemberKind = 'u' // a user of the domain, by ID
	AliasMember    MemberKind = 'a' // an alias of the domain, by ID: all its members
	ForeignMember  MemberKind = 'x' // somebody by an xmpp: address, on another server
	ExternalMember MemberKind = 'm' // a mail address, which has no chat; it counts as a user's once there is one
)

// Member is an entry in the list of an alias.
type Member struct {
	Kind      MemberKind
	ID        ID     // of a user or an alias
	Address   string // of others
	Moderator bool
	Since     time.Time
}

func (m *Member) same(o *Member) bool {
	return m.Kind == o.Kind && m.ID == o.ID && m.Address == o.Address
}

// AliasSettings are the knobs of an alias. The zero value of each is its default.
type AliasSettings struct {
	Visible   string `json:"visible,omitempty"`
	Post      string `json:"post,omitempty"`
	Label     string `json:"label,omitempty"`
	Guests    string `json:"guests,omitempty"`
	Offline   string `json:"offline,omitempty"`
	Presence  string `json:"presence,omitempty"`
	History   string `json:"history,omitempty"`
	Subject   string `json:"subject,omitempty"`
	Announce  string `json:"announce,omitempty"`
	MaxFanout int    `json:"max_fanout,omitempty"`
}

// DefaultMaxFanout is how many people an alias may reach.
const DefaultMaxFanout = 500

// Knob is one of the settings that are words.
type Knob struct {
	Name   string
	Values []string // the first is the default
	Help   string
	of     func(*AliasSettings) *string
}

// Of returns the value that s has, the default if none is set.
func (k *Knob) Of(s *AliasSettings) string {
	if v := *k.of(s); v != "" {
		return v
	}
	return k.Values[0]
}

// Set sets the value.
func (k *Knob) Set(s *AliasSettings, v string) error {
	if !slices.Contains(k.Values, v) {
		return refuse(ErrName, "%s is one of %s, not %q", k.Name, strings.Join(k.Values, ", "), v)
	}
	if *k.of(s) = v; v == k.Values[0] {
		*k.of(s) = ""
	}
	return nil
}

// The values of the knobs.
const (
	VisibleDomain, VisibleMembers, VisibleHidden    = "domain", "members", "hidden"
	PostDomain, PostMembers, PostAdmins             = "domain", "members", "admins"
	LabelAuto, LabelAlways, LabelNever              = "auto", "always", "never"
	On, Off                                         = "on", "off"
	OfflineKeep, OfflineSkip                        = "keep", "skip"
	PresenceAggregate, PresenceAlways, PresenceNone = "aggregate", "always", "none"
	HistoryFull, HistorySinceJoin                   = "full", "since-join"
	SubjectModerators, SubjectMembers               = "moderators", "members"
)

// Knobs are all settings that are words.
var Knobs = []*Knob{
	{"visible", []string{VisibleDomain, VisibleMembers, VisibleHidden}, "who has it in the contact list, or finds the room", func(s *AliasSettings) *string { return &s.Visible }},
	{"post", []string{PostDomain, PostMembers, PostAdmins}, "who may write to it", func(s *AliasSettings) *string { return &s.Post }},
	{"label", []string{LabelAuto, LabelAlways, LabelNever}, "the writer's name before what is written; auto: if three or more can write", func(s *AliasSettings) *string { return &s.Label }},
	{"guests", []string{On, Off}, "answers reach who is no member and wrote in the last 24 hours", func(s *AliasSettings) *string { return &s.Guests }},
	{"offline", []string{OfflineKeep, OfflineSkip}, "skip: members who are away get nothing as long as others are there", func(s *AliasSettings) *string { return &s.Offline }},
	{"presence", []string{PresenceAggregate, PresenceAlways, PresenceNone}, "when it is shown as online", func(s *AliasSettings) *string { return &s.Presence }},
	{"history", []string{HistoryFull, HistorySinceJoin}, "what new members of a room may read", func(s *AliasSettings) *string { return &s.History }},
	{"subject", []string{SubjectModerators, SubjectMembers}, "who may set the subject of a room", func(s *AliasSettings) *string { return &s.Subject }},
	{"announce", []string{Off, On}, "what is written is an announcement of the operator", func(s *AliasSettings) *string { return &s.Announce }},
}

// KnobNamed returns the knob of a name, nil if there is none.
func KnobNamed(name string) *Knob {
	for _, k := range Knobs {
		if k.Name == name {
			return k
		}
	}
	return nil
}

// Get returns the value of the knob of that name.
func (s *AliasSettings) Get(knob string) string { return KnobNamed(knob).Of(s) }

// Fanout is how many people the alias may reach.
func (s *AliasSettings) Fanout() int {
	if s.MaxFanout > 0 {
		return s.MaxFanout
	}
	return DefaultMaxFanout
}

const (
	maxDescription = 1024
	maxEntries     = 20_000
	maxAddress     = 320 // RFC 5321 §4.5.3.1, and some more
)

// tidy brings what somebody wrote into a into the form in which it is kept.
func (a *Alias) tidy() error {
	j, err := address(a.Local, a.Domain)
	if err != nil {
		return err
	}
	a.JID, a.Local, a.Domain = j, j.Local(), j.Domain()
	a.Name, a.Description = Clean(a.Name), Clean(a.Description)
	switch {
	case utf8.RuneCountInString(a.Name) > maxNameRunes:
		return refuse(ErrName, "the display name of %s is longer than %d characters", j, maxNameRunes)
	case len(a.Description) > maxDescription:
		return refuse(ErrName, "the description of %s is longer than %d bytes", j, maxDescription)
	case len(a.Members) > maxEntries:
		return refuse(ErrTooMany, "%s has more than %d entries", j, maxEntries)
	case a.Settings.MaxFanout < 0:
		return refuse(ErrName, "max_fanout is no negative number")
	}
	if a.Kind == "" {
		a.Kind = ContactAlias
	}
	if a.Kind != ContactAlias && a.Kind != RoomAlias {
		return refuse(ErrName, "an alias is a %s or a %s, not %q", ContactAlias, RoomAlias, a.Kind)
	}
	for _, k := range Knobs {
		if err := k.Set(&a.Settings, k.Of(&a.Settings)); err != nil {
			return fmt.Errorf("%s: %w", j, err)
		}
	}
	return nil
}

// Alias returns the alias with the address j, bare or full, nil if there is none.
func (d *Directory) Alias(j xmpp.JID) *Alias {
	if v, ok := d.aliases.byJID.Load(j.Bare()); ok {
		return v.(*Alias)
	}
	return nil
}

// ResolveAlias is Alias, but also finds one that had the address until lately, if nobody else has it now.
func (d *Directory) ResolveAlias(j xmpp.JID) *Alias {
	if a := d.Alias(j); a != nil {
		return a
	}
	v, ok := d.aliases.former.Load(j.Bare())
	if !ok || d.User(j) != nil {
		return nil
	}
	a := d.AliasByID(v.(ID))
	if a == nil || a.Former != j.Local() || d.options.Clock.Now().Sub(a.Renamed) > d.options.Forward {
		return nil
	}
	return a
}

// WasAlias reports whether the last alias of an address that nobody has now was deleted.
func (d *Directory) WasAlias(j xmpp.JID) bool {
	_, was := d.aliases.gone.Load(j.Bare())
	return was && d.User(j) == nil && d.Alias(j) == nil
}

// AliasByID returns the alias with this id, nil if there is none or it was deleted.
func (d *Directory) AliasByID(id ID) *Alias {
	if a := d.AliasTombstone(id); a != nil && a.Deleted.IsZero() {
		return a
	}
	return nil
}

// AliasTombstone is AliasByID, but also finds aliases that were deleted.
func (d *Directory) AliasTombstone(id ID) *Alias {
	if v, ok := d.aliases.byID.Load(id); ok {
		return v.(*Alias)
	}
	return nil
}

// FindAlias finds the alias of a domain that somebody means by a name: the localpart, or all of the address.
func (d *Directory) FindAlias(domain, name string) *Alias {
	j, err := d.LoginJID(domain, name)
	if err != nil {
		return nil
	}
	return d.ResolveAlias(j)
}

// Aliases returns the aliases of a domain in the order of their localparts, not to be changed, and the revision that
// they have: each change of an alias moves it up by AliasStep at least.
func (m *Domain) Aliases() ([]*Alias, uint64) {
	s := m.aliases.Load()
	return s.all, s.revision
}

// AliasStep is how far apart two revisions of a domain's aliases are: what follows from one change for several lists can
// be numbered in between.
const AliasStep = 1 << 20

// aliasSnapshot is a domain's aliases at one moment.
type aliasSnapshot struct {
	revision uint64
	all      []*Alias
}

// aliasConversations is a domain that nobody can have (RFC 2606 §2).
const aliasConversations = "alias.invalid"

// Conversation names the conversation with an alias in people's histories. It stays when the alias gets another address,
// and is never that of another alias.
func (a *Alias) Conversation() xmpp.JID {
	j, _ := xmpp.NewJID(strconv.FormatUint(uint64(a.ID), 10), aliasConversations, "")
	return j
}

// Conversation returns what names the conversation with an address in people's histories: of an alias its Conversation,
// with the resource if j has one, and of anything else j itself.
func (d *Directory) Conversation(j xmpp.JID) xmpp.JID {
	if j.Local() == "" || d.Domain(j.Domain()) == nil || d.User(j) != nil {
		return j
	}
	a := d.ResolveAlias(j)
	if a == nil {
		return j
	}
	return withResource(a.Conversation(), j)
}

// Spoken is the reverse of Conversation: the address that an alias has, or had when it was deleted.
func (d *Directory) Spoken(j xmpp.JID) xmpp.JID {
	if j.Domain() != aliasConversations {
		return j
	}
	id, err := strconv.ParseUint(j.Local(), 10, 64)
	if err != nil {
		return j
	}
	a := d.AliasTombstone(ID(id))
	if a == nil {
		return j
	}
	return withResource(a.JID, j)
}

func withResource(j, of xmpp.JID) xmpp.JID {
	if full, err := j.WithResource(of.Resource()); err == nil && of.Resource() != "" {
		return full
	}
	return j
}
