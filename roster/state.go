package roster

import "confab/xmpp"

// State is where two people stand, seen from the owner of a list: one of the
// nine states of RFC 6121 §A.1.
type State uint8

const (
	None State = iota
	NonePendingOut
	NonePendingIn
	NonePendingOutIn
	To
	ToPendingIn
	From
	FromPendingOut
	Both
)

func (s State) String() string {
	return [...]string{"None", "None + Pending Out", "None + Pending In", "None + Pending Out+In",
		"To", "To + Pending In", "From", "From + Pending Out", "Both"}[s]
}

// Subscription is the value of an item's 'subscription' attribute.
func (s State) Subscription() string { return subscriptions[s.bits()&(bitTo|bitFrom)] }

// HasTo reports whether the owner sees the contact's presence.
func (s State) HasTo() bool { return s == To || s == ToPendingIn || s == Both }

// HasFrom reports whether the contact sees the owner's presence.
func (s State) HasFrom() bool { return s == From || s == FromPendingOut || s == Both }

// PendingOut reports whether the owner has asked and waits for an answer.
func (s State) PendingOut() bool {
	return s == NonePendingOut || s == NonePendingOutIn || s == FromPendingOut
}

// PendingIn reports whether the contact has asked and waits for an answer.
func (s State) PendingIn() bool {
	return s == NonePendingIn || s == NonePendingOutIn || s == ToPendingIn
}

const (
	bitTo = 1 << iota
	bitFrom
)

func (s State) bits() (b uint8) {
	if s.HasTo() {
		b |= bitTo
	}
	if s.HasFrom() {
		b |= bitFrom
	}
	return b
}

var subscriptions = [...]string{0: "none", bitTo: "to", bitFrom: "from", bitTo | bitFrom: "both"}

// Event is one of the four subscription stanzas.
type Event uint8

const (
	Subscribe Event = iota
	Unsubscribe
	Subscribed
	Unsubscribed
)

func (e Event) String() string {
	return [...]string{"subscribe", "unsubscribe", "subscribed", "unsubscribed"}[e]
}

// eventOf returns the event that a presence type is.
func eventOf(t xmpp.Type) (e Event, ok bool) {
	switch t {
	case xmpp.TypeSubscribe:
		return Subscribe, true
	case xmpp.TypeUnsubscribe:
		return Unsubscribe, true
	case xmpp.TypeSubscribed:
		return Subscribed, true
	case xmpp.TypeUnsubscribed:
		return Unsubscribed, true
	}
	return 0, false
}

// Note is what a transition asks for besides the new state.
type Note uint8

const (
	// Approve: the answer is given in advance (RFC 6121 §3.4).
	Approve Note = 1 << iota
	// Withdraw: an approval given in advance is taken back.
	Withdraw
	// Answer: the contact has what it asks for, so it is told "subscribed" on
	// the owner's behalf (§3.1.3).
	Answer
)

// Transition is a row of the tables of RFC 6121 Appendix A.
type Transition struct {
	// Pass: an outbound stanza is routed to the contact, an inbound stanza
	// is delivered to the owner.
	Pass bool
	Next State
	Note Note
}

// Outbound is what becomes of a subscription stanza that the owner sends (§A.2).
func Outbound(s State, e Event) Transition { return outbound[e][s] }

// Inbound is what becomes of a subscription stanza that the contact sends (§A.3).
func Inbound(s State, e Event) Transition { return inbound[e][s] }

type table [4][9]Transition

var outbound = table{
	Subscribe: { // §A.2.1
		None:             {Pass: true, Next: NonePendingOut},
		NonePendingOut:   {Pass: true, Next: NonePendingOut},
		NonePendingIn:    {Pass: true, Next: NonePendingOutIn},
		NonePendingOutIn: {Pass: true, Next: NonePendingOutIn},
		To:               {Pass: true, Next: To},
		ToPendingIn:      {Pass: true, Next: ToPendingIn},
		From:             {Pass: true, Next: FromPendingOut},
		FromPendingOut:   {Pass: true, Next: FromPendingOut},
		Both:             {Pass: true, Next: Both},
	},
	Unsubscribe: { // §A.2.2
		None:             {Pass: true, Next: None},
		NonePendingOut:   {Pass: true, Next: None},
		NonePendingIn:    {Pass: true, Next: NonePendingIn},
		NonePendingOutIn: {Pass: true, Next: NonePendingIn},
		To:               {Pass: true, Next: None},
		ToPendingIn:      {Pass: true, Next: NonePendingIn},
		From:             {Pass: true, Next: From},
		FromPendingOut:   {Pass: true, Next: From},
		Both:             {Pass: true, Next: From},
	},
	Subscribed: { // §A.2.3, §3.4.2
		None:             {Next: None, Note: Approve},
		NonePendingOut:   {Next: NonePendingOut, Note: Approve},
		NonePendingIn:    {Pass: true, Next: From},
		NonePendingOutIn: {Pass: true, Next: FromPendingOut},
		To:               {Next: To, Note: Approve},
		ToPendingIn:      {Pass: true, Next: Both},
		From:             {Next: From},
		FromPendingOut:   {Next: FromPendingOut},
		Both:             {Next: Both},
	},
	Unsubscribed: { // §A.2.4, §3.4.3
		None:             {Next: None, Note: Withdraw},
		NonePendingOut:   {Next: NonePendingOut, Note: Withdraw},
		NonePendingIn:    {Pass: true, Next: None, Note: Withdraw},
		NonePendingOutIn: {Pass: true, Next: NonePendingOut, Note: Withdraw},
		To:               {Next: To, Note: Withdraw},
		ToPendingIn:      {Pass: true, Next: To, Note: Withdraw},
		From:             {Pass: true, Next: None, Note: Withdraw},
		FromPendingOut:   {Pass: true, Next: NonePendingOut, Note: Withdraw},
		Both:             {Pass: true, Next: To, Note: Withdraw},
	},
}

var inbound = table{
	Subscribe: { // §A.3.1
		None:             {Pass: true, Next: NonePendingIn},
		NonePendingOut:   {Pass: true, Next: NonePendingOutIn},
		NonePendingIn:    {Next: NonePendingIn},
		NonePendingOutIn: {Next: NonePendingOutIn},
		To:               {Pass: true, Next: ToPendingIn},
		ToPendingIn:      {Next: ToPendingIn},
		From:             {Next: From, Note: Answer},
		FromPendingOut:   {Next: FromPendingOut, Note: Answer},
		Both:             {Next: Both, Note: Answer},
	},
	Unsubscribe: { // §A.3.2
		None:             {Next: None},
		NonePendingOut:   {Next: NonePendingOut},
		NonePendingIn:    {Pass: true, Next: None},
		NonePendingOutIn: {Pass: true, Next: NonePendingOut},
		To:               {Next: To},
		ToPendingIn:      {Pass: true, Next: To},
		From:             {Pass: true, Next: None},
		FromPendingOut:   {Pass: true, Next: NonePendingOut},
		Both:             {Pass: true, Next: To},
	},
	Subscribed: { // §A.3.3
		None:             {Next: None},
		NonePendingOut:   {Pass: true, Next: To},
		NonePendingIn:    {Next: NonePendingIn},
		NonePendingOutIn: {Pass: true, Next: ToPendingIn},
		To:               {Next: To},
		ToPendingIn:      {Next: ToPendingIn},
		From:             {Next: From},
		FromPendingOut:   {Pass: true, Next: Both},
		Both:             {Next: Both},
	},
	Unsubscribed: { // §A.3.4
		None:             {Next: None},
		NonePendingOut:   {Pass: true, Next: None},
		NonePendingIn:    {Next: NonePendingIn},
		NonePendingOutIn: {Pass: true, Next: NonePendingIn},
		To:               {Pass: true, Next: None},
		ToPendingIn:      {Pass: true, Next: NonePendingIn},
		From:             {Next: From},
		FromPendingOut:   {Pass: true, Next: From},
		Both:             {Pass: true, Next: From},
	},
}
