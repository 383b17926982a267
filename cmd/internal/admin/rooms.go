package admin

import (
	"strings"
	"time"

	"confab/muc"
	"confab/xmpp"
	"confab/xmpp/directory"
)

// Room is a room as the administrator sees one.
type Room struct {
	Address     string       `json:"address"`
	ID          directory.ID `json:"id"`
	Name        string       `json:"name,omitempty"`
	Description string       `json:"description,omitempty"`
	Alias       string       `json:"alias,omitempty"` // whose room it is
	Created     *time.Time   `json:"created,omitempty"`
	Occupants   int          `json:"occupants"`
}

// RoomDetail is all about a room.
type RoomDetail struct {
	Room
	Subject   string        `json:"subject,omitempty"`
	SubjectBy string        `json:"subject_by,omitempty"`
	Members   []RoomPerson  `json:"members"`
	Present   []RoomPresent `json:"present"`
}

// RoomPerson is somebody with an affiliation.
type RoomPerson struct {
	Address     string `json:"address"`
	Affiliation string `json:"affiliation"`
	Nick        string `json:"nick,omitempty"`
}

// RoomPresent is somebody who is in a room.
type RoomPresent struct {
	Address string `json:"address"`
	Nick    string `json:"nick"`
	Role    string `json:"role"`
	Clients int    `json:"clients"`
}

func (a *Admin) room(i muc.Info) Room {
	r := Room{Address: i.JID.String(), ID: i.ID, Name: i.Config.Name, Description: i.Config.Description, Occupants: i.Occupants}
	if !i.Created.IsZero() {
		r.Created = &i.Created
	}
	if i.Given {
		if x := a.Directory.AliasByID(i.ID); x != nil {
			r.Alias, r.Created = x.JID.String(), &x.Created
		}
	}
	return r
}

// RoomListed says how many rooms there were.
type RoomListed struct {
	Rooms int `json:"rooms"`
}

// RoomListParams choose rooms.
type RoomListParams struct {
	Domain string `json:"domain,omitempty"`
}

// RoomList streams the rooms by address: those of aliases, and those that people made.
var RoomList = define(Operation{Name: "room list", Title: "List rooms", Reach: OfDomain}, func(c *call[Room], p RoomListParams) (RoomListed, error) {
	var n RoomListed
	if p.Domain != "" && c.domain(p.Domain) == nil {
		return n, c.notServed(p.Domain)
	}
	for _, m := range c.domains() {
		if p.Domain != "" && p.Domain != m.Name() {
			continue
		}
		for _, i := range c.Rooms.List(m.Name()) {
			if err := c.item(c.room(i)); err != nil {
				return n, err
			}
			n.Rooms++
		}
	}
	return n, nil
})

// RoomParams name a room: by its address, its localpart, or the alias whose room it is.
type RoomParams struct {
	Address string `json:"address" label:"Address" form:"required"`
}

// roomNamed returns the address of a room that somebody typed.
func (a *Admin) roomNamed(address string) (xmpp.JID, error) {
	local, domain, err := a.split(address)
	if err != nil {
		return xmpp.JID{}, err
	}
	if a.domain(domain) != nil {
		domain = muc.Service(domain)
	} else if mail, ok := strings.CutPrefix(domain, muc.Service("")); !ok || a.domain(mail) == nil {
		return xmpp.JID{}, a.notServed(domain)
	}
	j, err := xmpp.NewJID(local, domain, "")
	if err != nil {
		return j, failf(Usage, "%q is no address of a room", address)
	}
	return j, nil
}

// RoomShow tells all about a room.
var RoomShow = define(Operation{Name: "room show", Title: "Show a room", Reach: OfDomain}, func(c *call[None], p RoomParams) (RoomDetail, error) {
	j, err := c.roomNamed(p.Address)
	if err != nil {
		return RoomDetail{}, err
	}
	d, ok, err := c.Rooms.Show(j)
	if err != nil {
		return RoomDetail{}, err
	}
	if !ok {
		return RoomDetail{}, failf(NotFound, "there is no room %s; 'confab room list' shows all", j)
	}
	v := RoomDetail{Room: c.room(d.Info), Subject: d.Subject, SubjectBy: d.SubjectBy, Members: []RoomPerson{}, Present: []RoomPresent{}}
	for _, p := range d.Affiliated {
		v.Members = append(v.Members, RoomPerson{p.JID.String(), p.Affiliation.String(), p.Nick})
	}
	for _, p := range d.Present {
		v.Present = append(v.Present, RoomPresent{p.JID.String(), p.Nick, p.Role.String(), len(p.Clients)})
	}
	return v, nil
})

// RoomCreateParams ask for a new room.
type RoomCreateParams struct {
	Address     string `json:"address" label:"Address" form:"required"`
	Owner       string `json:"owner" label:"Owner" form:"required"`
	Name        string `json:"name,omitempty" label:"Name"`
	Description string `json:"description,omitempty" label:"Description"`
	MembersOnly bool   `json:"members_only,omitempty" label:"For members only"`
	Moderated   bool   `json:"moderated,omitempty" label:"Only who was given a voice may speak"`
	Hidden      bool   `json:"hidden,omitempty" label:"Not in the list of rooms"`
}

// RoomCreate makes a room that stays, for people to enter.
var RoomCreate = define(Operation{Name: "room create", Title: "Make a room", Reach: OfDomain, Audited: true}, func(c *call[None], p RoomCreateParams) (Room, error) {
	j, err := c.roomNamed(p.Address)
	if err != nil {
		return Room{}, err
	}
	owner, err := c.find(p.Owner)
	if err != nil {
		return Room{}, err
	}
	config := muc.DefaultConfig()
	config.Name, config.Description = p.Name, p.Description
	config.MembersOnly, config.Moderated, config.Hidden = p.MembersOnly, p.Moderated, p.Hidden
	if err := c.Rooms.Create(c, j, owner.JID, config); err != nil {
		return Room{}, err
	}
	d, ok, err := c.Rooms.Show(j)
	if err != nil || !ok {
		return Room{Address: j.String()}, err
	}
	return c.room(d.Info), nil
})

// RoomDestroyParams ask for the end of a room.
type RoomDestroyParams struct {
	Address   string `json:"address" label:"Address" form:"required"`
	Alternate string `json:"alternate,omitempty" label:"Room to go to instead"`
	Reason    string `json:"reason,omitempty" label:"Reason, for those who are there"`
}

// RoomDestroy ends a room and sends everybody away. What was said there stays in
// the history.
var RoomDestroy = define(Operation{Name: "room destroy", Title: "Destroy a room", Reach: OfDomain, Audited: true}, func(c *call[None], p RoomDestroyParams) (RoomParams, error) {
	j, err := c.roomNamed(p.Address)
	if err != nil {
		return RoomParams{}, err
	}
	var alternate xmpp.JID
	if p.Alternate != "" {
		if alternate, err = c.roomNamed(p.Alternate); err != nil {
			return RoomParams{}, err
		}
	}
	return RoomParams{j.String()}, c.Rooms.Destroy(j, alternate, p.Reason)
})

// RoomAffiliationParams say what somebody is to be in a room.
type RoomAffiliationParams struct {
	Address     string `json:"address" label:"Address of the room" form:"required"`
	Person      string `json:"person" label:"Address of the person" form:"required"`
	Affiliation string `json:"affiliation" label:"Affiliation" form:"required" choice:"owner|admin|member|none|outcast"`
	Reason      string `json:"reason,omitempty" label:"Reason"`
}

// RoomAffiliation makes somebody something in a room.
var RoomAffiliation = define(Operation{Name: "room affiliation", Title: "Make somebody an owner, admin, member or outcast of a room", Reach: OfDomain, Audited: true},
	func(c *call[None], p RoomAffiliationParams) (RoomPerson, error) {
		j, err := c.roomNamed(p.Address)
		if err != nil {
			return RoomPerson{}, err
		}
		to, ok := affiliations[p.Affiliation]
		if !ok {
			return RoomPerson{}, failf(Usage, "%q is no affiliation: it is owner, admin, member, none or outcast", p.Affiliation)
		}
		person, err := c.somebody(p.Person)
		if err != nil {
			return RoomPerson{}, err
		}
		if person.IsZero() {
			return RoomPerson{}, failf(Usage, "say who")
		}
		if err := c.Rooms.SetAffiliation(j, person, to, p.Reason); err != nil {
			return RoomPerson{}, err
		}
		return RoomPerson{Address: person.Bare().String(), Affiliation: p.Affiliation}, nil
	})

var affiliations = map[string]muc.Affiliation{"owner": muc.Owner, "admin": muc.Admin, "member": muc.Member, "none": muc.None, "outcast": muc.Outcast}
