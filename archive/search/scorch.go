package search

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/blevesearch/bleve/v2/analysis"
	"github.com/blevesearch/bleve/v2/document"
	"github.com/blevesearch/bleve/v2/index/scorch"
	index "github.com/blevesearch/bleve_index_api"
	segment "github.com/blevesearch/scorch_segment_api/v2"
	bbolt "go.etcd.io/bbolt/errors"
)

// The fields of a document.
const (
	fieldWord  = "w"
	fieldOwner = "o" // who has it; with a minus, if it is hidden
	fieldKind  = "k"
)

const (
	termFile      = "f"
	termEncrypted = "e"
)

// What an index holds besides its documents.
var (
	keyLast    = []byte("last")
	keyArchive = []byte("archive")
	keyFormat  = []byte("format")
)

// markName is a file that is there while an index is open: found at open, it says that the files are to be looked at.
const markName = "open"

var errHeld = errors.New("search: the index is in use by another process")

// opened is an index that is open.
type opened struct {
	dir     string
	busy    func() bool
	adopt   func(string) error
	scorch  *scorch.Scorch
	queue   *index.AnalysisQueue
	failed  func(error) // called once, on a goroutine of its own
	once    sync.Once
	closing chan struct{}
	dead    chan struct{} // closed when the library's goroutines cannot go on

	nextMerge time.Time // while there is more important work; of the merging goroutine
}

// open indices, by their *scorch.Scorch: the library's callbacks are global.
var indices sync.Map

const callbacks = "confab"

func init() {
	scorch.RegistryAsyncErrorCallbacks[callbacks] = func(err error, path string) {
		if errors.Is(err, scorch.ErrCleanup) {
			return // files that nobody needs are removed another time
		}
		indices.Range(func(_, v any) bool {
			o := v.(*opened)
			if o.dir != path {
				return true
			}
			// The library would try again at once, without end.
			o.once.Do(func() { close(o.dead); go o.failed(err) })
			return false
		})
	}
	scorch.RegistryEventCallbacks[callbacks] = func(e scorch.Event) bool {
		if o, ok := indices.Load(e.Scorch); ok {
			switch e.Kind {
			case scorch.EventKindPreMergeCheck:
				o.(*opened).wait()
			case scorch.EventKindMergerProgress:
				o.(*opened).merged(e.Duration)
			}
		}
		return true
	}
}

// busyRest is how many times as long as a merge took there is none, while there is more important work.
const busyRest = 30

// merged notes how long a merge took.
func (o *opened) merged(d time.Duration) {
	if next := time.Now().Add(busyRest * d); next.After(o.nextMerge) {
		o.nextMerge = next
	}
}

// wait has a merge begin when there is nothing more important to do, or there was none for long: what is not merged
// makes searches slow.
func (o *opened) wait() {
	for o.busy != nil && o.busy() && time.Now().Before(o.nextMerge) {
		select {
		case <-o.closing:
			return
		case <-time.After(time.Second):
		}
	}
}

// merging keeps single merges short: what a segment holds is at most some seconds of one core.
var merging = map[string]any{
	"MaxSegmentsPerTier":   8,
	"SegmentsPerMergeTask": 8,
	"MaxSegmentSize":       250_000,
	"MaxSegmentFileSize":   1 << 30,
	"TierGrowth":           8.0,
	"FloorSegmentSize":     1000,
	"ReclaimDeletesWeight": 2.0,
}

func (x *Index) tryOpen() (o *opened, err error) {
	dir := x.opts.Dir
	mark := filepath.Join(dir, markName)
	_, statErr := os.Stat(mark)
	unclean := statErr == nil
	before, err := filepath.Glob(filepath.Join(dir, "*.zap"))
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	o = &opened{dir: dir, busy: x.opts.Busy, adopt: x.opts.Adopt, queue: index.NewAnalysisQueue(1), closing: make(chan struct{}), dead: make(chan struct{})}
	o.failed = func(err error) { x.retire(o, err) }
	made, err := scorch.NewScorch(scorch.Name, map[string]any{
		"path":                   dir,
		"bolt_timeout":           "2s",
		"unsafe_batch":           true, // Update waits by itself
		"eventCallbackName":      callbacks,
		"asyncErrorCallbackName": callbacks,
		"scorchMergePlanOptions": merging,
	}, o.queue)
	if err != nil {
		o.queue.Close()
		return nil, fmt.Errorf("search: %w", err)
	}
	o.scorch = made.(*scorch.Scorch)
	indices.Store(o.scorch, o)
	err = guard(o.scorch.Open)
	if errors.Is(err, bbolt.ErrTimeout) {
		err = errHeld
	}
	if err != nil {
		indices.Delete(o.scorch)
		o.queue.Close()
		return nil, fmt.Errorf("search: %w", err)
	}
	if err := o.verify(len(before) > 0, unclean); err != nil {
		return nil, errors.Join(err, o.close())
	}
	o.handOver()
	return o, nil
}

// verify checks that what was opened is a whole index of ours. After a sudden end it reads all of it.
func (o *opened) verify(files, unclean bool) error {
	s, err := o.snapshot()
	if err != nil {
		return err
	}
	defer s.close()
	if s.State.Archive == "" {
		// The library skips what it cannot read, and has nothing.
		if files {
			return errors.Join(errors.New("search: there are files, but no index of them"), openAll(o.dir))
		}
		return nil
	}
	if v := s.internal(keyFormat); string(v) != format {
		return fmt.Errorf("search: the index has the format %q", v)
	}
	if !unclean {
		return nil
	}
	for _, seg := range s.snapshot.Segments() {
		if p, ok := seg.Segment().(segment.PersistedSegment); ok {
			if err := checkSum(p.Path()); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkSum compares the file of a segment with the sum at its end.
func checkSum(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < 4 {
		return fmt.Errorf("search: %s is cut off", path)
	}
	h := crc32.NewIEEE()
	if _, err := io.CopyN(h, f, info.Size()-4); err != nil {
		return err
	}
	var sum [4]byte
	if _, err := io.ReadFull(f, sum[:]); err != nil {
		return err
	}
	if binary.BigEndian.Uint32(sum[:]) != h.Sum32() {
		return fmt.Errorf("search: %s is not as it was written", path)
	}
	return nil
}

// handOver gives the files to whom they are to belong.
func (o *opened) handOver() {
	if o.adopt == nil {
		return
	}
	filepath.WalkDir(o.dir, func(path string, _ os.DirEntry, err error) error {
		if err == nil {
			o.adopt(path)
		}
		return nil
	})
}

// close ends the library's goroutines. Snapshots that are held stay good.
func (o *opened) close() error {
	close(o.closing)
	err := guard(o.scorch.Close)
	indices.Delete(o.scorch)
	o.queue.Close()
	if err == nil {
		err = os.Remove(filepath.Join(o.dir, markName))
	}
	o.handOver()
	return err
}

// guard makes errors of panics: the library trusts what is in its files.
func guard(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("search: panic: %v", r)
		}
	}()
	return fn()
}

// lacks are the errors of a machine that has too little of something.
var lacks = []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EROFS}

func isLacking(err error) bool {
	return slices.ContainsFunc(lacks, func(e syscall.Errno) bool {
		// The library makes texts of errors.
		return errors.Is(err, e) || err != nil && strings.Contains(err.Error(), e.Error())
	})
}

// openAll opens all files of a folder at the same time, and closes them again.
func openAll(dir string) error {
	list, err := os.ReadDir(dir)
	for _, e := range list {
		f, failed := os.Open(filepath.Join(dir, e.Name()))
		if failed != nil {
			return failed
		}
		defer f.Close()
	}
	return err
}

// update makes a change and waits until it is on disk.
func (o *opened) update(ctx context.Context, b *Batch) error {
	batch := index.NewBatch()
	for i := range b.Put {
		batch.Update(toDocument(&b.Put[i]))
	}
	for _, id := range b.Delete {
		batch.Delete(docID(id))
	}
	batch.SetInternal(keyLast, binary.BigEndian.AppendUint64(nil, b.Last))
	batch.SetInternal(keyArchive, []byte(b.Archive))
	batch.SetInternal(keyFormat, []byte(format))
	written := make(chan error, 2)
	batch.SetPersistedCallback(func(err error) { written <- err })
	go func() {
		if err := guard(func() error { return o.scorch.Batch(batch) }); err != nil {
			written <- err
		}
	}()
	select {
	case err := <-written:
		return err
	case <-o.dead:
		return errClosed // failed says why
	case <-o.closing:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

const postings = index.IndexField | index.SkipFreqNorm

func toDocument(d *Document) *document.Document {
	doc := document.NewDocument(docID(d.ID))
	add := func(field string, terms []string) {
		if len(terms) > 0 {
			doc.AddField(document.NewTextFieldCustom(field, nil, []byte(strings.Join(terms, "\x00")), postings, ready{}))
		}
	}
	add(fieldWord, words(d.Texts))
	owners := make([]string, len(d.Owners))
	for i, o := range d.Owners {
		owners[i] = ownerTerm(o, d.Hidden)
	}
	add(fieldOwner, owners)
	var kinds []string
	if d.Kind&HasFile != 0 {
		kinds = append(kinds, termFile)
	}
	if d.Kind&Encrypted != 0 {
		kinds = append(kinds, termEncrypted)
	}
	add(fieldKind, kinds)
	return doc
}

func ownerTerm(owner uint64, hidden bool) string {
	t := strconv.FormatUint(owner, 36)
	if hidden {
		return "-" + t
	}
	return t
}

// ready is an analyzer for terms that were found already.
type ready struct{}

func (ready) Analyze(joined []byte) analysis.TokenStream {
	var list analysis.TokenStream
	for i, t := range strings.Split(string(joined), "\x00") {
		list = append(list, &analysis.Token{Term: []byte(t), Position: i + 1})
	}
	return list
}
