package admin

import (
	"errors"
	"os"
	"slices"
	"time"

	"confab/archive"
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
	Counters    map[string]int64    `json:"counters,omitempty"`
	Warnings    []string            `json:"warnings,omitempty"`
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
	if c.Live.Warnings != nil {
		s.Warnings = c.Live.Warnings()
	}
	var err error
	if s.Search, err = c.searchStatus(); err != nil {
		return s, err
	}
	for _, d := range c.Directory.Domains() {
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

// Stopping says which process is about to end.
type Stopping struct {
	PID int `json:"pid"`
}

// ServerStop stops the server. It answers before the server is gone.
var ServerStop = define(Operation{Name: "stop", NeedLive: true, Audited: true}, func(c *call[None], _ None) (Stopping, error) {
	c.Live.Stop()
	return Stopping{os.Getpid()}, nil
})
