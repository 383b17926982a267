package main

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"confab/cmd/internal/dialogue"
	"confab/xmpp/store"
)

// counted is an engine that knows how much was written by the largest Update.
type counted struct {
	store.DB
	most atomic.Int64
}

type countedTx struct {
	store.Tx
	puts int64
}

func (c *counted) Update(ctx context.Context, fn func(store.Tx) error) error {
	return c.DB.Update(ctx, func(tx store.Tx) error {
		t := &countedTx{Tx: tx}
		err := fn(t)
		c.most.Store(max(c.most.Load(), t.puts)) // there is one committer
		return err
	})
}

func (t *countedTx) Put(space store.Space, key, value []byte) error {
	t.puts++
	return t.Tx.Put(space, key, value)
}

// Many messages to many that come at once are not stored and delivered in one piece: those of others come in between.
func TestManyMessagesToMany(t *testing.T) {
	const members, bombs, reach = 200, 30, 512
	var c *counted
	w := promised(t, func(db store.DB) store.DB { c = &counted{DB: db}; return c })
	if out, err := w.Operate("", append([]string{"alias", "create", "everybody", "romeo", "juliet"}, w.crowd(members-2)...)...); err != nil {
		t.Fatal(out, err)
	}
	romeo, juliet := mustOnline(t, w.Addr(dialogue.DirectTLS), "romeo"), mustOnline(t, w.Addr(dialogue.DirectTLS), "juliet")
	if err := romeo.send(strings.Repeat("<message type='chat' to='everybody@example.com'><body>bomb</body></message>", bombs)); err != nil {
		t.Fatal(err)
	}
	for range bombs {
		juliet.hears(t, "romeo: bomb")
	}
	// Each message is one entry, however many have it; what reaches more than that is no batch any more.
	if most := c.most.Load(); most < 1 || most > reach/members+1 {
		t.Errorf("%d entries were written at once, of %d", most, bombs)
	}
}
