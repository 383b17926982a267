package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"confab/cmd/internal/admin"
	"confab/xmpp/directory"
)

// What is measured of pairs who chat at a rate that asks little of the server.
const (
	chatPairs = 40
	chatEvery = 50 * time.Millisecond // each of them: 800 messages a second
	calmFor   = 3 * time.Second
	stormFor  = 4 * time.Second
	lostAfter = 20 * time.Second
)

// BenchmarkOverload measures what people who chat notice of one who does harm: the latency of their messages, from when each
// was due to be sent, and what it costs the server, with all limits as they are by default.
//
//	p99-ms    of a hundred messages, 99 take no longer; calm-p99-ms: when nobody does harm, right before and right after
//	xcalm     how many times calm-p99-ms that is: should stay under 2
//	xbeside   how many times as long as when the same harm is done to another confab on the same machine: what is not for
//	          want of processors, but of this server's making
//	RSS-MB    before, at the most, and after
//
// Who does harm is a process of its own, with the least priority: no processor is taken from those who are measured but by
// what it has the server do.
func BenchmarkOverload(b *testing.B) {
	here, beside := settle(b), settle(b)
	talk := startTalk(b, here.addr)
	before := talk.measure(calmFor)
	for _, kind := range []string{"slow-readers", "flood", "stalled-room", "alias-bomb", "large-items", "small-items", "handshakes", "logins"} {
		b.Run(kind, func(b *testing.B) {
			calmCounters := here.counters(b)
			stop, _ := beside.disturb(b, kind)
			other := talk.measure(stormFor)
			stop()
			counters := here.counters(b)
			memory := here.watchMemory()
			stop, did := here.disturb(b, kind)
			storm := talk.measure(stormFor)
			stop()
			after := talk.measure(calmFor)
			report(b, storm, other, slices.Concat(before, after))
			memory(b)
			then := here.counters(b)
			b.ReportMetric(commitMean(calmCounters, counters), "calm-commit-ms")
			b.ReportMetric(commitMean(counters, then), "commit-ms")
			b.Logf("%s of it; %s", did, moved(calmCounters, counters, then))
			before = after
		})
	}
	b.Logf("lost: %d of %d", talk.sent-talk.heard, talk.sent)
	if talk.sent != talk.heard {
		b.Errorf("%d of %d messages did not arrive in %v", talk.sent-talk.heard, talk.sent, lostAfter)
	}
}

func percentile(of []time.Duration, p int) float64 {
	if len(of) == 0 {
		return 0
	}
	slices.Sort(of)
	return float64(of[(len(of)-1)*p/100]) / float64(time.Millisecond)
}

func report(b *testing.B, storm, other, calm []time.Duration) {
	p99, besideP99, calmP99 := percentile(storm, 99), percentile(other, 99), percentile(calm, 99)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(percentile(storm, 50), "p50-ms")
	b.ReportMetric(p99, "p99-ms")
	b.ReportMetric(percentile(calm, 50), "calm-p50-ms")
	b.ReportMetric(percentile(other, 50), "beside-p50-ms")
	b.ReportMetric(calmP99, "calm-p99-ms")
	b.ReportMetric(p99/calmP99, "xcalm")
	b.ReportMetric(p99/besideP99, "xbeside")
}

// settled is a confab with people and aliases.
type settled struct {
	*process
	metrics string
	pid     int
}

func settle(b *testing.B) *settled {
	b.Helper()
	s := &settled{metrics: freeAddress(b)}
	s.process = newProcess(b, map[string]string{"listen-metrics": s.metrics, "auth-iterations": "10000"})
	everybody := []string{"bomber"}
	for i := range chatPairs {
		everybody = append(everybody, sender(i), receiver(i))
	}
	for i := range members {
		everybody = append(everybody, member(i))
	}
	s.offline(b, func(a *admin.Admin) {
		keys, err := a.Auth.NewKeys(overloadPassword)
		if err != nil {
			b.Fatal(err)
		}
		for _, user := range everybody {
			if err := a.Directory.Add(context.Background(), directory.NewUser{Domain: "example.com", Local: user, Also: a.Auth.Enrol("example.com", keys)}); err != nil {
				b.Fatal(err)
			}
		}
	})
	s.pid = s.start(b).Process.Pid
	guests := everybody[len(everybody)-members:]
	for _, args := range [][]string{
		append([]string{"alias", "create", "inner"}, guests...), {"alias", "create", "everybody", "bomber", "inner"}, {"alias", "add", "inner", "everybody"},
		append([]string{"alias", "create", "team", "--room"}, guests[:occupants]...),
	} {
		var out bytes.Buffer
		a := &app{in: strings.NewReader(""), out: &out, err: &out, env: []string{"CONFAB_DATA=" + s.settings.Data, "CONFAB_DOMAINS=example.com"}}
		if code := a.run(context.Background(), args); code != exitOK {
			b.Fatal(args[:3], out.String())
		}
	}
	return s
}

func freeAddress(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// disturb starts a disturber and lets it begin. stop ends it; after that, did says how much it did.
func (s *settled) disturb(b *testing.B, kind string) (stop func(), did fmt.Stringer) {
	b.Helper()
	args := []string{os.Args[0]}
	if nice, err := exec.LookPath("nice"); err == nil {
		args = []string{nice, "-n", "19", os.Args[0]}
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), disturbBy+"="+kind, disturbAt+"="+s.addr)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || line != "ready\n" {
		cmd.Process.Kill()
		cmd.Wait()
		b.Fatalf("%s: %q, %v", kind, line, err)
	}
	fmt.Fprintln(in)
	said := new(bytes.Buffer)
	return func() {
		in.Close()
		io.Copy(said, lines)
		said.Truncate(len(bytes.TrimSpace(said.Bytes())))
		if err := cmd.Wait(); err != nil {
			b.Errorf("%s: %v: %s", kind, err, said)
		}
	}, said
}

// counters reads /metrics.
func (s *settled) counters(b *testing.B) map[string]float64 {
	b.Helper()
	r, err := http.Get("http://" + s.metrics + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer r.Body.Close()
	all := map[string]float64{}
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if strings.HasPrefix(name, "confab_") {
			all[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	return all
}

// moved tells what was counted in the storm and not in the calm.
func moved(calm, before, after map[string]float64) string {
	var all []string
	for name, n := range after {
		if !strings.HasSuffix(name, "_total") {
			continue
		}
		if n -= before[name]; n > 0 && before[name] == calm[name] {
			all = append(all, fmt.Sprintf("%s +%.0f", strings.TrimSuffix(strings.TrimPrefix(name, "confab_"), "_total"), n))
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// commitMean is how many milliseconds a commit took on the average.
func commitMean(before, after map[string]float64) float64 {
	const name = "confab_history_commit_seconds"
	return 1000 * (after[name+"_sum"] - before[name+"_sum"]) / (after[name+"_count"] - before[name+"_count"])
}

// watchMemory follows how much memory the server has; what it returns reports it.
func (s *settled) watchMemory() func(*testing.B) {
	now := func() float64 {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid))
		_, rest, _ := strings.Cut(string(status), "VmRSS:")
		kb, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		n, _ := strconv.ParseFloat(kb, 64)
		return n / 1024
	}
	before := now()
	most, over, ended := before, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.Tick(20 * time.Millisecond); ; {
			select {
			case <-over:
				return
			case <-tick:
				most = max(most, now())
			}
		}
	}()
	return func(b *testing.B) {
		close(over)
		<-ended
		b.ReportMetric(before, "RSS-MB")
		b.ReportMetric(most, "most-RSS-MB")
		b.ReportMetric(now(), "then-RSS-MB")
	}
}

// talk is pairs who chat: one of each writes, the other reads.
type talk struct {
	from        []*client
	sent, heard int
	arrived     chan time.Duration // since it was due
	zero        time.Time
}

func startTalk(b *testing.B, addr string) *talk {
	b.Helper()
	t := &talk{arrived: make(chan time.Duration, 1<<16), zero: time.Now()}
	there := func(user string) *client {
		c, err := online(addr, "example.com", user, overloadPassword)
		if err != nil {
			b.Fatal(err)
		}
		c.conn.SetDeadline(time.Time{})
		b.Cleanup(func() { c.conn.Close() })
		return c
	}
	for i := range chatPairs {
		from, to := there(sender(i)), there(receiver(i))
		t.from = append(t.from, from)
		go io.Copy(io.Discard, from.conn)
		go func() {
			for {
				e, err := to.next()
				if err != nil {
					return
				}
				if due, err := strconv.ParseInt(e.child("body").Text, 10, 64); err == nil {
					t.arrived <- time.Since(t.zero) - time.Duration(due)
				}
			}
		}()
	}
	return t
}

// measure has all of them chat for a while and returns how long each message took from when it was due. One that could not
// be sent in time has waited already.
func (t *talk) measure(d time.Duration) (took []time.Duration) {
	var wg sync.WaitGroup
	start := time.Since(t.zero)
	each := int(d / chatEvery)
	for i, c := range t.from {
		wg.Go(func() {
			due := start + chatEvery*time.Duration(i)/chatPairs
			for range each {
				due += chatEvery
				time.Sleep(due - time.Since(t.zero))
				c.send("<message type='chat' to='" + receiver(i) + "@example.com'><body>" + strconv.FormatInt(int64(due), 10) + "</body></message>")
			}
		})
	}
	wg.Wait()
	t.sent += each * chatPairs
	late := time.NewTimer(lostAfter)
	defer late.Stop()
	for t.heard < t.sent {
		select {
		case one := <-t.arrived:
			t.heard++
			took = append(took, one)
		case <-late.C:
			return took
		}
	}
	return took
}
