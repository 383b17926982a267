package feature

import (
	"sync"

	"confab/xmpp/router"
)

// StoreCounts writes down how many stanzas the sessions that can be resumed have
// handled (XEP-0198 §5), where Commit has only those up to the last that had to be
// stored. It is for an orderly end; after a crash the others come again.
func (t *Table) StoreCounts() {
	var wg sync.WaitGroup
	at := make(chan struct{}, 256) // so many share a commit
	t.host.Router.Sessions(func(s *router.Session) {
		_, token := s.Managed()
		if token == "" {
			return
		}
		at <- struct{}{}
		wg.Go(func() {
			defer func() { <-at }()
			if err := t.host.Keeper.Keep(nil, Count{token, s.Handled(0)}, t.deliver); err != nil {
				t.host.Log.Error("the count of a session was not stored", "error", err, "session", s.JID().String())
			}
		})
	})
	wg.Wait()
}
