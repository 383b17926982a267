package directory

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"confab/xmpp"
	"confab/xmpp/store"
)

func keyAlias(id ID) []byte { return binary.BigEndian.AppendUint64([]byte("a"), uint64(id)) }

func keyPicture(id ID) []byte { return binary.BigEndian.AppendUint64([]byte("p"), uint64(id)) }

// AliasPicture returns the bytes of an alias's avatar, nil if it has none.
func (d *Directory) AliasPicture(ctx context.Context, id ID) (data []byte, err error) {
	err = d.db.View(ctx, func(tx store.Tx) error {
		data = slices.Clone(tx.Get(space, keyPicture(id)))
		return nil
	})
	return data, err
}

func keyAliasRevision(domain string) []byte { return append([]byte("r"), domain...) }

// aliasRecord is an alias on disk, behind the layout and the kind.
type aliasRecord struct {
	ID          ID             `json:"id"`
	Domain      string         `json:"domain"`
	Local       string         `json:"local"`
	Name        string         `json:"name,omitempty"`
	Description string         `json:"description,omitempty"`
	Kind        Kind           `json:"kind"`
	Everyone    bool           `json:"everyone,omitempty"`
	Members     []memberRecord `json:"members,omitempty"`
	Settings    AliasSettings  `json:"settings"`
	Avatar      Avatar         `json:"avatar,omitzero"`
	Created     int64          `json:"created"`
	Deleted     int64          `json:"deleted,omitempty"`
	Former      string         `json:"former,omitempty"`
	Renamed     int64          `json:"renamed,omitempty"`
}

type memberRecord struct {
	Kind      string `json:"k"`
	ID        ID     `json:"id,omitempty"`
	Address   string `json:"a,omitempty"`
	Moderator bool   `json:"m,omitempty"`
	Since     int64  `json:"s"`
}

const kindAlias = 'a'

func micro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicro(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

func appendAlias(dst []byte, a *Alias) ([]byte, error) {
	r := aliasRecord{
		ID: a.ID, Domain: a.Domain, Local: a.Local, Name: a.Name, Description: a.Description, Kind: a.Kind, Everyone: a.Everyone,
		Settings: a.Settings, Avatar: a.Avatar, Created: micro(a.Created), Deleted: micro(a.Deleted), Former: a.Former, Renamed: micro(a.Renamed),
	}
	for _, m := range a.Members {
		r.Members = append(r.Members, memberRecord{string(rune(m.Kind)), m.ID, m.Address, m.Moderator, micro(m.Since)})
	}
	text, err := json.Marshal(&r)
	return append(append(dst, layout, kindAlias), text...), err
}

func parseAlias(b []byte) (*Alias, error) {
	if len(b) < 2 || b[0] != layout || b[1] != kindAlias {
		return nil, errRecord
	}
	var r aliasRecord
	if err := json.Unmarshal(b[2:], &r); err != nil {
		return nil, errRecord
	}
	a := &Alias{
		ID: r.ID, Domain: r.Domain, Local: r.Local, Name: r.Name, Description: r.Description, Kind: r.Kind, Everyone: r.Everyone,
		Settings: r.Settings, Avatar: r.Avatar, Created: fromMicro(r.Created), Deleted: fromMicro(r.Deleted), Former: r.Former, Renamed: fromMicro(r.Renamed),
	}
	for _, m := range r.Members {
		if len(m.Kind) != 1 {
			return nil, errRecord
		}
		a.Members = append(a.Members, Member{MemberKind(m.Kind[0]), m.ID, m.Address, m.Moderator, fromMicro(m.Since)})
	}
	var err error
	if a.JID, err = xmpp.NewJID(a.Local, a.Domain, ""); err != nil {
		return nil, errRecord
	}
	return a, nil
}

// loadAliases reads all aliases.
func (d *Directory) loadAliases(ctx context.Context) error {
	all := make(map[*Domain][]*Alias)
	err := d.walk(ctx, []byte("a"), func(_, value []byte) error {
		a, err := parseAlias(value)
		if err != nil {
			return err
		}
		if m := d.domains[a.Domain]; m != nil {
			d.indexAlias(nil, a)
			if a.Deleted.IsZero() {
				all[m] = append(all[m], a)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return d.db.View(ctx, func(tx store.Tx) error {
		for _, m := range d.domains {
			s := &aliasSnapshot{revision: 1, all: all[m]}
			if b := tx.Get(space, keyAliasRevision(m.Name())); len(b) == 8 {
				s.revision = binary.BigEndian.Uint64(b)
			}
			slices.SortFunc(s.all, func(a, b *Alias) int { return strings.Compare(a.Local, b.Local) })
			m.aliases.Store(s)
		}
		return nil
	})
}
