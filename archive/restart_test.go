package archive

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"confab/xmpp/feature/featuretest"
	"confab/xmpp/store"
)

// What one of somebody's clients has acknowledged is got; what none has comes again should the server not come back with
// the sessions. It makes no difference in which order they are saved.
func TestMarkerOfSessionsAtRest(t *testing.T) {
	const said = 4
	for _, test := range []struct {
		acknowledged []uint32 // by romeo's clients, in the order in which they are saved
		shy          bool     // the last one gets nothing but what is for it alone
		want         int      // as many of the messages are got
	}{
		{acknowledged: []uint32{2}, want: 2},
		{acknowledged: []uint32{0}, want: 0},
		{acknowledged: []uint32{said}, want: said},
		{acknowledged: []uint32{1, 3}, want: 3},
		{acknowledged: []uint32{3, 1}, want: 3},
		{acknowledged: []uint32{1, said, 2}, want: said},
		{acknowledged: []uint32{said, 1}, want: said},
		{acknowledged: []uint32{1, said}, want: said},
		{acknowledged: []uint32{1, 0}, shy: true, want: 1},
	} {
		t.Run(fmt.Sprint(test.acknowledged), func(t *testing.T) {
			w := newAway(t)
			juliet := w.Online(t, "juliet@example.com/balcony")
			var clients []*featuretest.Person
			for i := range test.acknowledged {
				c := w.Connect(t, fmt.Sprintf("romeo@example.com/%d", i))
				managed(t, c.Session)
				c.Sends(map[bool]string{true: "<presence><priority>-1</priority></presence>", false: "<presence/>"}[test.shy && i == len(test.acknowledged)-1])
				clients = append(clients, c)
			}
			w.says(juliet, "romeo@example.com", strings.Split(strings.Repeat("x", said), "")...)
			a, err := Open(t.Context(), w.held, Options{Clock: w.Clock, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			romeo := w.ID("romeo@example.com")
			ids := []uint64{0}
			if _, err := a.Page(t.Context(), Query{Owner: romeo}, func(it *Item) error { ids = append(ids, it.ID); return nil }); err != nil || len(ids) != said+1 {
				t.Fatal(ids, err)
			}
			// All was delivered, and the marker was just written.
			if err := w.held.Update(t.Context(), func(tx store.Tx) error {
				return tx.Put(spaceMarker, appendOwner(nil, romeo), appendID(nil, ids[said]))
			}); err != nil {
				t.Fatal(err)
			}
			for i, c := range clients {
				if err := c.Acknowledge(test.acknowledged[i]); err != nil {
					t.Fatal(err)
				}
				w.offline.Restart.Save(c.Session)
			}
			w.offline.Stop()
			marker, err := a.Marker(t.Context(), romeo)
			if err != nil || marker < ids[test.want] || test.want < said && marker >= ids[test.want+1] {
				t.Errorf("the marker is at %d, %v; it should be behind message %d of %v", marker, err, test.want, ids)
			}
		})
	}
}
