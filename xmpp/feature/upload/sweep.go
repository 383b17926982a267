package upload

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// grace is how much longer than messages files are kept: the message comes after
// its file, and sweeps once a day.
const grace = 2 * 24 * time.Hour

// Sweep removes the files that are older than age, and that no message of the
// history links any more. Age is that of the oldest messages: until then a
// message may link a file that only its recipients can read. Zero: messages are
// kept for ever, and so are files. Then it removes what is on disk without a
// record, which a crash can leave.
func (u *Uploads) Sweep(ctx context.Context, age time.Duration) (removed int, err error) {
	if age > 0 {
		cut := u.host.Now().Add(-age - grace)
		removed, err = u.removeUnlinked(ctx, store.Range{}, spaceFile, func(f *File) bool { return f.Created.Before(cut) })
	}
	return removed, errors.Join(err, u.sweepStrays(ctx))
}

// Purge removes the files of a user whose history is gone, except those that
// others' history links.
func (u *Uploads) Purge(ctx context.Context, o directory.ID) (removed int, err error) {
	return u.removeUnlinked(ctx, store.Range{Prefix: appendOwner(nil, o)}, spaceOwner, func(*File) bool { return true })
}

// removeUnlinked removes the files of a range, whose keys end in their ids, that
// are no longer wanted and not linked.
func (u *Uploads) removeUnlinked(ctx context.Context, r store.Range, space store.Space, unwanted func(*File) bool) (removed int, err error) {
	r.Limit = atOnce
	for {
		var found []File
		n := 0
		err := u.host.State.View(ctx, func(tx store.Tx) error {
			for k := range tx.Scan(space, r) {
				n++
				r.From = append(append([]byte(nil), k...), 0)
				var id ID
				if copy(id[:], k[max(0, len(k)-len(id)):]) != len(id) {
					return errRecord
				}
				f, err := decodeFile(id, tx.Get(spaceFile, id[:]))
				if err != nil {
					return err
				}
				if unwanted(&f) {
					found = append(found, f)
				}
			}
			return nil
		})
		if err != nil {
			return removed, err
		}
		var ids []ID
		for i := range found {
			linked, err := u.opts.Linked(ctx, found[i].ID.String())
			if err != nil {
				return removed, err
			}
			if !linked {
				ids = append(ids, found[i].ID)
			}
		}
		some, err := u.remove(ctx, ids)
		removed += some
		if err != nil || n < atOnce {
			return removed, err
		}
	}
}

// sweepStrays removes files without a record. Young ones may be getting theirs.
func (u *Uploads) sweepStrays(ctx context.Context) error {
	folders, err := os.ReadDir(u.opts.Folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	young := u.host.Now().Add(-24 * time.Hour)
	for _, folder := range folders {
		if len(folder.Name()) != 2 {
			continue
		}
		files, err := os.ReadDir(filepath.Join(u.opts.Folder, folder.Name()))
		if err != nil {
			return err
		}
		for _, entry := range files {
			id, ok := parseID(entry.Name())
			info, err := entry.Info()
			if !ok || err != nil || !info.ModTime().Before(young) {
				continue
			}
			if _, known, err := u.file(ctx, id); err != nil {
				return err
			} else if known {
				continue
			}
			if err := os.Remove(u.place(id)); err != nil {
				return err
			}
		}
	}
	return nil
}
