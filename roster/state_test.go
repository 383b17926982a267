package roster

import (
	"strings"
	"testing"
)

// The tables of RFC 6121 Appendix A as they are printed there: the existing
// state, whether the stanza is routed or delivered, the new state. A dash is
// "no state change".
const (
	tableA21 = `
None                  | MUST     | None + Pending Out
None + Pending Out    | MUST     | -
None + Pending In     | MUST     | None + Pending Out+In
None + Pending Out+In | MUST     | -
To                    | MUST     | -
To + Pending In       | MUST     | -
From                  | MUST     | From + Pending Out
From + Pending Out    | MUST     | -
Both                  | MUST     | -`
	tableA22 = `
None                  | MUST     | -
None + Pending Out    | MUST     | None
None + Pending In     | MUST     | -
None + Pending Out+In | MUST     | None + Pending In
To                    | MUST     | None
To + Pending In       | MUST     | None + Pending In
From                  | MUST     | -
From + Pending Out    | MUST     | From
Both                  | MUST     | From`
	tableA23 = `
None                  | MUST NOT | pre-approval
None + Pending Out    | MUST NOT | pre-approval
None + Pending In     | MUST     | From
None + Pending Out+In | MUST     | From + Pending Out
To                    | MUST NOT | pre-approval
To + Pending In       | MUST     | Both
From                  | MUST NOT | -
From + Pending Out    | MUST NOT | -
Both                  | MUST NOT | -`
	tableA24 = `
None                  | MUST NOT | -
None + Pending Out    | MUST NOT | -
None + Pending In     | MUST     | None
None + Pending Out+In | MUST     | None + Pending Out
To                    | MUST NOT | -
To + Pending In       | MUST     | To
From                  | MUST     | None
From + Pending Out    | MUST     | None + Pending Out
Both                  | MUST     | To`
	tableA31 = `
None                  | MUST     | None + Pending In
None + Pending Out    | MUST     | None + Pending Out+In
None + Pending In     | MUST NOT | -
None + Pending Out+In | MUST NOT | -
To                    | MUST     | To + Pending In
To + Pending In       | MUST NOT | -
From                  | MUST NOT | auto-reply
From + Pending Out    | MUST NOT | auto-reply
Both                  | MUST NOT | auto-reply`
	tableA32 = `
None                  | MUST NOT | -
None + Pending Out    | MUST NOT | -
None + Pending In     | MUST     | None
None + Pending Out+In | MUST     | None + Pending Out
To                    | MUST NOT | -
To + Pending In       | MUST     | To
From                  | MUST     | None
From + Pending Out    | MUST     | None + Pending Out
Both                  | MUST     | To`
	tableA33 = `
None                  | MUST NOT | -
None + Pending Out    | MUST     | To
None + Pending In     | MUST NOT | -
None + Pending Out+In | MUST     | To + Pending In
To                    | MUST NOT | -
To + Pending In       | MUST NOT | -
From                  | MUST NOT | -
From + Pending Out    | MUST     | Both
Both                  | MUST NOT | -`
	tableA34 = `
None                  | MUST NOT | -
None + Pending Out    | MUST     | None
None + Pending In     | MUST NOT | -
None + Pending Out+In | MUST     | None + Pending In
To                    | MUST     | None
To + Pending In       | MUST     | None + Pending In
From                  | MUST NOT | -
From + Pending Out    | MUST     | From
Both                  | MUST     | From`
)

func TestSubscriptionStatesFollowAppendixA(t *testing.T) {
	for _, c := range []struct {
		section string
		event   Event
		way     func(State, Event) Transition
		rows    string
	}{
		{"A.2.1", Subscribe, Outbound, tableA21},
		{"A.2.2", Unsubscribe, Outbound, tableA22},
		{"A.2.3", Subscribed, Outbound, tableA23},
		{"A.2.4", Unsubscribed, Outbound, tableA24},
		{"A.3.1", Subscribe, Inbound, tableA31},
		{"A.3.2", Unsubscribe, Inbound, tableA32},
		{"A.3.3", Subscribed, Inbound, tableA33},
		{"A.3.4", Unsubscribed, Inbound, tableA34},
	} {
		seen := 0
		for row := range strings.Lines(strings.TrimSpace(c.rows)) {
			cells := strings.Split(row, "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			from, ok := stateNamed(cells[0])
			if !ok {
				t.Fatalf("§%s: no state %q", c.section, cells[0])
			}
			seen++
			got := c.way(from, c.event)
			if want := cells[1] == "MUST"; got.Pass != want {
				t.Errorf("§%s, %s on %s: passed on is %v, want %v", c.section, from, c.event, got.Pass, want)
			}
			want, note := from, Note(0)
			switch cells[2] {
			case "-":
			case "pre-approval":
				note = Approve
			case "auto-reply":
				note = Answer
			default:
				if want, ok = stateNamed(cells[2]); !ok {
					t.Fatalf("§%s: no state %q", c.section, cells[2])
				}
			}
			if got.Next != want {
				t.Errorf("§%s, %s on %s: becomes %s, want %s", c.section, from, c.event, got.Next, want)
			}
			if got.Note&^Withdraw != note {
				t.Errorf("§%s, %s on %s: note %b, want %b", c.section, from, c.event, got.Note, note)
			}
			// §3.4.3: whatever the state, "unsubscribed" takes an approval back.
			if (got.Note&Withdraw != 0) != (c.section == "A.2.4") {
				t.Errorf("§%s, %s on %s: note %b", c.section, from, c.event, got.Note)
			}
		}
		if seen != 9 {
			t.Errorf("§%s: %d rows", c.section, seen)
		}
	}
}

func stateNamed(name string) (State, bool) {
	for s := None; s <= Both; s++ {
		if s.String() == name {
			return s, true
		}
	}
	return 0, false
}

// What a roster shows of each state (RFC 6121 §A.1).
func TestStatesAsShown(t *testing.T) {
	for _, c := range []struct {
		state        State
		subscription string
		ask, pending bool
	}{
		{None, "none", false, false},
		{NonePendingOut, "none", true, false},
		{NonePendingIn, "none", false, true},
		{NonePendingOutIn, "none", true, true},
		{To, "to", false, false},
		{ToPendingIn, "to", false, true},
		{From, "from", false, false},
		{FromPendingOut, "from", true, false},
		{Both, "both", false, false},
	} {
		if got := c.state.Subscription(); got != c.subscription {
			t.Errorf("%s: subscription %q, want %q", c.state, got, c.subscription)
		}
		if c.state.PendingOut() != c.ask || c.state.PendingIn() != c.pending {
			t.Errorf("%s: asked %v, asked for %v", c.state, c.state.PendingOut(), c.state.PendingIn())
		}
	}
}
