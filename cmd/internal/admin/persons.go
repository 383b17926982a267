package admin

import (
	"net"
	"slices"
	"time"

	"confab/xmpp"
	"confab/xmpp/directory"
)

// Contact is somebody in a user's contact list.
type Contact struct {
	Address      string   `json:"address"`
	Name         string   `json:"name,omitempty"`
	Subscription string   `json:"subscription"`
	Groups       []string `json:"groups,omitempty"`
}

// RosterListed is a user's contact list, with the items as clients get them.
type RosterListed struct {
	Contacts int    `json:"contacts"`
	XML      string `json:"xml"` // the <item/> elements (RFC 6121 §2)
}

// UserRoster streams a user's contact list.
var UserRoster = define(Operation{Name: "user roster", Title: "Show a user's contacts", Reach: OfDomain, Audited: true}, func(c *call[Contact], p UserParams) (RosterListed, error) {
	u, err := c.find(p.Address)
	if err != nil {
		return RosterListed{}, err
	}
	items, err := c.Roster.AppendList(c, u, nil)
	if err != nil {
		return RosterListed{}, err
	}
	list, err := xmpp.ParseNode([]byte("<query xmlns='" + xmpp.NSRoster + "'>" + string(items) + "</query>"))
	if err != nil {
		return RosterListed{}, err
	}
	for _, it := range list.Children {
		v := Contact{Address: it.Attr("jid"), Name: it.Attr("name"), Subscription: it.Attr("subscription")}
		for _, g := range it.Children {
			v.Groups = append(v.Groups, g.Text)
		}
		if err := c.item(v); err != nil {
			return RosterListed{}, err
		}
	}
	return RosterListed{len(list.Children), string(items)}, nil
})

// UserStats is what is counted of a user.
type UserStats struct {
	Address          string     `json:"address"`
	Contacts         int        `json:"contacts"`
	Sessions         []string   `json:"sessions,omitempty"` // their resources
	Addresses        []string   `json:"ip_addresses,omitempty"`
	StanzasPerSecond float64    `json:"stanzas_per_second"` // sent, on average of the sessions that last
	LoginsPerMinute  float64    `json:"logins_per_minute"`  // on average since the first
	Logins           int64      `json:"logins"`
	LastLogin        *time.Time `json:"last_login,omitempty"`
}

// UserStatistics counts what a user does.
var UserStatistics = define(Operation{Name: "user stats", Title: "Show what is counted of a user", Reach: OfDomain}, func(c *call[None], p UserParams) (UserStats, error) {
	u, err := c.find(p.Address)
	if err != nil {
		return UserStats{}, err
	}
	v := UserStats{Address: u.JID.String()}
	items, err := c.Roster.AppendList(c, u, []byte("<query xmlns='"+xmpp.NSRoster+"'>"))
	if err != nil {
		return v, err
	}
	list, err := xmpp.ParseNode(append(items, "</query>"...))
	if err != nil {
		return v, err
	}
	v.Contacts = len(list.Children)
	seen, ok, err := c.Notices.Attendance(c, u.ID)
	if err != nil {
		return v, err
	}
	if ok {
		v.LastLogin, v.Logins = &seen.Last, seen.Logins
		v.LoginsPerMinute = float64(seen.Logins) / max(1, c.now().Sub(seen.First).Minutes())
	}
	if c.Live == nil {
		return v, nil
	}
	if account := c.Live.Router.Account(u.JID); account != nil {
		for _, s := range account.Sessions(nil) {
			v.Sessions = append(v.Sessions, s.JID().Resource())
			v.StanzasPerSecond += float64(s.Handled(0)) / max(1, c.now().Sub(s.Since()).Seconds())
			if ip := hostOf(s.Info().Remote); ip != "" && !slices.Contains(v.Addresses, ip) {
				v.Addresses = append(v.Addresses, ip)
			}
		}
	}
	return v, nil
})

// hostOf is the address without its port.
func hostOf(remote string) string {
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}

// lastLogin is when somebody logged in last.
func (c *call[I]) lastLogin(id directory.ID) (*time.Time, error) {
	seen, ok, err := c.Notices.Attendance(c, id)
	if err != nil || !ok {
		return nil, err
	}
	return &seen.Last, nil
}
