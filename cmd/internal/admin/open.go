package admin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"time"

	"confab/archive"
	"confab/cmd/internal/config"
	"confab/xmpp/store"
	"confab/xmpp/store/bolt"
)

// Stores are the open databases of a data folder.
type Stores struct{ State, History store.DB }

// StoreOptions say what the databases tell, and whom. The zero value will do.
type StoreOptions struct {
	Committed func(updates int, took time.Duration) // told of each commit of the history
	Log       *slog.Logger                          // nil: the default one
}

// OpenStores opens the databases. If another process holds them, the error says which.
func OpenStores(s *config.Settings, o StoreOptions) (*Stores, error) {
	state, err := openStore(s.StateDB(), bolt.Options{InitialMmapSize: int(s.Store.StateSpace), Log: o.Log})
	if err != nil {
		return nil, err
	}
	history, err := openStore(s.ArchiveDB(), bolt.Options{InitialMmapSize: int(s.Store.ArchiveSpace), Append: archive.AppendSpaces(), Committed: o.Committed, Log: o.Log})
	if err != nil {
		return nil, errors.Join(err, state.Close())
	}
	return &Stores{state, history}, nil
}

func openStore(path string, o bolt.Options) (store.DB, error) {
	db, err := bolt.Open(path, o)
	switch {
	case errors.Is(err, store.ErrInUse):
		return nil, &heldError{path: path, holder: holder(path)}
	case errors.Is(err, os.ErrPermission):
		return nil, failf(Failed, "%v: run the command as the user that owns the data folder", err)
	case err != nil:
		return nil, err
	}
	if err := config.Adopt(path); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// heldError says that a database is held by another process.
type heldError struct{ path, holder string }

func (e *heldError) Error() string { return e.path + " is held by " + e.holder }

// Close closes both.
func (s *Stores) Close() error { return errors.Join(s.State.Close(), s.History.Close()) }

// DoorCloser is a Door that has to be closed.
type DoorCloser interface {
	Door
	io.Closer
}

// Connect returns a door: to the running server, or if none runs the one that
// open makes, to the data itself.
func Connect(ctx context.Context, s *config.Settings, open func() (DoorCloser, error)) (DoorCloser, error) {
	client, err := Dial(ctx, s.ControlSocket())
	if err == nil {
		return client, nil
	}
	if !errors.Is(err, ErrNoServer) {
		return nil, err
	}
	if _, err := os.Stat(s.StateDB()); errors.Is(err, os.ErrNotExist) {
		return nil, failf(NotFound, "there is no data in %s: 'confab config init' or the first 'confab serve' makes it; --data or CONFAB_DATA names another folder", s.Data)
	}
	if len(s.Domains) == 0 {
		return nil, failf(Usage, "no mail domain is named: set domains in the settings file, or CONFAB_DOMAINS")
	}
	door, err := open()
	var held *heldError
	if !errors.As(err, &held) {
		return door, err
	}
	// A server that is just starting holds the databases before it listens.
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); {
		if client, err := Dial(ctx, s.ControlSocket()); err == nil {
			return client, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil, failf(Conflict, "%v, but no server answers on %s: stop that process, or wait until it is done", held, s.ControlSocket())
}

// Free reports whether nobody holds the databases. If there are none, it is an error of os.ErrNotExist.
func Free(s *config.Settings) (bool, error) {
	free, err := bolt.Free(s.StateDB())
	if !free {
		return false, err
	}
	return bolt.Free(s.ArchiveDB())
}
