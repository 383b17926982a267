package auth

import (
	"testing"
	"time"
)

// A clock that is set by hours takes no token away, and gives none a life of its own.
func TestTokensWhenTheClockJumps(t *testing.T) {
	const m, life = "HT-SHA-256-EXPR", 21 * 24 * time.Hour
	for _, jump := range []time.Duration{9 * time.Hour, -9 * time.Hour} {
		h, clock := timed(t)
		token := h.token(h.add("romeo", "pw"), "pw", uuid1, m)
		clock.Jump(jump)
		if _, err := h.use(use{name: "romeo", token: token, mechanism: m}); err != nil {
			t.Errorf("after a jump of %v: %v", jump, err)
		}
		clock.Pass(life + 9*time.Hour)
		if _, err := h.use(use{name: "romeo", token: token, mechanism: m}); condition(err) != "credentials-expired" {
			t.Errorf("after a jump of %v and its whole life: %v", jump, err)
		}
	}
}

// What was issued by a clock that ran years ahead is no token for years.
func TestTokensOfAClockThatRanAhead(t *testing.T) {
	const m, ahead = "HT-SHA-256-EXPR", 10 * 365 * 24 * time.Hour
	h, clock := timed(t)
	clock.Jump(ahead)
	token := h.token(h.add("romeo", "pw"), "pw", uuid1, m)
	clock.Jump(-ahead)
	if _, err := h.use(use{name: "romeo", token: token, mechanism: m}); condition(err) != "credentials-expired" {
		t.Errorf("a token of ten years from now: %v", err)
	}

	// One that is hardly ahead is replaced when it is used.
	clock.Jump(48 * time.Hour)
	token = h.token(h.directory.Login(here, "romeo"), "pw", uuid1, m)
	clock.Jump(-48 * time.Hour)
	next, err := h.use(use{name: "romeo", token: token, mechanism: m})
	if err != nil || next == nil {
		t.Fatalf("a token of tomorrow's: %v, %v", next, err)
	}
	if want := clock.Now().Add(21 * 24 * time.Hour); !next.Expiry.Equal(want) {
		t.Errorf("its successor expires at %v, want %v", next.Expiry, want)
	}
}
