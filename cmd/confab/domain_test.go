package main

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"confab/cmd/internal/admin"
	"confab/xmpp/directory"
)

// TestDomain has everybody of a domain in everybody's list come online at once,
// change and publish: all others hear of all of it.
func TestDomain(t *testing.T) {
	d := newDomain(t, 40)
	d.comeOnline(t, presences)
	d.everybodyHas(t, presences)
	d.change(t, presences, 7, "<presence><status>%s</status></presence>")
	d.goOffline(t)
	d.publishAll(t)
	d.comeOnline(t, presences, avatars, devices)
	d.everybodyHas(t, presences, avatars, devices)
	d.change(t, avatars, 7, avatar)
	d.change(t, devices, 39, deviceList)
}

// BenchmarkDomain measures the same with a thousand people, against a server
// that runs as a process of its own:
//
//   - online: from the first initial presence until everybody has everybody's,
//   - status, avatar, devices: from the change of one of them until all others have it,
//   - online-with-items: as online, and until everybody has everybody's avatar
//     and device list besides. Until then somebody else sends pings.
//
// CONFAB_BENCH_PEOPLE makes it another number of people.
func BenchmarkDomain(b *testing.B) {
	people := 1000
	if s := os.Getenv("CONFAB_BENCH_PEOPLE"); s != "" {
		var err error
		if people, err = strconv.Atoi(s); err != nil || people < 2 {
			b.Fatalf("CONFAB_BENCH_PEOPLE is %q", s)
		}
	}
	d := newDomain(b, people)
	b.Run("online", func(b *testing.B) { d.measureOnline(b, presences) })
	b.Run("status", func(b *testing.B) { d.measureChanges(b, presences, "<presence><status>%s</status></presence>") })
	d.goOffline(b)
	d.publishAll(b)
	b.Run("online-with-items", func(b *testing.B) { d.measureOnline(b, presences, avatars, devices) })
	b.Run("avatar", func(b *testing.B) { d.measureChanges(b, avatars, avatar) })
	b.Run("devices", func(b *testing.B) { d.measureChanges(b, devices, deviceList) })
}

// news is what somebody hears of somebody else.
type news uint8

const (
	presences news = iota
	avatars
	devices
	kinds
)

const (
	nodeAvatar  = "urn:xmpp:avatar:metadata"
	nodeDevices = "eu.siacs.conversations.axolotl.devicelist"
	avatar      = "<iq type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='" + nodeAvatar + "'><item id='%s'>" +
		"<metadata xmlns='urn:xmpp:avatar:metadata'><info bytes='12345' height='64' width='64' type='image/png' id='e279f80c38f99c1e7e53e262b440993b2f7eea57'/></metadata></item></publish></pubsub></iq>"
	deviceList = "<iq type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='" + nodeDevices + "'><item id='current'>" +
		"<list xmlns='eu.siacs.conversations.axolotl'><device id='1738402911' label='%s'/><device id='902114522'/></list></item></publish></pubsub></iq>"
	fence = "<iq type='get' id='fence' to='example.com'><query xmlns='jabber:iq:version'/></iq>"
)

// abilities is what the clients can do, and its hash (XEP-0115 §5.1).
func abilities() (query, hash string) {
	sum := "client/pc//x<"
	query = "<identity category='client' type='pc' name='x'/>"
	for _, n := range []string{nodeDevices, nodeAvatar} { // in the order of bytes
		sum += n + "+notify<"
		query += "<feature var='" + n + "+notify'/>"
	}
	h := sha1.Sum([]byte(sum))
	return query, base64.StdEncoding.EncodeToString(h[:])
}

// domain is people who all see one another, and one who sees and is seen by nobody.
type domain struct {
	pid       int
	people    []*colleague
	bystander *client

	round   atomic.Pointer[round]
	fences  atomic.Int64 // answers to fence that are still to come
	reached chan struct{}
}

// round is what everybody is to hear.
type round struct {
	mark  string          // what it says, if it is of one person
	of    int             // that person; -1: everybody
	kinds []news          // what
	left  atomic.Int64    // how much is still to come
	done  chan struct{}   // closed when nothing is
	heard [kinds][][]bool // by whom, of whom; each row is its reader's
}

func (d *domain) newRound(of int, mark string, what ...news) *round {
	r := &round{mark: mark, of: of, kinds: what, done: make(chan struct{})}
	n := len(d.people)
	for _, k := range what {
		r.heard[k] = make([][]bool, n)
		for i := range r.heard[k] {
			r.heard[k][i] = make([]bool, n)
		}
		if of < 0 {
			r.left.Add(int64(n * (n - 1)))
		} else {
			r.left.Add(int64(n - 1))
		}
	}
	d.round.Store(r)
	return r
}

// await waits until everybody has heard everything.
func (r *round) await(tb testing.TB) {
	tb.Helper()
	select {
	case <-r.done:
	case <-time.After(5 * time.Minute):
		tb.Fatalf("%d of what is to be heard is missing", r.left.Load())
	}
}

// colleague is one of the people.
type colleague struct {
	*client
	domain *domain
	number int
}

func newDomain(tb testing.TB, people int) *domain {
	tb.Helper()
	p := newProcess(tb, map[string]string{"roster-domain": "all", "log-level": "error"})
	p.offline(tb, func(a *admin.Admin) { populate(tb, a, people) })
	d := &domain{pid: p.start(tb).Process.Pid, people: make([]*colleague, people), reached: make(chan struct{}, 1)}
	slots := make(chan struct{}, 16)
	var wg sync.WaitGroup
	for i := range people {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			c, err := bound(p.addr, "user"+strconv.Itoa(i))
			if err != nil {
				tb.Error(err)
				return
			}
			d.people[i] = &colleague{client: c, domain: d, number: i}
		})
	}
	wg.Wait()
	if tb.Failed() {
		tb.FailNow()
	}
	var err error
	if d.bystander, err = bound(p.addr, "bystander"); err != nil {
		tb.Fatal(err)
	}
	var readers sync.WaitGroup
	for _, c := range d.people {
		readers.Go(c.listen)
	}
	tb.Cleanup(func() {
		d.bystander.conn.Close()
		for _, c := range d.people {
			c.conn.Close()
		}
		readers.Wait()
	})
	return d
}

// populate makes the accounts. They have one password, which is slow to derive keys of.
func populate(tb testing.TB, a *admin.Admin, people int) {
	var all []directory.NewUser
	for i := range people {
		all = append(all, directory.NewUser{Domain: "example.com", Local: "user" + strconv.Itoa(i)})
	}
	all = append(all, directory.NewUser{Domain: "example.com", Local: "bystander", Hidden: true})
	if err := a.Directory.Add(context.Background(), all...); err != nil {
		tb.Fatal(err)
	}
	keys, err := a.Auth.NewKeys("pw")
	if err != nil {
		tb.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, u := range all {
		wg.Go(func() {
			if err := a.Auth.SetKeys(context.Background(), a.Directory.Login(u.Domain, u.Local).ID, keys); err != nil {
				tb.Error(err)
			}
		})
	}
	wg.Wait()
}

// bound is login and a resource.
func bound(addr, user string) (*client, error) {
	c, err := login(addr, "example.com", user, "pw")
	if err != nil {
		return nil, err
	}
	if err = c.send("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"); err == nil {
		var e *element
		if e, err = c.await("iq"); err == nil {
			c.jid = e.child("bind").child("jid").Text
		}
	}
	if err == nil {
		err = c.conn.SetDeadline(time.Time{})
	}
	if err != nil {
		c.conn.Close()
	}
	return c, err
}

// listen reads what comes. A thousand of these share the machine with the server:
// they look no further than they have to.
func (c *colleague) listen() {
	buf := make([]byte, 0, 32<<10)
	for {
		buf = slices.Grow(buf, 4<<10)
		n, err := c.conn.Read(buf[len(buf):cap(buf)])
		if err != nil {
			return
		}
		buf = buf[:len(buf)+n]
		rest := buf
		for {
			st, left := cutStanza(rest)
			if st == nil {
				break
			}
			c.hear(st)
			rest = left
		}
		buf = buf[:copy(buf, rest)]
	}
}

var ends = [][]byte{[]byte("</presence>"), []byte("</message>"), []byte("</iq>")}

// cutStanza cuts off the bytes up to the end of a stanza that has children.
func cutStanza(b []byte) (st, rest []byte) {
	for at := 0; ; at += 2 {
		i := bytes.Index(b[at:], []byte("</"))
		if i < 0 {
			return nil, b
		}
		at += i
		for _, end := range ends {
			if bytes.HasPrefix(b[at:], end) {
				return b[:at+len(end)], b[at+len(end):]
			}
		}
	}
}

// lastFrom leaves out what comes before the stanza: some that have no children.
func lastFrom(st []byte, start string) []byte {
	if bytes.HasPrefix(st, []byte(start)) {
		return st
	}
	return st[max(0, bytes.LastIndex(st, []byte(start))):]
}

// hear takes note of a stanza.
func (c *colleague) hear(st []byte) {
	d := c.domain
	kind := presences
	switch {
	case bytes.HasSuffix(st, ends[0]):
		st = lastFrom(st, "<presence ")
	case bytes.HasSuffix(st, ends[1]):
		st = lastFrom(st, "<message ")
		if kind = avatars; bytes.Contains(st, []byte("node='"+nodeDevices+"'")) {
			kind = devices
		}
	default:
		c.answer(lastFrom(st, "<iq "))
		return
	}
	_, from, _ := bytes.Cut(st, []byte(" from='user"))
	digits, _, ok := bytes.Cut(from, []byte("@"))
	of, err := strconv.Atoi(string(digits))
	r := d.round.Load()
	if !ok || err != nil || r == nil || of == c.number || of >= len(d.people) || r.of >= 0 && (of != r.of || !bytes.Contains(st, []byte(r.mark))) {
		return
	}
	if rows := r.heard[kind]; rows != nil && !rows[c.number][of] {
		rows[c.number][of] = true
		if r.left.Add(-1) == 0 {
			close(r.done)
		}
	}
}

// answer notes the answer to a fence, and tells a server that asks what the client can do.
func (c *colleague) answer(iq []byte) {
	switch {
	case bytes.Contains(iq, []byte("id='fence'")):
		if c.domain.fences.Add(-1) == 0 {
			c.domain.reached <- struct{}{}
		}
	case bytes.Contains(iq, []byte("type='get'")) && bytes.Contains(iq, []byte("disco#info")):
		_, id, _ := strings.Cut(string(iq), " id='")
		id, _, _ = strings.Cut(id, "'")
		query, _ := abilities()
		_ = c.send("<iq type='result' to='example.com' id='" + id + "'><query xmlns='http://jabber.org/protocol/disco#info'>" + query + "</query></iq>")
	}
}

// everybodySends has everybody send something, and waits until it is worked off.
func (d *domain) everybodySends(tb testing.TB, what string) {
	tb.Helper()
	d.fences.Store(int64(len(d.people)))
	for _, c := range d.people {
		if err := c.send(what + fence); err != nil {
			tb.Fatal(err)
		}
	}
	select {
	case <-d.reached:
	case <-time.After(time.Minute):
		tb.Fatalf("%d wait for an answer", d.fences.Load())
	}
}

func (d *domain) goOffline(tb testing.TB) { d.everybodySends(tb, "<presence type='unavailable'/>") }

// publishAll gives everybody an avatar and a device list.
func (d *domain) publishAll(tb testing.TB) {
	d.everybodySends(tb, fmt.Sprintf(avatar, "first")+fmt.Sprintf(deviceList, "first"))
}

// comeOnline has everybody come online at once, and waits until they know what they are to know of one another.
func (d *domain) comeOnline(tb testing.TB, what ...news) time.Duration {
	tb.Helper()
	_, hash := abilities()
	presence := "<presence><status>at work</status><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://client.example' ver='" + hash + "'/></presence>"
	r, start := d.newRound(-1, "", what...), time.Now()
	for _, c := range d.people {
		if err := c.send(presence); err != nil {
			tb.Fatal(err)
		}
	}
	r.await(tb)
	return time.Since(start)
}

// everybodyHas checks that nobody misses anything in the round that was.
func (d *domain) everybodyHas(tb testing.TB, what ...news) {
	tb.Helper()
	r := d.round.Load()
	for _, k := range what {
		for i, row := range r.heard[k] {
			for j, has := range row {
				if has != (i != j) {
					tb.Errorf("user%d has %v of user%d: %v", i, k, j, has)
				}
			}
		}
	}
}

// change has somebody say something new, and waits until all others have it.
func (d *domain) change(tb testing.TB, kind news, who int, form string) time.Duration {
	tb.Helper()
	mark := fmt.Sprintf("news-%d", time.Now().UnixNano())
	r, start := d.newRound(who, mark, kind), time.Now()
	if err := d.people[who].send(fmt.Sprintf(form, mark)); err != nil {
		tb.Fatal(err)
	}
	r.await(tb)
	return time.Since(start)
}

func (d *domain) measureOnline(b *testing.B, what ...news) {
	var used usage
	var pings []time.Duration
	n := 0
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		d.goOffline(b)
		before := d.usage()
		stop := d.ping(b, &pings)
		b.StartTimer()
		d.comeOnline(b, what...)
		b.StopTimer()
		stop()
		used.add(d.usage(), before)
		n += len(what) * len(d.people) * (len(d.people) - 1)
		b.StartTimer()
	}
	used.report(b, n)
	b.ReportMetric(d.peak(), "server-peak-MB")
	reportTimes(b, "ping", pings)
}

func (d *domain) measureChanges(b *testing.B, kind news, form string) {
	var times []time.Duration
	var used usage
	before := d.usage()
	b.ResetTimer()
	for i := range max(b.N, 20) {
		times = append(times, d.change(b, kind, i*7%len(d.people), form))
	}
	used.add(d.usage(), before)
	used.report(b, len(times)*(len(d.people)-1))
	reportTimes(b, "all", times)
}

func reportTimes(b *testing.B, name string, times []time.Duration) {
	if len(times) == 0 {
		return
	}
	slices.Sort(times)
	b.ReportMetric(times[len(times)/2].Seconds()*1000, name+"-median-ms")
	b.ReportMetric(times[len(times)-1].Seconds()*1000, name+"-max-ms")
}

// ping has the bystander ask for an answer every now and then until it is stopped.
func (d *domain) ping(b *testing.B, times *[]time.Duration) (stop func()) {
	ended, end := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			case <-time.After(5 * time.Millisecond):
			}
			start := time.Now()
			err := d.bystander.send("<iq type='get' id='ping' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>")
			if err == nil {
				_, err = d.bystander.await("iq")
			}
			if err != nil {
				b.Error(err)
				return
			}
			*times = append(*times, time.Since(start))
		}
	}()
	return func() { close(end); <-ended }
}

// usage is what the server's process has used, 0 where that is not known.
type usage struct {
	cpu    time.Duration
	writes int // system calls
}

func (u *usage) add(now, before usage) {
	u.cpu += now.cpu - before.cpu
	u.writes += now.writes - before.writes
}

func (u *usage) report(b *testing.B, stanzas int) {
	b.ReportMetric(float64(u.cpu.Microseconds())/float64(stanzas), "server-µs/stanza")
	b.ReportMetric(float64(u.writes)/float64(stanzas), "server-writes/stanza")
}

func (d *domain) usage() usage { return usage{d.cpu(), int(d.figure("io", "syscw:"))} }

// cpu is the processor time that the server has used, 0 where that is not known.
func (d *domain) cpu() (used time.Duration) {
	if b := d.proc("stat"); len(b) > 0 {
		fields := strings.Fields(b[strings.LastIndexByte(b, ')')+1:])
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		used = time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
	}
	return used
}

// peak is the most memory that the server has had, in MB.
func (d *domain) peak() float64 { return d.figure("status", "VmHWM:") / 1000 }

// figure is a number behind a name in what the system says of the server's process.
func (d *domain) figure(file, name string) float64 {
	_, line, _ := strings.Cut(d.proc(file), name)
	n, _ := strconv.ParseFloat(strings.Fields(line + " 0")[0], 64)
	return n
}

func (d *domain) proc(file string) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", d.pid, file))
	return string(b)
}
