package admin

import (
	"errors"
	"time"

	"confab/xmpp/feature/notices"
)

// NoticeParams are a text for a domain.
type NoticeParams struct {
	Domain string `json:"domain,omitempty"`
	Text   string `json:"text" label:"Text" form:"lines,required"`
}

// Announced says how many people were told.
type Announced struct {
	Users int `json:"users"`
}

// Announce tells something to everybody who is online.
var Announce = define(Operation{Name: "announce", Title: "Tell something to everybody online", Reach: OfDomain, NeedLive: true, Audited: true},
	func(c *call[None], p NoticeParams) (Announced, error) {
		d, err := c.oneDomain(p.Domain)
		if err != nil {
			return Announced{}, err
		}
		n, err := c.Notices.Announce(d.Name(), p.Text)
		return Announced{n}, textError(err)
	})

func textError(err error) error {
	if errors.Is(err, notices.ErrText) {
		return failf(Usage, "%v", err)
	}
	return err
}

// NoticeDomainParams name a domain.
type NoticeDomainParams struct {
	Domain string `json:"domain,omitempty"`
}

// Notice is a notice that stands.
type Notice struct {
	Text string    `json:"text"`
	Set  time.Time `json:"set"`
}

// NoticeOps are the operations on a notice that stands.
type NoticeOps struct {
	Show   Op[NoticeDomainParams, None, Notice]
	Set    Op[NoticeParams, None, Notice]
	Edit   Op[NoticeParams, None, Notice]
	Delete Op[NoticeDomainParams, None, None]
}

// MOTD is the message of the day: everybody gets it once.
var MOTD = noticeOps("motd", "the message of the day", notices.MOTD)

// Welcome is what those are told who log in for the first time.
var Welcome = noticeOps("welcome", "the welcome to new users", notices.Welcome)

func noticeOps(name, what string, kind notices.Kind) (ops NoticeOps) {
	none := failf(NotFound, "there is no %s", name)
	show := func(c *call[None], domain string) (Notice, error) {
		s, ok := c.Notices.Standing(domain, kind)
		if !ok {
			return Notice{}, none
		}
		return Notice{s.Text, s.Set}, nil
	}
	ops.Show = define(Operation{Name: name + " show", Title: "Show " + what, Reach: OfDomain}, func(c *call[None], p NoticeDomainParams) (Notice, error) {
		d, err := c.oneDomain(p.Domain)
		if err != nil {
			return Notice{}, err
		}
		return show(c, d.Name())
	})
	ops.Set = define(Operation{Name: name + " set", Title: "Set " + what, Reach: OfDomain, Audited: true}, func(c *call[None], p NoticeParams) (Notice, error) {
		d, err := c.oneDomain(p.Domain)
		if err != nil {
			return Notice{}, err
		}
		if err := c.Notices.Set(c, d.Name(), kind, p.Text); err != nil {
			return Notice{}, textError(err)
		}
		return show(c, d.Name())
	})
	ops.Edit = define(Operation{Name: name + " edit", Title: "Correct " + what, Reach: OfDomain, Audited: true}, func(c *call[None], p NoticeParams) (Notice, error) {
		d, err := c.oneDomain(p.Domain)
		if err != nil {
			return Notice{}, err
		}
		if ok, err := c.Notices.Edit(c, d.Name(), kind, p.Text); err != nil || !ok {
			if err == nil {
				err = none
			}
			return Notice{}, textError(err)
		}
		return show(c, d.Name())
	})
	ops.Delete = define(Operation{Name: name + " delete", Title: "Delete " + what, Reach: OfDomain, Audited: true}, func(c *call[None], p NoticeDomainParams) (None, error) {
		d, err := c.oneDomain(p.Domain)
		if err != nil {
			return None{}, err
		}
		if ok, err := c.Notices.Delete(c, d.Name(), kind); err != nil || !ok {
			if err == nil {
				err = none
			}
			return None{}, err
		}
		return None{}, nil
	})
	return ops
}
