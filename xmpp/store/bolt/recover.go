package bolt

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"confab/xmpp/store/bolt/internal/memtable"
	"confab/xmpp/store/bolt/internal/wal"
)

// metaBucket is where the B-tree notes what of the log it contains.
const metaBucket = "\x00log"

var (
	keyStore     = []byte("store")     // 16 bytes by which a log knows its store
	keyContained = []byte("contained") // number of a segment, of the last commit in it
)

// contained is what the B-tree knows of the log.
type contained struct {
	id      [16]byte
	known   bool // there was a log
	segment uint64
	seq     uint64
}

func readContained(b *bbolt.Tx) (c contained, err error) {
	meta := b.Bucket([]byte(metaBucket))
	if meta == nil {
		return c, nil
	}
	v := meta.Get(keyContained)
	if n := copy(c.id[:], meta.Get(keyStore)); n != len(c.id) || len(v) != 16 {
		return c, errors.New("the note on what of the log it contains cannot be read")
	}
	return contained{c.id, true, binary.BigEndian.Uint64(v), binary.BigEndian.Uint64(v[8:])}, nil
}

// noteContained notes that a segment and those before it are contained.
func noteContained(b *bbolt.Tx, segment, last uint64) error {
	v := binary.BigEndian.AppendUint64(nil, segment)
	return b.Bucket([]byte(metaBucket)).Put(keyContained, binary.BigEndian.AppendUint64(v, last))
}

// identify gives the store the mark by which a log knows it, before its first log is begun. It is called by the committer.
func (db *DB) identify() error {
	if db.identified {
		return nil
	}
	_, _ = rand.Read(db.id[:])
	err := db.write(func(b *bbolt.Tx) error {
		meta, err := b.CreateBucketIfNotExists([]byte(metaBucket))
		if err != nil {
			return err
		}
		return errors.Join(meta.Put(keyStore, db.id[:]), noteContained(b, 0, 0))
	})
	db.identified = err == nil
	return err
}

// recover reads the log, if there is one: each segment is a layer again, as it was.
func (db *DB) recover() error {
	var c contained
	var base int
	err := readable(func() error {
		return db.bolt.View(func(b *bbolt.Tx) (err error) {
			base = b.ID()
			c, err = readContained(b)
			return err
		})
	})
	if err != nil {
		return err
	}
	db.id, db.identified = c.id, c.known
	var layers []*layer
	o := wal.Options{Store: c.id, Contained: c.segment, Last: c.seq, Sync: db.opts.sync}
	begin := func(h wal.Header) { layers = append(layers, newLayer(h.Number)) }
	log, found, err := wal.Open(db.bolt.Path(), o, begin, func(seq uint64, e wal.Entry) error {
		table := layers[len(layers)-1].Table
		switch {
		case len(e.Key) > memtable.MaxKey || len(e.Value) > memtable.MaxValue || !table.Fits(e.Key, e.Value):
			return fmt.Errorf("commit %d: %w", seq, wal.ErrTooLarge)
		case e.Value == nil:
			table.List(e.Space).Delete(e.Key, seq)
		default:
			table.List(e.Space).Put(e.Key, e.Value, seq)
		}
		table.Keep()
		return nil
	})
	if err != nil {
		return err
	}
	snap := &snapshot{seq: c.seq, base: base}
	for i, f := range found {
		snap.layers[1], snap.layers[0] = snap.layers[0], layers[i]
		snap.seq, layers[i].last = f.Last, f.Last
		db.log.Info("read what the log has and the file has not", "file", db.bolt.Path(), "segment", f.Number, "commits", f.Last-f.First+1)
	}
	if len(found) == 0 {
		snap.layers[0] = newLayer(c.segment + 1)
	}
	db.wal = log
	db.snap.Store(snap)
	db.stats.overlay.Store(snap.size())
	return nil
}

func (s *snapshot) size() (n int64) {
	for _, l := range s.layers {
		if l != nil {
			n += l.Size()
		}
	}
	return n
}
