package admin

import (
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"confab/archive"
	"confab/xmpp"
	"confab/xmpp/router"
)

// Status is how a server is.
type Status struct {
	Version     string              `json:"version"`
	PID         int                 `json:"pid"`
	Started     time.Time           `json:"started"`
	Data        string              `json:"data"`
	Listening   map[string][]string `json:"listening"`
	Domains     []DomainStatus      `json:"domains"`
	Hibernating int64               `json:"hibernating"` // sessions that wait to be resumed
	Search      *SearchStatus       `json:"search,omitempty"`
	Commits     *CommitStatus       `json:"commits,omitempty"`
	Counters    map[string]int64    `json:"counters,omitempty"`
	Warnings    []string            `json:"warnings,omitempty"`
}

// CommitStatus is how the disk takes the history. Times are in seconds, rounded up.
type CommitStatus struct {
	Commits int64   `json:"commits"`
	Half    float64 `json:"half"`   // half of them took no longer
	Most    float64 `json:"most"`   // 99 of 100 took no longer
	Shared  float64 `json:"shared"` // batches of messages that shared one, on average
}

// SearchStatus is how far the index for searches is. What it does not have yet is found nevertheless.
type SearchStatus struct {
	Documents int        `json:"documents"` // messages in which something can be found
	Until     *time.Time `json:"until,omitempty"`
	Behind    int        `json:"behind"` // messages that it does not have yet, counted up to 100,000
}

func (c *call[I]) searchStatus() (*SearchStatus, error) {
	st, err := c.Archive.IndexState(c)
	if errors.Is(err, archive.ErrNoIndex) {
		return nil, nil
	}
	s := &SearchStatus{Documents: st.Documents, Behind: st.Behind}
	if !st.Last.IsZero() {
		s.Until = &st.Last
	}
	return s, err
}

// DomainStatus is how a domain is.
type DomainStatus struct {
	Domain   string `json:"domain"`
	Users    int    `json:"users"`
	Online   int    `json:"online"` // users with a session
	Sessions int    `json:"sessions"`
}

// ServerStatus says how the server is.
var ServerStatus = define(Operation{Name: "status", NeedLive: true}, func(c *call[None], _ None) (Status, error) {
	s := Status{
		Version: c.Live.Version, PID: os.Getpid(), Started: c.Live.Started, Data: c.Data,
		Listening: c.Live.Listening(), Hibernating: c.Live.Router.Stats.Hibernating.Load(),
	}
	if c.Live.Counters != nil {
		s.Counters = c.Live.Counters()
	}
	if c.Live.Commits != nil {
		commits := c.Live.Commits()
		s.Commits = &commits
	}
	if c.Live.Warnings != nil {
		s.Warnings = c.Live.Warnings()
	}
	var err error
	if s.Search, err = c.searchStatus(); err != nil {
		return s, err
	}
	for _, d := range c.domains() {
		status := DomainStatus{Domain: d.Name(), Users: d.Len()}
		var list []*router.Session
		for _, account := range c.Live.Router.Domain(d.Name()).Accounts() {
			list = account.Sessions(list[:0])
			status.Online++
			status.Sessions += len(list)
		}
		s.Domains = append(s.Domains, status)
	}
	return s, nil
})

// Reloaded is what a reload did.
type Reloaded struct {
	Changed  []string `json:"changed"`           // settings that are in force now
	Restart  []string `json:"restart,omitempty"` // settings that wait for the next start
	Warnings []string `json:"warnings,omitempty"`
}

// ServerReload reads settings and certificates again.
var ServerReload = define(Operation{Name: "reload", NeedLive: true, Audited: true}, func(c *call[None], _ None) (Reloaded, error) {
	r, err := c.Live.Reload(c)
	r.Changed = slices.Concat([]string{}, r.Changed)
	return r, err
})

// StopParams say when a server is to stop, and what people are told now.
type StopParams struct {
	Delay int    `json:"delay,omitempty"` // seconds
	Text  string `json:"text,omitempty"`
}

// maxDelay bounds the delay of a stop.
const maxDelay = 24 * 60 * 60

// Stopping says which process is about to end.
type Stopping struct {
	PID  int       `json:"pid"`
	When time.Time `json:"when"`
}

// ServerStop stops the server. It answers before the server is gone.
var ServerStop = define(Operation{Name: "stop", Title: "Stop the server", Reach: OfSingle, NeedLive: true, Audited: true}, func(c *call[None], p StopParams) (Stopping, error) {
	return c.end(p, c.Live.Stop)
})

// ServerRestart stops the server and starts it again.
var ServerRestart = define(Operation{Name: "restart", Title: "Restart the server", Reach: OfSingle, NeedLive: true, Audited: true}, func(c *call[None], p StopParams) (Stopping, error) {
	if c.Live.Restart == nil {
		return Stopping{}, failf(Failed, "this server cannot start itself again; stop it, and start it the way it was started")
	}
	return c.end(p, c.Live.Restart)
})

// end has the server end in a while, and tells everybody. A later call takes the
// place of an earlier one.
func (c *call[I]) end(p StopParams, fn func()) (Stopping, error) {
	if p.Delay < 0 || p.Delay > maxDelay {
		return Stopping{}, failf(Usage, "the delay is a number of seconds, at most %d", maxDelay)
	}
	if p.Text != "" {
		for _, d := range c.domains() {
			if _, err := c.Notices.Announce(d.Name(), p.Text); err != nil {
				return Stopping{}, textError(err)
			}
		}
	}
	delay := time.Duration(p.Delay) * time.Second
	c.Live.ending.set(c.Clock, delay, fn)
	return Stopping{os.Getpid(), c.now().Add(delay)}, nil
}

// ending is when the server is to end.
type ending struct {
	mu    sync.Mutex
	timer xmpp.Timer
}

func (e *ending) set(clock xmpp.Clock, delay time.Duration, fn func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.timer != nil {
		e.timer.Stop()
		e.timer = nil
	}
	if delay <= 0 {
		fn()
		return
	}
	if clock == nil {
		clock = xmpp.SystemClock
	}
	e.timer = clock.AfterFunc(delay, fn)
}
