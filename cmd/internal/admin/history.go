package admin

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"confab/archive"
	"confab/archive/search"
	"confab/xmpp"
	"confab/xmpp/directory"
)

// Reading the history is not in the audit log but in the history itself: the
// archive lets nobody read in it before that is noted there. HistoryAccesses
// shows these notes.

// Owner says whose history is meant: the user with an address, or anybody who
// ever was a user, by id.
type Owner struct {
	Address string       `json:"address,omitempty"`
	ID      directory.ID `json:"id,omitempty"`
}

// owner finds a user, or the tombstone of one who was deleted.
func (a *Admin) owner(o Owner) (*directory.User, error) {
	if o.ID != 0 {
		if u := a.Directory.Tombstone(o.ID); u != nil {
			return u, nil
		}
		return nil, failf(NotFound, "there never was a user with the id %d", o.ID)
	}
	u, err := a.find(o.Address)
	if err == nil {
		return u, nil
	}
	local, domain, splitErr := a.split(o.Address)
	if splitErr != nil {
		return nil, err
	}
	j, addressErr := a.Directory.LoginJID(domain, local)
	if addressErr != nil {
		return nil, err
	}
	switch deleted := a.Directory.Deleted(j); len(deleted) {
	case 0:
		return nil, err
	case 1:
		return deleted[0], nil
	default:
		var which []string
		for _, u := range deleted {
			which = append(which, fmt.Sprintf("--id %d (deleted %s)", u.ID, u.Deleted.Format(time.DateOnly)))
		}
		return nil, failf(Usage, "several users had the address %s: say %s", j, strings.Join(which, " or "))
	}
}

// somebody reads an address that need not be one of ours: a bare or full
// address, a domain, or a localpart of the only domain.
func (a *Admin) somebody(address string) (xmpp.JID, error) {
	if address == "" {
		return xmpp.JID{}, nil
	}
	if !strings.ContainsAny(address, "@/") && a.domain(address) == nil && !strings.Contains(address, ".") {
		local, domain, err := a.split(address)
		if err != nil {
			return xmpp.JID{}, err
		}
		return a.Directory.LoginJID(domain, local)
	}
	j, err := xmpp.ParseJID(address)
	if err != nil {
		if local, domain, ok := strings.Cut(address, "@"); ok {
			j, err = xmpp.NewJID(xmpp.EscapeLocal(local), domain, "")
		}
	}
	if err != nil {
		return xmpp.JID{}, failf(Usage, "%q is no address", address)
	}
	return j, nil
}

// HistoryListParams name whose conversations are wanted.
type HistoryListParams struct {
	Owner
}

// Conversation is what a user has had with somebody.
type Conversation struct {
	With     string    `json:"with"`
	Messages int       `json:"messages"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
}

// HistoryListed says whose conversations were listed.
type HistoryListed struct {
	Owner         string       `json:"owner"`
	ID            directory.ID `json:"id"`
	Deleted       *time.Time   `json:"deleted,omitempty"`
	Conversations int          `json:"conversations"`
}

// HistoryList streams the conversations of a user.
var HistoryList = define(Operation{Name: "history list"}, func(c *call[Conversation], p HistoryListParams) (HistoryListed, error) {
	u, err := c.owner(p.Owner)
	if err != nil {
		return HistoryListed{}, err
	}
	auditor, err := c.Archive.Audit(c, c.by, "history list", p)
	if err != nil {
		return HistoryListed{}, err
	}
	result := HistoryListed{Owner: u.JID.String(), ID: u.ID}
	if !u.Deleted.IsZero() {
		result.Deleted = &u.Deleted
	}
	err = auditor.Conversations(c, u.ID, func(v archive.Conversation) error {
		result.Conversations++
		return c.item(Conversation{With: c.Directory.Spoken(v.With).String(), Messages: v.Messages, First: v.First, Last: v.Last})
	})
	return result, err
})

// HistoryParams say which messages are wanted. Zero fields are no condition.
type HistoryParams struct {
	Owner             // whose archive; nobody: everywhere, each message once
	With   string     `json:"with,omitempty"` // in the archive of the owner
	From   string     `json:"from,omitempty"` // as it was sent
	To     string     `json:"to,omitempty"`
	Text   string     `json:"text,omitempty"`   // words, in any order, or a phrase in quotation marks
	Part   string     `json:"part,omitempty"`   // text as it is, also within words
	Start  *time.Time `json:"start,omitempty"`  // included
	End    *time.Time `json:"end,omitempty"`    // not included
	Last   int        `json:"last,omitempty"`   // only the newest of them; 0: all
	Format string     `json:"format,omitempty"` // text, json, csv
}

// maxLast bounds what is held in memory: the newest are found from the end.
const maxLast = 10_000

// search turns parameters into what the archive understands.
func (a *Admin) search(p HistoryParams) (archive.Search, error) {
	s := archive.Search{Part: p.Part}
	if p.Text != "" {
		q, err := search.Parse(p.Text)
		var wrong *xmpp.Error
		if errors.As(err, &wrong) {
			return s, failf(Usage, "%s", wrong.Text)
		}
		s.Text = q
	}
	if p.Owner != (Owner{}) {
		u, err := a.owner(p.Owner)
		if err != nil {
			return s, err
		}
		s.Owner = u.ID
	} else if p.With != "" {
		return s, failf(Usage, "whose conversation with %s? Name the user, too", p.With)
	}
	var err error
	if s.With, err = a.somebody(p.With); err != nil {
		return s, err
	}
	s.With = a.Directory.Conversation(s.With)
	if s.From, err = a.somebody(p.From); err != nil {
		return s, err
	}
	if s.To, err = a.somebody(p.To); err != nil {
		return s, err
	}
	if p.Start != nil {
		s.Start = *p.Start
	}
	if p.End != nil {
		s.End = *p.End
	}
	if p.Start != nil && p.End != nil && !s.Start.Before(s.End) {
		return s, failf(Usage, "the time ends (%s) before it begins (%s)", s.End.Format(time.RFC3339), s.Start.Format(time.RFC3339))
	}
	return s, nil
}

// HistoryFound sums up what was looked for and found.
type HistoryFound struct {
	Messages   int `json:"messages"`
	Unreadable int `json:"unreadable"` // that meet the conditions other than the text and are encrypted between clients
}

// HistoryRead streams messages from the oldest to the newest, written down in a
// format: the items are pieces of the text.
type HistoryRead = Op[HistoryParams, []byte, HistoryFound]

// What there is to read of the history. They differ in what the notes say.
var (
	HistoryShow   = defineRead("history show")
	HistorySearch = defineRead("history search")
	HistoryExport = defineRead("history export")
)

func defineRead(name string) HistoryRead {
	return define(Operation{Name: name}, func(c *call[[]byte], p HistoryParams) (HistoryFound, error) {
		s, err := c.search(p)
		if err != nil {
			return HistoryFound{}, err
		}
		if p.Last < 0 || p.Last > maxLast {
			return HistoryFound{}, failf(Usage, "the newest %d messages: the number must be 1 to %d", p.Last, maxLast)
		}
		format := archive.Format(p.Format)
		if format == "" {
			format = archive.Text
		}
		out, err := archive.NewExporter(pieces{c}, format)
		if err != nil {
			return HistoryFound{}, failf(Usage, "%v", err)
		}
		auditor, err := c.Archive.Audit(c, c.by, name, p)
		if err != nil {
			return HistoryFound{}, err
		}
		var newest []*archive.Entry
		write := out.Write
		if p.Last > 0 {
			s.Limit, s.Reverse = p.Last, true
			write = func(e *archive.Entry) error { newest = append(newest, e); return nil }
		}
		found, err := auditor.Search(c, s, write)
		for _, e := range slices.Backward(newest) {
			if err == nil {
				err = out.Write(e)
			}
		}
		if err == nil {
			err = out.Close()
		}
		return HistoryFound{found.Matched, found.Unreadable}, err
	})
}

// pieces makes items of what is written. They are bytes and no strings, as a
// piece may end in the middle of a letter.
type pieces struct{ *call[[]byte] }

func (p pieces) Write(b []byte) (int, error) {
	if err := p.item(b); err != nil {
		return 0, err
	}
	return len(b), p.Err()
}

// SharedFile is a file that a message names.
type SharedFile struct {
	Time time.Time `json:"time"`
	From string    `json:"from"`
	To   string    `json:"to"`
	URL  string    `json:"url"`
	Name string    `json:"name,omitempty"`
	Type string    `json:"type,omitempty"`
	Size int64     `json:"size,omitempty"`
}

// HistoryFiles streams the files that were shared in messages.
var HistoryFiles = define(Operation{Name: "history files"}, func(c *call[SharedFile], p HistoryParams) (HistoryFound, error) {
	s, err := c.search(p)
	if err != nil {
		return HistoryFound{}, err
	}
	auditor, err := c.Archive.Audit(c, c.by, "history files", p)
	if err != nil {
		return HistoryFound{}, err
	}
	found, err := auditor.Files(c, s, func(e *archive.Entry, f archive.File) error {
		if kept, ok, err := c.Uploads.Find(c, f.URL); err != nil {
			return err
		} else if ok { // what was uploaded here need not be believed
			f.Name, f.MediaType, f.Size = kept.Name, kept.MediaType, kept.Size
		}
		return c.item(SharedFile{
			Time: e.Time, From: e.From.String(), To: e.To.String(),
			URL: f.URL, Name: f.Name, Type: f.MediaType, Size: max(f.Size, 0),
		})
	})
	return HistoryFound{found.Matched, found.Unreadable}, err
})

// Reindexed says what an index was built of.
type Reindexed struct {
	Messages int `json:"messages"`
}

// HistoryReindex builds the search index anew.
var HistoryReindex = define(Operation{Name: "history reindex", Audited: true}, func(c *call[None], _ None) (Reindexed, error) {
	n, err := c.Archive.Reindex(c, c.progress)
	return Reindexed{n}, err
})

// HistoryAccessesParams choose the time.
type HistoryAccessesParams struct {
	Start *time.Time `json:"start,omitempty"`
	End   *time.Time `json:"end,omitempty"`
}

// HistoryAccesses streams who has read in the history.
var HistoryAccesses = define(Operation{Name: "history accesses"}, func(c *call[archive.Access], p HistoryAccessesParams) (None, error) {
	var start, end time.Time
	if p.Start != nil {
		start = *p.Start
	}
	if p.End != nil {
		end = *p.End
	}
	return None{}, c.Archive.Accesses(c, start, end, c.item)
})
