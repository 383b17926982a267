package lastactivity

import (
	"context"
	"encoding/binary"
	"maps"
	"sync"
	"time"

	"confab/xmpp/directory"
	"confab/xmpp/feature"
	"confab/xmpp/store"
)

// space holds, by id of a user, a record: the time in microseconds since 1970,
// 8 bytes, and the status.
const space store.Space = "lastactivity"

type record struct {
	at     time.Time
	status string
}

func key(id directory.ID) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

func (r record) encode() []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(r.at.UnixMicro())), r.status...)
}

func decode(b []byte) (record, bool) {
	if len(b) < 8 {
		return record{}, false
	}
	return record{time.UnixMicro(int64(binary.BigEndian.Uint64(b))), string(b[8:])}, true
}

// book keeps the records. Who logs out does not wait for the disk: when a
// thousand people do at once, they share a few commits.
type book struct {
	host *feature.Host

	mu      sync.Mutex
	written *sync.Cond              // nothing is left to write
	queue   map[directory.ID]record // not on its way to the disk yet
	writing map[directory.ID]record // on its way; nil: nobody writes
}

func (b *book) open(h *feature.Host) {
	b.host, b.queue = h, map[directory.ID]record{}
	b.written = sync.NewCond(&b.mu)
	h.Directory.OnDelete(func(tx store.Tx, id directory.ID) error { return tx.Delete(space, key(id)) })
}

func (b *book) note(id directory.ID, r record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue[id] = r
	if b.writing == nil {
		b.writing = map[directory.ID]record{}
		go b.write()
	}
}

// write writes until nothing is left.
func (b *book) write() {
	for b.next() {
		err := b.host.State.Update(context.Background(), func(tx store.Tx) error {
			for id, r := range b.writing {
				if err := tx.Put(space, key(id), r.encode()); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.host.Log.Error("times of logout could not be stored", "users", len(b.writing), "error", err)
		}
	}
}

// next takes what has been queued meanwhile.
func (b *book) next() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		b.writing = nil
		b.written.Broadcast()
		return false
	}
	b.writing = maps.Clone(b.queue)
	clear(b.queue)
	return true
}

// flush waits until everything is written.
func (b *book) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.writing != nil {
		b.written.Wait()
	}
}

func (b *book) find(ctx context.Context, id directory.ID) (r record, ok bool, err error) {
	b.mu.Lock()
	if r, ok = b.queue[id]; !ok {
		r, ok = b.writing[id]
	}
	b.mu.Unlock()
	if ok {
		return r, true, nil
	}
	err = b.host.State.View(ctx, func(tx store.Tx) error {
		r, ok = decode(tx.Get(space, key(id)))
		return nil
	})
	return r, ok, err
}
