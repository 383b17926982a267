package router

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"weak"

	"confab/xmpp"
)

// flushed counts what it was asked to let go.
type flushed struct {
	waiting atomic.Int64
	left    *sync.WaitGroup // of what all got
}

func (c *flushed) Append([]byte) bool      { c.waiting.Add(1); return true }
func (c *flushed) Close(*xmpp.StreamError) {}
func (c *flushed) Flush()                  { c.left.Add(-int(c.waiting.Swap(0))) }

// However many connections a batch goes to, and however many batches at once,
// everything leaves.
func TestBatchToACrowd(t *testing.T) {
	const senders, rounds, people = 4, 20, 5*portion + 1
	var left sync.WaitGroup
	conns := make([]*flushed, people)
	for i := range conns {
		conns[i] = &flushed{left: &left}
	}
	var all sync.WaitGroup
	left.Add(senders * rounds * people)
	for range senders {
		all.Go(func() {
			var b Batch
			for range rounds {
				for _, c := range conns {
					b.Append(c, []byte("<presence/>"))
				}
				b.Flush()
			}
		})
	}
	all.Wait()
	left.Wait()
	everybody.mu.Lock()
	defer everybody.mu.Unlock()
	for everybody.working { // who has nothing left may be in line again
		everybody.mu.Unlock()
		runtime.Gosched()
		everybody.mu.Lock()
	}
	if len(everybody.queue) != 0 || len(everybody.queued) != 0 {
		t.Errorf("%d connections are in line still", len(everybody.queue))
	}
}

// Whoever has sent something to very many, once, keeps no list of them.
func TestBatchAtRest(t *testing.T) {
	var left sync.WaitGroup
	left.Add(portion + 1)
	var b Batch
	for range portion + 1 {
		b.Append(&flushed{left: &left}, []byte("<presence/>"))
	}
	list := weak.Make(&(*b.many)[0])
	b.Flush()
	left.Wait()
	runtime.GC()
	runtime.GC() // what is pooled survives the first
	if list.Value() != nil || cap(b.conns) > 2*portion {
		t.Error("there is a long list still")
	}
	runtime.KeepAlive(&b)
}
