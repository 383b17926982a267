// Package feature is the seam between the server and what it can do. A feature
// is a value: a struct of slices that says what it announces, which requests it
// answers and at which moments it wants to be asked. The server is a list of
// them, in the order in which they take their turn.
//
// # A new XEP
//
// Copy package ping (it is the skeleton), rename it after what it does, cite
// the sections, write its dialogue in cmd/internal/server/testdata, and add its
// New to the list in cmd/internal/server/features.go. If a second place needs
// an edit, the seam is wrong: mend it here.
//
//	func New() feature.Feature { return feature.Feature{
//		Name:       "ping",
//		Implements: []feature.XEP{feature.Implements(199, "2.0.1", feature.Complete, "")},
//		Advertise:  []feature.Advert{{Var: xmpp.NSPing, Where: feature.Server | feature.Self}},
//		IQ:         []feature.IQ{feature.Get(xmpp.NSPing, "ping", feature.Server|feature.Self, pong)},
//	} }
//
// # The way of a stanza
//
// Table.Handle takes a stanza from a session, or from the server itself, finds
// what its address is, and lets it pass the stages in the order of the list:
//
//	Accept   may refuse it with an *xmpp.Error, or drop it (ErrDropped)
//	Amend    adds to the Edit that every receiver's copy is made with
//	Keep     names the archives that have it (Dispatch.Copies)
//	         — then the batch is stored, and it is on disk —
//	Deliver  by address: the router's rules for accounts, or the Target's own
//	After    sees who got it: carbons, push, markers
//	Settled  sees who has it at the end
//
// A message without Copies skips the store. Deliver and After of a stored
// message run on the committer's goroutine, in the order of the ids of the
// history: they append bytes and return. Presence and IQs never wait for the
// store on their way; their handlers may use it.
//
// A handler runs on the goroutine of the sender's reader. The stanza it gets is
// read-only and valid until it returns.
package feature

import (
	"fmt"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/router"
)

// Where is a set of kinds of addresses.
type Where uint16

const (
	Server  Where = 1 << iota // the domain: example.com
	Self                      // the sender's own bare address, or no address at all
	Account                   // the bare address of another user of ours
	Alias                     // the bare address of an alias
	Service                   // a service of ours and what is under it: conference.example.com
	Full                      // a full address of a user of ours: clients answer there
	Nobody                    // a localpart of our domain that belongs to nobody, or a user who is disabled
	Remote                    // another domain: of a Peer, or of nobody
)

// Status is how much of a specification is there.
type Status uint8

const (
	Complete Status = iota
	Partial
)

func (s Status) String() string { return [...]string{"complete", "partial"}[s] }

// XEP states that a feature implements a specification.
type XEP struct {
	Number  int
	Version string // of the specification that was implemented
	Status  Status
	Note    string
}

// Implements makes an XEP.
func Implements(number int, version string, status Status, note string) XEP {
	return XEP{number, version, status, note}
}

// Advert is a feature announced in disco#info (XEP-0030) of the addresses named.
type Advert struct {
	Var   string
	Where Where
}

// Identity is an identity announced in disco#info.
type Identity struct {
	Category, Type, Name string
	Where                Where
}

// Feature is one capability of the server. Only Name is required.
type Feature struct {
	Name       string
	Implements []XEP

	Advertise  []Advert
	Identities []Identity
	// Info appends to the disco#info of an address what only it has: forms
	// (XEP-0128), identities or features that depend on settings.
	Info func(q *Query, dst []byte) ([]byte, error)
	// Items appends <item/> elements to disco#items of an address.
	Items func(q *Query, dst []byte) ([]byte, error)
	// Nodes answers disco#info and #items for nodes of this feature (XEP-0030
	// §3.2, §4.2). handled says that the node is one of them.
	Nodes func(q *Query, node string, items bool, dst []byte) (out []byte, handled bool, err error)

	IQ []IQ

	// Commands are what people can do by filling in forms (XEP-0050).
	Commands []Command

	// Stages of a message, see the package comment.
	Accept func(d *Dispatch) error
	Amend  func(d *Dispatch)
	Keep   func(d *Dispatch) error
	// Hold reports that a stored message is not delivered now because older
	// ones wait for the same account; its feature delivers it in its turn.
	Hold  func(d *Dispatch) bool
	After func(d *Dispatch, out *router.Batch)
	// Settled sees a message when all has come of it that was to come.
	Settled func(d *Dispatch)

	// Presence handles a presence stanza that a session sends, or that comes
	// from elsewhere to a user of ours. The first feature of the list that
	// reports handled ends the way. Accept is asked before.
	Presence func(d *Dispatch) (handled bool, err error)

	// Targets answer for addresses that are no accounts.
	Targets []Target

	// Peer finds who speaks for a domain that is none of ours, whether connected
	// or not; nil if that is nobody of this feature's.
	Peer func(domain string) Peer
	// PeerGone is told that the peer of a domain is not connected any more.
	PeerGone func(p Peer, domain string)

	// StreamFeatures appends to <stream:features/> after login.
	StreamFeatures func(domain string, dst []byte) []byte

	// LoginFeatures appends to <stream:features/> behind TLS and before login,
	// Visits are what may be asked for there.
	LoginFeatures func(domain string, dst []byte) []byte
	Visits        []Visit

	// Nonzas are elements besides stanzas that a bound session may send.
	Nonzas []Nonza

	// Routes are what the feature serves over HTTP.
	Routes []Route

	// Portables are what the feature keeps of a user, for other servers.
	Portables []Portable

	// Inline is what a client may turn on while it gets its address.
	Inline []Inline
	// Catchup is for the one feature that knows where the history ends: it calls
	// bind once, at a moment between two deliveries, with what <bound/> says of
	// the history (XEP-0386 §3.2). What is older the client reads there, and
	// nothing of it is sent when the session becomes available. bind appends
	// bytes and returns.
	Catchup func(user *directory.User, bind func(bound []byte)) error

	// Moments of a session. Each may be nil.
	Bound    func(s *router.Session)                             // has an address; no presence yet
	Resumed  func(s *router.Session)                             // came back on another connection
	Ended    func(s *router.Session, lost router.Unacknowledged) // left the table for good
	Inactive func(s *router.Session)                             // lost its connection and waits for a resumption

	// Restart is what happens to sessions when the server is started again.
	Restart Restart

	// Start is called once when all is assembled, before the first connection.
	Start func(h *Host) error
	// Stop is called once when the last session has ended or rests, before the
	// stores are closed: what a feature still holds goes to disk.
	Stop func()
}

// IQ is a handler of requests whose payload is the element Local of Space.
type IQ struct {
	Space, Local string
	Type         xmpp.Type // get or set
	Where        Where
	Handle       Handler
	// Silent says that disco#info does not name Space: it is negotiated in
	// another way. All other handlers are announced, see Unannounced.
	Silent bool
}

// Handler answers a request: it appends the payload of the result to dst (and
// returns no other slice, since the next answer is written over it), or returns
// an error. An *xmpp.Error goes to the sender as it is; any other is
// logged and becomes <internal-server-error/>.
type Handler func(q *Query, dst []byte) ([]byte, error)

// Get makes the handler of a request of type get.
func Get(space, local string, where Where, h Handler) IQ {
	return IQ{Space: space, Local: local, Type: xmpp.TypeGet, Where: where, Handle: h}
}

// Set makes the handler of a request of type set.
func Set(space, local string, where Where, h Handler) IQ {
	return IQ{Space: space, Local: local, Type: xmpp.TypeSet, Where: where, Handle: h}
}

// Unannounced lists the requests that features answer at an address whose
// disco#info does not announce them, although they are not marked Silent
// (XEP-0030 §3.1). An address that belongs to nobody announces nothing.
func Unannounced(features []Feature) []string {
	announced := map[string]Where{}
	for i := range features {
		for _, a := range features[i].Advertise {
			announced[a.Var] |= a.Where
		}
	}
	var missing []string
	for i := range features {
		for _, q := range features[i].IQ {
			if where := q.Where &^ (announced[q.Space] | Nobody | Full | Remote); where != 0 && !q.Silent {
				missing = append(missing, fmt.Sprintf("%v: {%s}%s", &features[i], q.Space, q.Local))
			}
		}
	}
	return missing
}

// Target answers for addresses that are no accounts: a service at a domain of
// its own, such as conference.example.com and everything below it, or the
// aliases of a domain. Requests are answered by IQ handlers with Where Service
// or Alias; those that none of them answers come to Target.IQ.
type Target struct {
	Where Where  // Service or Alias
	Label string // of a service: the first label of its domain, "conference"
	Name  string // of a service, in disco#items of the domain

	// Message decides on a message: an error refuses it, Copies on the
	// Dispatch name the archives that have it. Nothing is sent yet.
	Message func(d *Dispatch) error
	// Deliver hands out a message that Message let pass, after it was stored if
	// it has Copies; then on the committer's goroutine, in the order of ids.
	Deliver func(d *Dispatch, out *router.Batch)

	Presence func(d *Dispatch) error
	// IQ takes requests that no handler answers, all requests to a full address
	// below a service, and results and errors; nil: requests get
	// <service-unavailable/>.
	IQ func(d *Dispatch) error
}

// Query is a request on its way to its handler.
type Query struct {
	*Dispatch
	Payload *xmpp.Element
}

// Copy says that an archive has a message and how its owner sees it.
type Copy struct {
	Owner    directory.ID
	OwnerJID xmpp.JID // bare; names the archive in stanza-id
	With     xmpp.JID // the other side, as MAM finds it; see directory.Conversation
	Incoming bool
	Edit     *xmpp.Edit // nil: as the Dispatch's Edit says; what that strips need not be said again
	To       xmpp.JID   // not zero: to whom the Edit addresses it, which others may have, too
}

// Dispatch is one stanza on its way.
type Dispatch struct {
	Stanza  *xmpp.Stanza
	Session *router.Session // the sender's; nil: not a client of ours, see Origin
	From    xmpp.JID        // full address of the sender, as receivers see it
	To      xmpp.JID        // never zero: the sender's own bare address if the stanza names none
	Where   Where           // what To is; one bit
	User    *directory.User // of To: Self, Account and Full only
	Alias   *directory.Alias
	Target  *Target // of Service and Alias
	Peer    Peer    // of Remote; nil: there is nobody

	Edit    xmpp.Edit // what receivers' copies are made with; From is stamped
	Private bool      // no carbons (XEP-0280 §6.2)

	Fate   router.Fate
	Copies []Copy
	Reach  int               // to how many it goes, if that is more than it has copies
	ID     uint64            // in the history, once stored
	Got    []*router.Session // who got it, once delivered
	Copied bool              // another session of the recipient's got a copy of it

	host   *Host
	origin Peer
	batch  *Batch // nil: of what the server itself sends
	then   []func()

	scratch []byte // for its copy to an account
	mold    *mold  // of that copy; nil: it is made from the stanza
}

// Then runs fn once the stanza was handled, behind the answer if there is one.
// It is for presence and IQs.
func (d *Dispatch) Then(fn func()) { d.then = append(d.then, fn) }

// Redirect sends the stanza to another address: that of a service of ours.
func (d *Dispatch) Redirect(to xmpp.JID) {
	d.To, d.User, d.Alias, d.Target, d.Peer = to, nil, nil, nil, nil
	d.host.Table.locate(d)
}

// Ahead returns the messages that came in with this one, before it, and wait to be stored.
func (d *Dispatch) Ahead() []*Dispatch {
	if d.batch == nil {
		return nil
	}
	return d.batch.pending
}

// Host returns what the server offers to features.
func (d *Dispatch) Host() *Host { return d.host }

// Domain is the mail domain that the sender belongs to, or the target's if the
// sender is not one of ours.
func (d *Dispatch) Domain() string {
	switch {
	case d.Session != nil:
		return d.Session.JID().Domain()
	case d.origin != nil:
		return d.origin.Home()
	}
	return d.To.Domain()
}

func (f *Feature) String() string { return fmt.Sprintf("feature %s", f.Name) }
