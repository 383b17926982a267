package auth

import (
	"bytes"
	"context"
	"runtime"
	"slices"
	"sync"

	"confab/xmpp"
	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// NewAccount is one of many users who are to be added with their credentials:
// Keys that come from elsewhere, or a Password, or neither. Also of NewUser is
// not used.
type NewAccount struct {
	directory.NewUser
	Keys     Keys
	Password string
	// Generated says that Password has some hundred random bits: to find it one
	// has to try so many that it needs no more than the least iterations.
	Generated bool
}

// Import says how to go about an import.
type Import struct {
	// First are the hashes that accounts are added with; they get the keys for
	// the others when all of them are there. If it is nil it is SHA-256 alone for
	// more than 500 passwords, all hashes for fewer: a key costs one processor 2
	// ms with 10,000 iterations of SHA-1 or SHA-256, but 7 ms with SHA-512.
	First []Hash

	// Workers is how many passwords are hashed at once, GOMAXPROCS if zero. On a
	// server that runs, each takes a turn for each hash, as logins do: xmpp.Heavy.
	Workers int
	Turns   xmpp.Turns // nil: they need none

	// Progress is called from time to time.
	Progress func(Progress)

	// Refused is called for an account that cannot be added. If it returns nil
	// the others are added; an error ends the import, as does any refusal without
	// it.
	Refused func(u directory.NewUser, err error) error
}

// Progress is how far an import has come, in accounts. Those that are Added
// can log in, if they have credentials; Complete ones by all mechanisms.
type Progress struct {
	Added, Complete, Refused, Total int
}

// importer is an import that is running.
type importer struct {
	auth *Auth
	Import
	progress Progress
	pending  []*newcomer // added, but with First only
}

// newcomer is an account on its way.
type newcomer struct {
	*NewAccount
	prepared string
	keys     Keys
	id       directory.ID
}

// Import adds many accounts. It may be interrupted by ctx: what was added
// stays, and can log in.
func (a *Auth) Import(ctx context.Context, accounts []NewAccount, how Import) error {
	if how.First == nil {
		how.First = hashes
		if passwords(accounts) > 500 {
			how.First = []Hash{SHA256}
		}
	}
	if how.Workers <= 0 {
		how.Workers = runtime.GOMAXPROCS(0)
	}
	if how.Refused == nil {
		how.Refused = func(_ directory.NewUser, err error) error { return err }
	}
	if how.Progress == nil {
		how.Progress = func(Progress) {}
	}
	m := &importer{auth: a, Import: how, progress: Progress{Total: len(accounts)}}
	for chunk := range slices.Chunk(accounts, 1000) {
		if err := m.add(ctx, chunk); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(m.pending, 200) {
		if err := m.complete(ctx, chunk); err != nil {
			return err
		}
	}
	return nil
}

func passwords(accounts []NewAccount) (n int) {
	for i := range accounts {
		if accounts[i].Password != "" {
			n++
		}
	}
	return n
}

// add adds some accounts, with keys for the first hashes.
func (m *importer) add(ctx context.Context, accounts []NewAccount) error {
	var come []*newcomer
	users := make([]directory.NewUser, len(accounts))
	for i := range accounts {
		users[i] = accounts[i].NewUser
	}
	bad := make(map[int]error)
	m.auth.directory.Check(users, func(i int, err error) { bad[i] = err })
	for i := range accounts {
		n := &newcomer{NewAccount: &accounts[i], keys: accounts[i].Keys}
		err := bad[i]
		switch {
		case err != nil:
		case n.keys != nil:
			err = n.keys.check()
		case n.Password != "":
			n.prepared, err = prepare(n.Password)
		}
		if err != nil {
			if err := m.refuse(n.NewUser, err); err != nil {
				return err
			}
			continue
		}
		come = append(come, n)
	}
	if err := m.derive(ctx, come, m.First); err != nil {
		return err
	}
	users = users[:len(come)]
	for i, n := range come {
		users[i] = n.NewUser
		users[i].Also = func(tx store.Tx, id directory.ID) error {
			n.id = id
			if n.keys == nil {
				return nil
			}
			return m.auth.Enrol(n.Domain, n.keys)(tx, id)
		}
	}
	err := m.auth.directory.AddAll(ctx, users, directory.Batch{Refused: m.refuse})
	if err != nil {
		return err
	}
	for _, n := range come {
		switch {
		case n.id == 0: // refused
			continue
		case n.prepared != "" && len(m.First) < len(hashes):
			m.pending = append(m.pending, n)
		default:
			m.progress.Complete++
		}
		m.progress.Added++
	}
	m.Progress(m.progress)
	return nil
}

func (m *importer) refuse(u directory.NewUser, err error) error {
	m.progress.Refused++
	return m.Refused(u, err)
}

// complete gives accounts the keys they still lack, unless they have got others
// meanwhile.
func (m *importer) complete(ctx context.Context, accounts []*newcomer) error {
	had := make([][]byte, len(accounts))
	for i, n := range accounts {
		had[i] = appendKeys(nil, n.keys)
	}
	var rest []Hash
	for _, h := range hashes {
		if !slices.Contains(m.First, h) {
			rest = append(rest, h)
		}
	}
	if err := m.derive(ctx, accounts, rest); err != nil {
		return err
	}
	err := m.auth.db.Update(ctx, func(tx store.Tx) error {
		for i, n := range accounts {
			if !bytes.Equal(tx.Get(space, keyUser(n.id)), had[i]) {
				continue
			}
			if err := m.auth.Enrol(n.Domain, n.keys)(tx, n.id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	m.progress.Complete += len(accounts)
	m.Progress(m.progress)
	return nil
}

// derive adds keys by the hashes given for all accounts that have a password.
func (m *importer) derive(ctx context.Context, accounts []*newcomer, of []Hash) error {
	work := make(chan *newcomer)
	var workers sync.WaitGroup
	for range m.Workers {
		workers.Go(func() {
			for n := range work {
				iterations := m.auth.iterations
				if n.Generated {
					iterations = minIterations
				}
				for _, h := range of {
					if m.Turns != nil && m.Turns.Take(ctx) != nil {
						break
					}
					n.keys = append(n.keys, newKey(h, n.prepared, iterations))
					if m.Turns != nil {
						m.Turns.Give()
					}
				}
			}
		})
	}
	for _, n := range accounts {
		if n.prepared == "" {
			continue
		}
		select {
		case work <- n:
		case <-ctx.Done():
		}
	}
	close(work)
	workers.Wait()
	return ctx.Err()
}
