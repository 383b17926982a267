package archive

import (
	"context"

	"confab/xmpp/store"
)

// linksOf finds what a stanza links.
func (a *Archive) linksOf(stanza []byte) []string {
	if a.opts.Links == nil {
		return nil
	}
	return a.opts.Links(stanza)
}

// linkKey says that a message links something. A link has no NUL in it.
func linkKey(link string, id uint64) []byte {
	return appendID(append([]byte(link), 0), id)
}

// Linked reports whether a message of the history links something, in anybody's archive. What clients encrypted between
// them may link it, too; that cannot be known.
func (a *Archive) Linked(ctx context.Context, link string) (linked bool, err error) {
	err = a.db.View(ctx, func(tx store.Tx) error {
		for range tx.Scan(spaceLink, store.Range{Prefix: append([]byte(link), 0), Limit: 1}) {
			linked = true
		}
		return nil
	})
	return linked, err
}
