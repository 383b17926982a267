package directory

import (
	"slices"

	"confab/xmpp"
)

// KeepNames has fn say of an address that nobody has whether it is kept for
// somebody: then the text says for whom, and nobody else is given it. fn makes
// no change of the directory.
func (d *Directory) KeepNames(fn func(j xmpp.JID) (text string, kept bool)) {
	d.hooks.Lock()
	defer d.hooks.Unlock()
	d.keepers = append(d.keepers, fn)
}

// kept refuses a new name that is kept for somebody else.
func (d *Directory) kept(j xmpp.JID) error {
	d.hooks.Lock()
	keepers := slices.Clone(d.keepers)
	d.hooks.Unlock()
	for _, fn := range keepers {
		if text, kept := fn(j); kept {
			return refuse(ErrExists, "%s", text)
		}
	}
	return nil
}
