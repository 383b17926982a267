package bosh

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"confab/xmpp"
	"confab/xmpp/web"
)

// lossy is a client whose requests get lost, on their way or with their answer, and are sent again (XEP-0124 §14).
type lossy struct {
	*client
	handler http.Handler

	mu      sync.Mutex
	turn    sync.Cond
	answers map[uint64]string
	oldest  uint64 // rid of the oldest request without an answer
	said    int    // elements
	heard   int
	broken  string
}

const lossyElements = 300

// run is one of the two requests that the client may have at a time.
func (l *lossy) run(ctx context.Context, r *rand.Rand) {
	for {
		l.mu.Lock()
		for l.rid+1 > l.oldest+1 && ctx.Err() == nil {
			l.turn.Wait()
		}
		if ctx.Err() != nil {
			l.mu.Unlock()
			return
		}
		l.rid++
		rid, payloads := l.rid, ""
		for range r.IntN(4) {
			if l.said < lossyElements {
				payloads += fmt.Sprintf("<m n='%d'/>", l.said)
				l.said++
			}
		}
		l.mu.Unlock()
		answer := ""
		for answer == "" && ctx.Err() == nil {
			answer = l.try(ctx, r, l.body(rid, "", payloads))
		}
		l.answered(rid, answer)
	}
}

// try sends a request once; "" is what is lost.
func (l *lossy) try(ctx context.Context, r *rand.Rand, body string) string {
	if r.IntN(8) == 0 {
		return ""
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if r.IntN(3) == 0 {
		go func(n int) {
			for range n {
				runtime.Gosched()
			}
			cancel()
		}(r.IntN(200))
	}
	w := httptest.NewRecorder()
	l.handler.ServeHTTP(w, httptest.NewRequest("POST", web.BOSHPath, strings.NewReader(body)).WithContext(ctx))
	if r.IntN(8) == 0 {
		return ""
	}
	return w.Body.String()
}

func (l *lossy) answered(rid uint64, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.turn.Broadcast()
	l.answers[rid] = text
	for ; l.answers[l.oldest] != ""; l.oldest++ {
		b, err := xmpp.ParseNode([]byte(l.answers[l.oldest]))
		if err != nil || b.Attr("type") != "" {
			l.broken = l.answers[l.oldest]
			return
		}
		for _, m := range b.Children {
			if m.Attr("n") != fmt.Sprint(l.heard) {
				l.broken = fmt.Sprintf("element %s in place of %d", m.Attr("n"), l.heard)
			}
			l.heard++
		}
	}
}

// Whatever is lost on the way, all is said once, and heard once, in its order.
func TestNothingIsLostNothingTwice(t *testing.T) {
	for seed := range uint64(8) {
		h := open(t)
		l := &lossy{client: h.create(""), handler: h.http.Config.Handler, answers: map[uint64]string{}}
		l.turn.L, l.oldest = &l.mu, l.rid+1
		ctx, cancel := context.WithCancel(t.Context())
		go func() { // the house tells what it hears
			for ctx.Err() == nil {
				select {
				case <-h.heard:
				case <-ctx.Done():
				}
			}
		}()
		var both sync.WaitGroup
		for i := range uint64(2) {
			both.Go(func() { l.run(ctx, rand.New(rand.NewPCG(seed, i))) })
		}
		done := func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.heard >= lossyElements || l.broken != ""
		}
		h.until(done)
		cancel()
		l.mu.Lock() // nobody is between looking and waiting
		l.turn.Broadcast()
		l.mu.Unlock()
		both.Wait()
		if l.broken != "" {
			t.Errorf("seed %d, behind element %d: %s", seed, l.heard, l.broken)
		}
	}
}
