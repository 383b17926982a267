//go:build unix

package server

import (
	"net"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"testing"
	"time"

	"confab/xmpp/xmpptest"
)

// BenchmarkSessions serves many sessions at a time: TLS, stream management, carbons and presence, each of somebody else,
// over connections in memory, as no process may have so many files open. An op is a message to each, from ten of them,
// until all have it. Everything is in this process, so what the server has is told from what the clients have by letting
// go of the clients, in the end.
//
//	server-B/session  live heap and stacks of the server for each session, the clients at rest since they logged in
//	later-B/session   the same at the end: with what the messages have left behind
//	conn-B/session    of the connections, not counted in these: what stands for sockets
//	client-B/session  of the clients, not counted either
//	system-MB         what all of it, garbage and gaps included, has from the system, the clients at rest
//	logins/s          by SCRAM, with the computing of the clients
//	cpu-µs/message    of the server and the clients together, from when a message is sent until it is read
//	announced-s       until all have read an announcement
func BenchmarkSessions(b *testing.B) {
	for _, n := range []int{1000, 10_000, 50_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) { measureSessions(b, n) })
	}
}

func measureSessions(b *testing.B, n int) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(3 << 30))
	conn := connections(n)
	c := gather(b, n)
	empty := inUse()
	began := time.Now()
	c.login(b)
	logins := time.Since(began)
	rest, system := atRest(), fromSystem()
	used := processorTime()
	for b.Loop() {
		c.message(b)
	}
	used = processorTime() - used
	announced := c.announce(b)
	c.settle(b)
	both := atRest()
	for _, d := range c.people {
		d.tls = nil
	}
	later := inUse()

	client := both - later
	server := rest - empty - conn - client
	for unit, bytes := range map[string]int64{"server": server, "later": later - empty - conn, "conn": conn, "client": client} {
		b.ReportMetric(float64(bytes)/float64(n), unit+"-B/session")
	}
	b.ReportMetric(float64(system)/1e6, "system-MB")
	b.ReportMetric(float64(n)/logins.Seconds(), "logins/s")
	b.ReportMetric(float64(used.Microseconds())/float64(n*b.N), "cpu-µs/message")
	b.ReportMetric(announced.Seconds(), "announced-s")
	if n >= 10_000 && server > 18_000*int64(n) {
		b.Error("a session takes more than 18 kB")
	}
}

// inUse is the live heap and all stacks, in bytes.
func inUse() int64 {
	for range 4 { // pools give back what they have at the second, and each halves stacks that are too large
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// atRest is inUse when nobody is about to be asked for an acknowledgement any more.
func atRest() int64 {
	<-time.After(4 * time.Second)
	return inUse()
}

// fromSystem is what is left when all has been given back that can be.
func fromSystem() int64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys - m.HeapReleased)
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// connections is what n of them take.
func connections(n int) int64 {
	all := make([][2]net.Conn, n)
	none := inUse()
	for i := range all {
		all[i][0], all[i][1] = xmpptest.Connect()
	}
	defer runtime.KeepAlive(all)
	return inUse() - none
}
