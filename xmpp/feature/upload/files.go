package upload

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// The spaces of uploads and their keys. Numbers are big-endian.
const (
	spaceFile  store.Space = "upload.file"  // id → record
	spaceOwner store.Space = "upload.owner" // owner, id → nothing
	spaceUsed  store.Space = "upload.used"  // owner → what the user's files are charged
)

const (
	recordFormat = 1
	halves       = "half" // folder of the uploads that are under way
	block        = 4 << 10
	atOnce       = 200 // files in one transaction
)

var errRecord = errors.New("upload: damaged record")

// File is a file that was uploaded.
type File struct {
	ID        ID
	Owner     directory.ID
	Created   time.Time
	Size      int64
	MediaType string
	Name      string
}

// charge is what a file of a size counts against the quota: small files cost
// the disk more than they hold.
func charge(size int64) int64 { return (size + block - 1) / block * block }

func (f *File) append(dst []byte) []byte {
	dst = binary.AppendUvarint(append(dst, recordFormat), uint64(f.Owner))
	dst = binary.AppendUvarint(dst, uint64(f.Created.UnixMicro()))
	dst = binary.AppendUvarint(dst, uint64(f.Size))
	dst = binary.AppendUvarint(dst, uint64(len(f.MediaType)))
	return append(append(dst, f.MediaType...), f.Name...)
}

func decodeFile(id ID, v []byte) (File, error) {
	f := File{ID: id}
	if len(v) == 0 || v[0] != recordFormat {
		return f, errRecord
	}
	v = v[1:]
	var numbers [4]uint64
	for i := range numbers {
		n, size := binary.Uvarint(v)
		if size <= 0 {
			return f, errRecord
		}
		numbers[i], v = n, v[size:]
	}
	if numbers[3] > uint64(len(v)) {
		return f, errRecord
	}
	f.Owner, f.Created, f.Size = directory.ID(numbers[0]), time.UnixMicro(int64(numbers[1])).UTC(), int64(numbers[2])
	f.MediaType, f.Name = string(v[:numbers[3]]), string(v[numbers[3]:])
	return f, nil
}

func appendOwner(dst []byte, o directory.ID) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(o))
}

func usedIn(tx store.Tx, o directory.ID) int64 {
	if v := tx.Get(spaceUsed, appendOwner(nil, o)); len(v) == 8 {
		return int64(binary.BigEndian.Uint64(v))
	}
	return 0
}

func addUsed(tx store.Tx, o directory.ID, n int64) error {
	if n += usedIn(tx, o); n <= 0 {
		return tx.Delete(spaceUsed, appendOwner(nil, o))
	}
	return tx.Put(spaceUsed, appendOwner(nil, o), binary.BigEndian.AppendUint64(nil, uint64(n)))
}

// used is what a user's files are charged.
func (u *Uploads) used(ctx context.Context, o directory.ID) (n int64, err error) {
	err = u.host.State.View(ctx, func(tx store.Tx) error {
		n = usedIn(tx, o)
		return nil
	})
	return n, err
}

// errQuota says that a user's files would be charged more than they may.
var errQuota = errors.New("upload: the quota is reached")

// record notes a file that is on disk. Of slots that were given away at the same
// moment more may have come than the quota has room for.
func (u *Uploads) record(ctx context.Context, f *File) error {
	quota := u.opts.Limits().Quota
	return u.host.State.Update(ctx, func(tx store.Tx) error {
		if usedIn(tx, f.Owner)+charge(f.Size) > quota {
			return errQuota
		}
		return errors.Join(
			tx.Put(spaceFile, f.ID[:], f.append(nil)),
			tx.Put(spaceOwner, append(appendOwner(nil, f.Owner), f.ID[:]...), nil),
			addUsed(tx, f.Owner, charge(f.Size)),
		)
	})
}

// file returns a file's record.
func (u *Uploads) file(ctx context.Context, id ID) (f File, ok bool, err error) {
	err = u.host.State.View(ctx, func(tx store.Tx) error {
		v := tx.Get(spaceFile, id[:])
		if v == nil {
			return nil
		}
		ok = true
		f, err = decodeFile(id, v)
		return err
	})
	return f, ok, err
}

// Find returns the file that an address names.
func (u *Uploads) Find(ctx context.Context, address string) (f File, ok bool, err error) {
	links := Links([]byte(address))
	if len(links) != 1 {
		return f, false, nil
	}
	id, _ := parseID(links[0])
	return u.file(ctx, id)
}

// remove removes files, first from the records, then from the disk. What is
// left on disk by a crash in between is found by Sweep.
func (u *Uploads) remove(ctx context.Context, ids []ID) (removed int, err error) {
	for len(ids) > 0 {
		some := ids[:min(len(ids), atOnce)]
		ids = ids[len(some):]
		n := 0
		err := u.host.State.Update(ctx, func(tx store.Tx) error {
			n = 0
			for _, id := range some {
				v := tx.Get(spaceFile, id[:])
				if v == nil {
					continue
				}
				f, err := decodeFile(id, v)
				if err != nil {
					return err
				}
				n++
				err = errors.Join(
					tx.Delete(spaceFile, id[:]),
					tx.Delete(spaceOwner, append(appendOwner(nil, f.Owner), id[:]...)),
					addUsed(tx, f.Owner, -charge(f.Size)),
				)
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return removed, err
		}
		removed += n
		for _, id := range some {
			if err := os.Remove(u.place(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return removed, err
			}
		}
	}
	return removed, nil
}

// place is where a file is on disk: below a folder named by two letters, so that
// no folder gets too large.
func (u *Uploads) place(id ID) string {
	name := id.String()
	return filepath.Join(u.opts.Folder, name[:2], name)
}

// half makes the file that an upload is written to.
func (u *Uploads) half(id ID) (*os.File, error) {
	folder := filepath.Join(u.opts.Folder, halves)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(folder, id.String()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// settle gives an upload that is whole its place. It is on disk, name and all,
// when settle returns.
func (u *Uploads) settle(half *os.File, id ID) error {
	if err := errors.Join(half.Sync(), half.Close()); err != nil {
		return err
	}
	place := u.place(id)
	if err := os.MkdirAll(filepath.Dir(place), 0o700); err != nil {
		return err
	}
	if err := os.Rename(half.Name(), place); err != nil {
		return err
	}
	return errors.Join(syncFolder(filepath.Dir(place)), syncFolder(u.opts.Folder))
}

func syncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil // it has no such thing
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
