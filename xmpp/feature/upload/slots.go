package upload

import (
	"sync"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
)

const (
	slotLife = 5 * time.Minute // §8: relatively low timeout values of around 300s
	// maxSlots is how many files a user may have announced and not sent.
	maxSlots = 64
)

// slot is the place for a file to come. It is not on disk: who asks a restarted
// server for one gets another.
type slot struct {
	id    ID
	owner directory.ID
	request
	expires time.Time
	timer   xmpp.Timer // for that

	taken bool // an upload is under way; guarded by slots.mu
}

// slots are those that were given away.
type slots struct {
	clock xmpp.Clock

	mu     sync.Mutex
	byID   map[ID]*slot
	owners map[directory.ID][]*slot // in the order of expiry
}

func (t *slots) init(clock xmpp.Clock) {
	t.clock, t.byID, t.owners = clock, map[ID]*slot{}, map[directory.ID][]*slot{}
}

// add gives a slot away if it and the user's others fit into what is left of the
// quota. If others are in the way, retry is when the first of them will be gone.
func (t *slots) add(s *slot, left int64) (ok bool, retry time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if charge(s.size) > left {
		return false, time.Time{}
	}
	others := t.owners[s.owner]
	for _, o := range others {
		left -= charge(o.size)
	}
	if len(others) >= maxSlots || charge(s.size) > left {
		return false, others[0].expires
	}
	s.expires = t.clock.Now().Add(slotLife)
	t.byID[s.id] = s
	t.owners[s.owner] = append(others, s)
	s.timer = t.clock.AfterFunc(slotLife, func() { t.expire(s) })
	return true, time.Time{}
}

func (t *slots) expire(s *slot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !s.taken {
		t.drop(s)
	}
}

// drop forgets a slot. t.mu is held.
func (t *slots) drop(s *slot) {
	if t.byID[s.id] != s {
		return
	}
	delete(t.byID, s.id)
	s.timer.Stop()
	var left []*slot
	for _, o := range t.owners[s.owner] {
		if o != s {
			left = append(left, o)
		}
	}
	if len(left) == 0 {
		delete(t.owners, s.owner)
	} else {
		t.owners[s.owner] = left
	}
}

// find returns a slot, nil if there is none; busy says that an upload to it is
// under way.
func (t *slots) find(id ID) (s *slot, busy bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s = t.byID[id]
	return s, s != nil && s.taken
}

// take reserves a slot for one upload.
func (t *slots) take(s *slot) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID[s.id] != s || s.taken {
		return false
	}
	s.taken = true
	return true
}

// done forgets a slot whose file has arrived.
func (t *slots) done(s *slot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(s)
}

// back returns a slot whose upload broke off: as long as it lives the client may
// try again.
func (t *slots) back(s *slot) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.taken = false
	if !t.clock.Now().Before(s.expires) {
		t.drop(s)
	}
}
