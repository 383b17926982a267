package bolt

import (
	"os"

	"confab/xmpp/store/bolt/internal/wal"
)

// WithSync returns options with which the log is put on disk by sync.
func WithSync(o Options, sync func(*os.File) error) Options {
	o.sync = sync
	return o
}

// LogPaths returns the files of a store's log.
func LogPaths(path string) [2]string { return wal.Paths(path) }

// HoldCheckpoints lets no checkpoint begin or go on until release is called.
func (db *DB) HoldCheckpoints() (release func()) {
	b, err := db.bolt.Begin(true)
	if err != nil {
		panic(err)
	}
	return func() { _ = b.Rollback() }
}

// Age makes what is in the log old.
func (db *DB) Age() {
	db.checkpoints.due.Store(true)
	db.signal()
}
