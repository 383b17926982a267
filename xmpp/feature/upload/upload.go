// Package upload takes files from clients and hands them out over HTTP
// (XEP-0363). A client asks the service upload.<domain> for a slot, sends the
// file to the slot's address, and tells others the address in a message.
//
// Whoever knows an address can fetch the file: addresses hold 160 random bits.
// Nothing that a client sends becomes part of a path on disk.
//
// A file is kept as long as a message of the history links it. What links it may
// be encrypted between clients, so a file that no readable message links is kept
// for as long as messages are: see Sweep.
package upload

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"confab/xmpp"
	"confab/xmpp/feature"
	"confab/xmpp/form"
)

// label is the first label of the service's domain.
const label = "upload"

// nsPurpose qualifies what a slot is for (XEP-0363 §5).
const nsPurpose = "urn:xmpp:http:upload:purpose:0"

// Options are what uploads need. The funcs are called whenever something is
// asked, so what they return may change.
type Options struct {
	Folder string                     // where files are kept; it need not exist
	URL    func(domain string) string // how a domain's users reach the web side, without a slash at the end
	Limits func() Limits
	// Linked reports whether the history links a file; see Links.
	Linked func(ctx context.Context, link string) (bool, error)
}

// Limits bound what a user may upload, in bytes.
type Limits struct {
	File  int64 // one file
	Quota int64 // all files of a user together
}

// largest is the largest file that can be announced: one that is charged no more
// than the quota.
func (l Limits) largest() int64 { return min(l.File, l.Quota/block*block) }

// Stats count what happened.
type Stats struct {
	Stored, StoredBytes atomic.Int64
	Served              atomic.Int64 // answers that carry a file or a part of it
	Failed              atomic.Int64 // uploads that broke off, or were not as announced
}

// Uploads are the files and the slots for those to come.
type Uploads struct {
	Stats Stats

	host  *feature.Host
	opts  Options
	slots slots
}

// New makes uploads.
func New(h *feature.Host, o Options) *Uploads {
	u := &Uploads{host: h, opts: o}
	u.slots.init(h.Clock)
	return u
}

// Feature returns the service and its side of the web.
func (u *Uploads) Feature() feature.Feature {
	const path = "/" + label + "/{id}/{name}"
	route := func(method string, h http.HandlerFunc) feature.Route {
		return feature.Route{Pattern: method + " " + path, Handler: shared(h)}
	}
	return feature.Feature{
		Name:       "upload",
		Implements: []feature.XEP{feature.Implements(363, "1.2.0", feature.Complete, "of the purposes: message")},
		Identities: []feature.Identity{{Category: "store", Type: "file", Name: "HTTP File Upload", Where: feature.Service}},
		Advertise: []feature.Advert{
			{Var: xmpp.NSUpload, Where: feature.Service},
			{Var: nsPurpose + "#message", Where: feature.Service},
		},
		Info:    u.info,
		IQ:      []feature.IQ{feature.Get(xmpp.NSUpload, "request", feature.Service, u.request)},
		Targets: []feature.Target{{Where: feature.Service, Label: label, Name: "HTTP File Upload"}},
		Routes: []feature.Route{
			route("PUT", u.put),
			route("GET", u.get), // and HEAD
			route("OPTIONS", preflight),
		},
		Start: func(*feature.Host) error { return u.sweepHalves() },
	}
}

// sweepHalves removes what a crash left of uploads that were under way.
func (u *Uploads) sweepHalves() error { return os.RemoveAll(filepath.Join(u.opts.Folder, halves)) }

// is reports whether a request is for the service itself.
func is(q *feature.Query) bool {
	return q.Where == feature.Service && q.Target.Label == label && q.To.IsDomain()
}

// info tells the largest size that is taken (§3).
func (u *Uploads) info(q *feature.Query, dst []byte) ([]byte, error) {
	if !is(q) {
		return dst, nil
	}
	size := strconv.FormatInt(u.opts.Limits().largest(), 10)
	return form.New(form.TypeResult, xmpp.NSUpload, form.Field{Var: "max-file-size", Values: []string{size}}).Append(dst), nil
}

// request gives a client a slot (§4).
func (u *Uploads) request(q *feature.Query, dst []byte) ([]byte, error) {
	if !is(q) {
		return nil, xmpp.NewError(xmpp.ServiceUnavailable, "")
	}
	user := q.UserOf()
	if user == nil {
		return nil, xmpp.NewError(xmpp.Forbidden, "files are taken from users of "+q.Domain()+" only")
	}
	want, err := parseRequest(q.Payload.Node())
	if err != nil {
		return nil, err
	}
	limits := u.opts.Limits()
	if largest := limits.largest(); want.size > largest {
		return nil, xmpp.NewError(xmpp.NotAcceptable, fmt.Sprintf("the file is too large: the largest size is %d bytes", largest)).
			WithApp(fmt.Sprintf("<file-too-large xmlns='%s'><max-file-size>%d</max-file-size></file-too-large>", xmpp.NSUpload, largest))
	}
	used, err := u.used(context.Background(), user.ID)
	if err != nil {
		return nil, err
	}
	s := &slot{id: newID(), owner: user.ID, request: want}
	if ok, retry := u.slots.add(s, limits.Quota-used); !ok {
		return nil, u.constrained(limits, retry)
	}
	url := u.opts.URL(user.Domain) + path(s.id, s.name)
	dst = append(dst, "<slot xmlns='"+xmpp.NSUpload+"'><put"...)
	dst = xmpp.AppendAttr(dst, "url", url)
	dst = append(dst, "/><get"...)
	dst = xmpp.AppendAttr(dst, "url", url)
	return append(dst, "/></slot>"...), nil
}

// constrained says that the user has too much already. retry is when slots that
// were not used yet will have gone; zero: they are not what is in the way.
func (u *Uploads) constrained(limits Limits, retry time.Time) error {
	e := xmpp.NewError(xmpp.ResourceConstraint, fmt.Sprintf("the files of a user may have %d bytes together, and that is reached", limits.Quota))
	if retry.IsZero() {
		return e
	}
	e.Text = "too much is announced already and not sent yet"
	return e.WithApp(fmt.Sprintf("<retry xmlns='%s' stamp='%s'/>", xmpp.NSUpload, retry.UTC().Truncate(time.Second).Add(time.Second).Format("2006-01-02T15:04:05Z")))
}
