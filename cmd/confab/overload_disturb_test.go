package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// disturbBy makes the test binary one who disturbs the confab at the address in disturbAt, so that those who are measured
// share no processor time of their own with him.
const (
	disturbBy = "CONFAB_TEST_DISTURB"
	disturbAt = "CONFAB_TEST_DISTURB_AT"
)

func init() {
	if kind := os.Getenv(disturbBy); kind != "" {
		disturb(kind, os.Getenv(disturbAt))
		os.Exit(0)
	}
}

// disturbers are the faults of BenchmarkOverload. Each makes ready, waits until it may begin, and goes on until its process
// is told to end.
var disturbers = map[string]func(*disturber) error{
	"slow-readers": (*disturber).slowReaders,
	"flood":        (*disturber).flood,
	"stalled-room": (*disturber).stalledRoom,
	"alias-bomb":   (*disturber).aliasBomb,
	"large-items":  (*disturber).largeItems,
	"small-items":  (*disturber).smallItems,
	"handshakes":   (*disturber).handshakes,
	"logins":       (*disturber).logins,
}

const (
	overloadPassword = "pw"
	occupants        = 20  // of the room
	members          = 499 // of the alias, besides the bomber
	membersOnline    = 50
)

func member(i int) string { return fmt.Sprint("member", i) }

type disturber struct {
	addr  string
	begin chan struct{}
	done  atomic.Int64 // what was done, in units of the fault
}

// disturb is the main of the disturber's process: "ready" on standard output, a line on standard input to begin, its end to
// end.
func disturb(kind, addr string) {
	d := &disturber{addr: addr, begin: make(chan struct{})}
	go func() {
		if err := disturbers[kind](d); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}()
	in := bufio.NewReader(os.Stdin)
	if _, err := in.ReadString('\n'); err == nil {
		close(d.begin)
		io.Copy(io.Discard, in)
	}
	fmt.Println(d.done.Load())
}

// ready says so and waits for the beginning.
func (d *disturber) ready() {
	fmt.Println("ready")
	<-d.begin
}

// online logs somebody in who stays.
func (d *disturber) online(user string) (*client, error) {
	c, err := online(d.addr, "example.com", user, overloadPassword)
	if err == nil {
		c.conn.SetDeadline(time.Time{})
	}
	return c, err
}

// listener logs somebody in who takes whatever comes.
func (d *disturber) listener(user string) (*client, error) {
	c, err := d.online(user)
	if err == nil {
		go io.Copy(io.Discard, c.conn)
	}
	return c, err
}

// deaf has a client take as little as it can.
func deaf(c *client) {
	c.conn.(*tls.Conn).NetConn().(*net.TCPConn).SetReadBuffer(4 << 10)
}

// slowReaders get some megabytes a second each, which the rate lets pass for a while, and read nothing. Who was closed comes
// back.
func (d *disturber) slowReaders() error {
	const readers = 4
	var from, to [readers]*client
	for i := range from {
		var err error
		if from[i], err = d.listener(member(i)); err != nil {
			return err
		}
		if to[i], err = d.online(member(readers + i)); err != nil {
			return err
		}
		deaf(to[i])
	}
	d.ready()
	body := strings.Repeat("x", 50<<10)
	failed := make(chan error)
	for i := range from {
		go func() {
			for n := 1; ; n++ {
				if err := from[i].send("<message type='chat' to='" + to[i].jid + "'><body>" + body + "</body></message>"); err != nil {
					failed <- err
				}
				d.done.Add(1)
				time.Sleep(20 * time.Millisecond) // 2.5 MB/s
				if n%100 == 0 {                   // he has been closed
					to[i].conn.(*tls.Conn).NetConn().Close()
					var err error
					if to[i], err = d.online(member(readers + i)); err != nil {
						failed <- err
					}
					deaf(to[i])
				}
			}
		}()
	}
	return <-failed
}

// flood is one client that sends messages as fast as they are taken.
func (d *disturber) flood() error {
	from, err := d.listener(member(0))
	if err != nil {
		return err
	}
	to, err := d.listener(member(1))
	if err != nil {
		return err
	}
	const at = 100
	line := strings.Repeat("<message type='chat' to='"+to.jid+"'><body>All work and no play makes Jack a dull boy</body></message>", at)
	d.ready()
	for {
		if err := from.send(line); err != nil {
			return err
		}
		d.done.Add(at)
	}
}

// stalledRoom is a room in which much is said, and one occupant reads nothing of it.
func (d *disturber) stalledRoom() error {
	var speaker, stalled *client
	for i := range occupants {
		c, err := d.online(member(i))
		if err != nil {
			return err
		}
		if err := c.send("<presence to='team@conference.example.com/" + member(i) + "'><x xmlns='http://jabber.org/protocol/muc'/></presence>"); err != nil {
			return err
		}
		for e := new(element); !strings.HasSuffix(e.attr("from"), "conference.example.com/"+member(i)); {
			if e, err = c.next(); err != nil {
				return err
			}
		}
		switch i {
		case 0:
			stalled = c
			deaf(c)
			continue
		case 1:
			speaker = c
		}
		go io.Copy(io.Discard, c.conn)
	}
	d.ready()
	body := strings.Repeat("x", 20<<10)
	for {
		if err := speaker.send("<message type='groupchat' to='team@conference.example.com'><body>" + body + "</body></message>"); err != nil {
			return fmt.Errorf("%w; %s does not read", err, stalled.jid)
		}
		d.done.Add(1)
		time.Sleep(10 * time.Millisecond) // 2 MB/s
	}
}

// aliasBomb is one who writes to an alias of 500 in a loop.
func (d *disturber) aliasBomb() error {
	for i := range membersOnline {
		if _, err := d.listener(member(i)); err != nil {
			return err
		}
	}
	c, err := d.listener("bomber")
	if err != nil {
		return err
	}
	const at = 10
	line := strings.Repeat("<message type='chat' to='everybody@example.com'><body>bomb</body></message>", at)
	d.ready()
	for {
		if err := c.send(line); err != nil {
			return err
		}
		d.done.Add(at)
	}
}

// from dials from one of many addresses of this machine, as somebody at another place would.
func (d *disturber) from(i int) (net.Conn, error) {
	local := &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%250))}
	return (&net.Dialer{Timeout: 10 * time.Second, LocalAddr: local}).Dial("tcp", d.addr)
}

// hello is how a handshake of TLS begins.
func hello() ([]byte, error) {
	here, there := net.Pipe()
	go tlsOver(here).(*tls.Conn).Handshake()
	defer here.Close()
	b := make([]byte, 16<<10)
	n, err := there.Read(b)
	return b[:n], err
}

// handshakes begins 10,000 of them as fast as it can. Half of these do not get as far as a whole first message, the others
// have it answered, which is what costs the server most, and say nothing more.
func (d *disturber) handshakes() error {
	const many, hands, places = 10_000, 8, 10
	first, err := hello()
	if err != nil {
		return err
	}
	conns := make([]net.Conn, many)
	d.ready()
	var wg sync.WaitGroup
	for hand := range hands {
		wg.Go(func() {
			for i := hand; i < many; i += hands {
				c, err := d.from(i % places)
				if err != nil {
					continue // the queue of those to be accepted is full
				}
				say := first
				if i/hands%2 == 0 {
					say = first[:3]
				}
				c.Write(say)
				conns[i] = c
				d.done.Add(1)
			}
		})
	}
	wg.Wait()
	select {} // with all that it has open
}

// logins is a guesser at many places, each of which begins anew as often as it is cut off.
func (d *disturber) logins() error {
	const hands = 16
	d.ready()
	for hand := range hands {
		go func() {
			for i := hand; ; i += hands {
				raw, err := d.from(i)
				if err != nil {
					continue
				}
				raw.SetDeadline(time.Now().Add(30 * time.Second))
				c := &client{conn: tlsOver(raw)}
				for err = c.open("example.com"); err == nil; {
					if _, err = attempt(c, member(i%members), "wrong"); err == nil {
						d.done.Add(1)
					}
				}
				raw.Close()
			}
		}()
	}
	select {}
}
