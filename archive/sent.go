package archive

import (
	"context"

	"confab/xmpp/feature"
)

// Sent reports whether the newest messages that the sender of d sent to the same address include one with the attribute
// 'id'. What is on its way into the archive does not count.
func (a *Archive) Sent(ctx context.Context, d *feature.Dispatch, id string) (bool, error) {
	if d.Session == nil {
		return false, nil
	}
	found, err := a.findSent(ctx, d, id)
	return found != 0, err
}
