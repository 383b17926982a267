// Package wal keeps the log of a store: what was committed and is not yet in the B-tree.
//
// The log consists of segments, numbered from 1 without end, of which at most two are in use: one that is appended to, one
// whose contents are on their way into the B-tree. So there are two files, for odd and for even numbers, which are written
// over in turn. Blocks that were written before need no change of the file's metadata when they are synced, which is what
// makes that cheap; a new file is therefore filled with zeros a step ahead.
package wal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

const (
	firstStep = 64 << 10
	maxStep   = 1 << 20
	maxReuse  = 128 << 20 // a longer file is not kept for the next segment
)

// ErrUnknown is returned when a record may be on disk or not.
var ErrUnknown = errors.New("it is not known what is on disk")

// Log is the log of the store in a file. Append and Start are called by one goroutine.
type Log struct {
	path    string // of the store
	sync    func(*os.File) error
	durable bool
	files   [2]*os.File // nil: not opened yet
	seed    uint32
	active  *os.File // nil: no segment was started
	number  uint64
	off     int64 // where the next record goes
	size    int64 // of the active file
}

// Paths returns the files of the log of the store at path, whether they exist or not.
func Paths(path string) [2]string { return [2]string{path + "-log0", path + "-log1"} }

// Found is a segment that was in use when the log was last written.
type Found struct {
	Header
	Last uint64 // number of the last commit in it
}

// Open reads the log of the store at path, if there is any: the segments after the one with the number contained, which
// begin with the commit after last. begin is called for each segment, fn for its commits. store says whose log it must be.
func Open(path string, o Options, begin func(Header), fn func(seq uint64, e Entry) error) (*Log, []Found, error) {
	l := &Log{path: path, sync: o.Sync}
	if l.sync == nil {
		l.sync = func(*os.File) error { return nil }
	}
	l.durable = o.Sync != nil
	found, err := l.read(o, begin, fn)
	if err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	return l, found, nil
}

// Options say what is known of a log.
type Options struct {
	Store     [16]byte // the store's mark
	Contained uint64   // the last segment that is in the B-tree
	Last      uint64   // the last commit in it

	// Sync puts a file on disk: Datasync, if nothing better is known. If it is nil, that is left out.
	Sync func(*os.File) error
}

// segment is one that was found.
type segment struct {
	Header
	file *os.File
	next string // the file of the one behind it, if there is one
}

// read reads the segments in their order.
func (l *Log) read(o Options, begin func(Header), fn func(uint64, Entry) error) (found []Found, err error) {
	segments, err := l.inUse(o)
	if err != nil {
		return nil, err
	}
	last := o.Last
	for i, s := range segments {
		if s.Number != o.Contained+1+uint64(i) || s.First != last+1 {
			return nil, fmt.Errorf("%s begins with commit %d (segment %d), but what is before it ends with commit %d (segment %d): what lies between "+
				"is missing. Restore %s and its log from a backup, or move the log away to go on without it",
				s.file.Name(), s.First, s.Number, last, o.Contained+uint64(i), l.path)
		}
		begin(s.Header)
		end, err := l.replay(s, &last, fn)
		if err != nil {
			return nil, err
		}
		if i == 0 && len(segments) == 2 && last+1 != segments[1].First {
			return nil, &DamageError{Path: s.file.Name(), Next: s.next, Offset: end,
				Reason: fmt.Sprintf("it ends with commit %d, the next segment begins with %d", last, segments[1].First)}
		}
		found = append(found, Found{Header: s.Header, Last: last})
		l.active, l.number, l.seed, l.off, l.size = s.file, s.Number, s.seed(), end, end
	}
	return found, nil
}

// inUse returns the segments that are not contained in the B-tree, in order.
func (l *Log) inUse(o Options) (found []segment, err error) {
	for i, p := range Paths(l.path) {
		h, known, err := l.open(i, p)
		if err != nil {
			return nil, err
		}
		if known && h.Store != o.Store {
			return nil, fmt.Errorf("%s is the log of another %s: put back what belongs together, or move the log away to go on without it",
				p, filepath.Base(l.path))
		}
		if known && h.Number > o.Contained {
			found = append(found, segment{Header: h, file: l.files[i]})
		}
	}
	if l.durable && (l.files[0] != nil || l.files[1] != nil) {
		// Whoever made the files may have been killed before their names were on disk, and now they are written to.
		if err := syncFolder(filepath.Dir(l.path)); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(found, func(x, y segment) int { return cmp.Compare(x.Number, y.Number) })
	if len(found) == 2 {
		found[0].next = found[1].file.Name()
	}
	return found, nil
}

// open opens a file of the log if it exists, and reads its header.
func (l *Log) open(i int, path string) (h Header, known bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return h, false, nil
	}
	if err != nil {
		return h, false, err
	}
	l.files[i] = f
	b := make([]byte, headerSize)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return h, false, err
	}
	h, known, reason := readHeader(b[:n])
	if reason == "" && !known {
		if b, err = os.ReadFile(path); err != nil {
			return h, false, err
		}
		if len(b) >= headerSize && len(bytes.TrimLeft(b, "\x00")) > 0 {
			reason = "its header is gone"
		}
	}
	if reason != "" {
		return h, false, &DamageError{Path: path, Reason: reason}
	}
	return h, known, nil
}

// replay reads the records of a segment, sets the number of the last commit in it, and cuts off what is behind that.
func (l *Log) replay(s segment, last *uint64, fn func(uint64, Entry) error) (end int64, err error) {
	image, err := os.ReadFile(s.file.Name())
	if err != nil {
		return 0, err
	}
	var reason string
	*last, end, reason, err = readRecords(image, s.Header, func(seq uint64, payload []byte) error {
		return Entries(payload, func(e Entry) error { return fn(seq, e) })
	})
	if errors.Is(err, errEntry) {
		reason, err = err.Error(), nil
	}
	if reason != "" {
		return 0, &DamageError{Path: s.file.Name(), Next: s.next, Offset: end, Reason: reason}
	}
	if err == nil {
		err = s.file.Truncate(end)
	}
	if err == nil {
		// What was read now must not be lost later: the last record may have been in memory only.
		err = l.sync(s.file)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", s.file.Name(), err)
	}
	return end, nil
}

// Number returns the segment that is appended to, 0 if there is none.
func (l *Log) Number() uint64 { return l.number }

// Start begins a segment, over the one before the last.
func (l *Log) Start(h Header) error {
	i := h.Number % 2
	if l.files[i] == nil {
		f, err := l.create(Paths(l.path)[i])
		if err != nil {
			return err
		}
		l.files[i] = f
	}
	f := l.files[i]
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	size := fi.Size()
	if size > maxReuse {
		if err := f.Truncate(0); err != nil {
			return err
		}
		size = 0
	}
	if _, err := f.WriteAt(h.encode(), 0); err != nil {
		return err
	}
	// On disk before any record is: so a header that is no good is never that of a segment which was just begun.
	if err := l.sync(f); err != nil {
		return err
	}
	l.active, l.number, l.seed, l.off, l.size = f, h.Number, h.seed(), headerSize, max(size, headerSize)
	return nil
}

// create makes a file of the log, which belongs to whom the store belongs to.
func (l *Log) create(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if err = adopt(f, l.path); err == nil && l.durable {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return f, nil
}

// Append writes the record of a commit to disk and returns how long it is. If that fails, the record does not count,
// unless the error is ErrUnknown, and the next one takes its place.
func (l *Log) Append(seq uint64, r *Record) (int, error) {
	b := r.seal(seq, l.seed)
	if _, err := l.active.WriteAt(b, l.off); err != nil {
		return 0, err
	}
	end := l.off + int64(len(b))
	size := l.size
	if end > size && l.durable {
		size = end + l.fill(end)
	}
	if err := l.sync(l.active); err != nil {
		if full(err) && l.cut() == nil {
			return 0, err
		}
		return 0, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	l.off, l.size = end, size
	return len(b), nil
}

var zeros [64 << 10]byte

// fill writes zeros behind end and returns how many. That there is no room for them is not an error yet.
func (l *Log) fill(end int64) (n int64) {
	step := min(max(end, firstStep), maxStep)
	for n < step {
		k, err := l.active.WriteAt(zeros[:min(step-n, int64(len(zeros)))], end+n)
		n += int64(k)
		if err != nil {
			break
		}
	}
	return n
}

// cut takes away a record that could not be synced for want of room.
func (l *Log) cut() error {
	if err := l.active.Truncate(l.off); err != nil {
		return err
	}
	l.size = l.off
	return l.sync(l.active)
}

func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// Size returns the length of the files.
func Size(path string) (n int64) {
	for _, p := range Paths(path) {
		if fi, err := os.Stat(p); err == nil {
			n += fi.Size()
		}
	}
	return n
}

// Close closes the files and leaves them.
func (l *Log) Close() error {
	var errs []error
	for i, f := range l.files {
		if f != nil {
			errs = append(errs, f.Close())
		}
		l.files[i] = nil
	}
	return errors.Join(errs...)
}

// Remove closes and removes the files, as everything is in the B-tree.
func (l *Log) Remove() error {
	err := l.Close()
	for _, p := range Paths(l.path) {
		if e := os.Remove(p); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}
