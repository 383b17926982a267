package auth

import (
	"context"
	"crypto/pbkdf2"
	"fmt"
	"testing"
	"time"
)

// The server's part of one SCRAM login; the client's is not in the metric.
func BenchmarkScram(b *testing.B) {
	h := newHouse(b)
	h.add("juliet", "pencil")
	for _, m := range everyScram[:3] {
		b.Run(m, func(b *testing.B) {
			cache := make(map[string][]byte)
			var spent time.Duration
			b.ReportAllocs()
			for b.Loop() {
				c := bound(m, "juliet", "pencil")
				c.salted = func(salt []byte, iterations int) []byte {
					key := fmt.Sprint(salt, iterations)
					if cache[key] == nil {
						cache[key], _ = pbkdf2.Key(c.hash(), c.password, salt, iterations, c.hash()().Size())
					}
					return cache[key]
				}
				begin := c.begin()
				start := time.Now()
				x := h.start(m, channel)
				first, _, err := x.Step(context.Background(), begin)
				spent += time.Since(start)
				if err != nil {
					b.Fatal(err)
				}
				final, err := c.answer(first)
				if err != nil {
					b.Fatal(err)
				}
				start = time.Now()
				_, done, err := x.Step(context.Background(), final)
				spent += time.Since(start)
				if !done || err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "server-ns/login")
		})
	}
}

// PLAIN hashes the password at each login.
func BenchmarkPlain(b *testing.B) {
	h := newHouse(b)
	h.open(Options{Iterations: 10_000})
	h.add("juliet", "pencil")
	for b.Loop() {
		if _, err := h.plain("", "juliet", "pencil"); err != nil {
			b.Fatal(err)
		}
	}
}
