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
var RoomList = define(Operation{Name: "room list"}, func(c *call[Room], p RoomListParams) (RoomListed, error) {
	var n RoomListed
	if p.Domain != "" && c.Directory.Domain(p.Domain) == nil {
		return n, failf(NotFound, "%s is not served here, only %s", p.Domain, strings.Join(c.domainNames(), ", "))
	}
	for _, m := range c.Directory.Domains() {
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
	Address string `json:"address"`
}

// roomNamed returns the address of a room that somebody typed.
func (a *Admin) roomNamed(address string) (xmpp.JID, error) {
	local, domain, err := a.split(address)
	if err != nil {
		return xmpp.JID{}, err
	}
	if a.Directory.Domain(domain) != nil {
		domain = muc.Service(domain)
	}
	j, err := xmpp.NewJID(local, domain, "")
	if err != nil {
		return j, failf(Usage, "%q is no address of a room", address)
	}
	return j, nil
}

// RoomShow tells all about a room.
var RoomShow = define(Operation{Name: "room show"}, func(c *call[None], p RoomParams) (RoomDetail, error) {
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
