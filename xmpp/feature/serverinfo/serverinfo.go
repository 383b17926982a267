// Package serverinfo tells in the server's disco#info whom to write to about it
// (XEP-0157), and what becomes of people's data (XEP-0504).
package serverinfo

import (
	"strconv"
	"sync/atomic"
	"time"

	"confab/xmpp/feature"
	"confab/xmpp/form"
)

const (
	nsContacts = "http://jabber.org/network/serverinfo"
	nsPolicy   = "urn:xmpp:data-policy:0"
)

// Contact is the addresses, as URIs, for a purpose: abuse, admin, feedback,
// sales, security, status or support (XEP-0157 §6).
type Contact struct {
	Purpose   string
	Addresses []string
}

// Policy is what becomes of people's data (XEP-0504 §3).
type Policy struct {
	Retention time.Duration // of messages and files; 0: for ever
	Access    []string      // who has access to it: admins, government …; none: nobody is named
	AtRest    bool          // it is encrypted on the disk
	Terms     string        // a URI; empty: none
	Backups   time.Duration // how often they are made; 0: not told
	Kept      time.Duration // how long backups are kept; 0: not told
	Info      string        // what else there is to know; empty: nothing
}

// Options are asked at each request.
type Options struct {
	Contacts func() []Contact
	Policy   func() Policy

	// Settings are what both are made of: as long as they are equal, neither is
	// asked again. nil: always.
	Settings func() any
}

// New returns the feature.
func New(o Options) feature.Feature {
	var last atomic.Pointer[told]
	return feature.Feature{
		Name: "serverinfo",
		Implements: []feature.XEP{
			feature.Implements(157, "1.1.1", feature.Complete, "what the settings name"),
			feature.Implements(504, "0.1.0", feature.Complete, "of the server; without its place on earth"),
		},
		Info: func(q *feature.Query, dst []byte) ([]byte, error) {
			if q.Where != feature.Server {
				return dst, nil
			}
			var settings any
			if o.Settings != nil {
				settings = o.Settings()
			}
			t := last.Load()
			if t == nil || settings == nil || t.settings != settings {
				t = &told{settings, o.Policy().append(appendContacts(nil, o.Contacts()))}
				last.Store(t)
			}
			return append(dst, t.forms...), nil
		},
	}
}

// told is what was told by these settings: the hash of it is asked for at every
// login (XEP-0115).
type told struct {
	settings any
	forms    []byte
}

func appendContacts(dst []byte, contacts []Contact) []byte {
	f := form.New(form.TypeResult, nsContacts)
	for _, c := range contacts {
		if len(c.Addresses) > 0 {
			f.Fields = append(f.Fields, form.Field{Var: c.Purpose + "-addresses", Type: form.ListMulti, Values: c.Addresses})
		}
	}
	if len(f.Fields) == 1 {
		return dst
	}
	return f.Append(dst)
}

func (p Policy) append(dst []byte) []byte {
	f := form.New(form.TypeResult, nsPolicy)
	add := func(name, kind string, values ...string) {
		f.Fields = append(f.Fields, form.Field{Var: name, Type: kind, Values: values})
	}
	boolean := func(v bool) string {
		if v {
			return "true"
		}
		return "false"
	}
	add("auth_data", form.ListSingle, "plain") // §3.1: PLAIN is offered, behind TLS
	retention := "infinite"
	if p.Retention > 0 {
		retention = hours(p.Retention)
	}
	add("data_retention", form.TextSingle, retention)
	// What is in the history is there to stay, and an account is the administrator's to delete.
	add("data_deletion", form.Boolean, "false")
	add("full_erasure", form.Boolean, "false")
	add("data_export", form.Boolean, "false")
	add("encryption_at_rest", form.Boolean, boolean(p.AtRest))
	if len(p.Access) > 0 {
		add("access_policy", form.ListMulti, p.Access...)
	}
	if p.Terms != "" {
		add("tos", form.TextSingle, p.Terms)
	}
	if p.Backups > 0 {
		add("backup_frequency", form.TextSingle, hours(p.Backups))
	}
	if p.Kept > 0 {
		add("backup_retention", form.TextSingle, hours(p.Kept))
	}
	if p.Info != "" {
		add("extra_info", form.TextMulti, p.Info)
	}
	return f.Append(dst)
}

// hours is a time in hours, rounded up: the fields say at most.
func hours(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Hour-1)/time.Hour), 10)
}
