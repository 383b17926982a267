package admin

import (
	"errors"
	"time"

	"confab/xmpp/directory"
	"confab/xmpp/feature/invite"
)

// UserInviteParams ask for an invitation: to make an account, as UserAddParams
// have it, or with Reset to set a new password for the one that is there.
type UserInviteParams struct {
	Address string        `json:"address"`
	Reset   bool          `json:"reset,omitempty"`
	Name    string        `json:"name,omitempty"`
	Groups  []string      `json:"groups,omitempty"`
	Hidden  bool          `json:"hidden,omitempty"`
	Admin   bool          `json:"admin,omitempty"`
	Valid   time.Duration `json:"valid,omitempty"` // nanoseconds; 0: a week
}

// Invitation is an invitation as the administrator sees one.
type Invitation struct {
	Address string    `json:"address"`
	Reset   bool      `json:"reset,omitempty"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	By      string    `json:"by,omitempty"`

	// How to take it up; only in the result of the operation that made it.
	URI  string `json:"uri,omitempty"`
	Page string `json:"page,omitempty"` // where HTTPS is on
}

func invitation(i invite.Invitation) Invitation {
	return Invitation{Address: i.JID().String(), Reset: i.Reset, Created: i.Created, Expires: i.Expires, By: i.By}
}

// UserInvite makes an invitation. It takes the place of an earlier one for the
// same address.
var UserInvite = define(Operation{Name: "user invite", Title: "Invite somebody to make an account", Reach: OfDomain, Audited: true}, func(c *call[None], p UserInviteParams) (Invitation, error) {
	local, domain, err := c.split(p.Address)
	if err != nil {
		return Invitation{}, err
	}
	if c.domain(domain) == nil {
		return Invitation{}, c.notServed(domain)
	}
	i := invite.Invitation{
		Domain: domain, Local: local, Reset: p.Reset, Name: p.Name, Groups: p.Groups, Hidden: p.Hidden, Admin: p.Admin, By: c.by,
	}
	if p.Valid != 0 {
		i.Expires = c.now().Add(p.Valid)
	}
	token, made, err := c.Invites.Invite(c, i)
	switch {
	case errors.Is(err, invite.ErrUsage), errors.Is(err, invite.ErrTooMany):
		return Invitation{}, failf(Usage, "%v", err)
	case errors.Is(err, directory.ErrExists) && c.Directory.Login(domain, local) != nil:
		return Invitation{}, failf(Conflict, "%v; with --reset they are invited to set a new password", err)
	case err != nil:
		return Invitation{}, err
	}
	result := invitation(made)
	result.URI, result.Page = made.URI(token), c.Invites.Page(made.Domain, token)
	return result, nil
})

// InvitationsListed says how many invitations there were.
type InvitationsListed struct {
	Invitations int `json:"invitations"`
}

// UserInvitations streams the invitations that are open, by address.
var UserInvitations = define(Operation{Name: "user invitations", Title: "List open invitations", Reach: OfDomain}, func(c *call[Invitation], _ None) (n InvitationsListed, err error) {
	for _, i := range c.Invites.List() {
		if c.domain(i.Domain) == nil {
			continue
		}
		if err := c.item(invitation(i)); err != nil {
			return n, err
		}
		n.Invitations++
	}
	return n, nil
})

// UserUninvite takes an invitation back.
var UserUninvite = define(Operation{Name: "user uninvite", Title: "Take an invitation back", Reach: OfDomain, Audited: true}, func(c *call[None], p UserParams) (Invitation, error) {
	local, domain, err := c.split(p.Address)
	if err != nil {
		return Invitation{}, err
	}
	if c.domain(domain) == nil {
		return Invitation{}, c.notServed(domain)
	}
	j, err := c.Directory.LoginJID(domain, local)
	if err != nil {
		return Invitation{}, failf(Usage, "%v", err)
	}
	if err := c.Invites.Revoke(c, j); errors.Is(err, invite.ErrNone) {
		return Invitation{}, failf(NotFound, "%v; 'confab user invitations' shows those there are", err)
	} else if err != nil {
		return Invitation{}, err
	}
	return Invitation{Address: j.String()}, nil
})
