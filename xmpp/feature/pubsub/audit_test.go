package pubsub

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"confab/xmpp/directory"
	"confab/xmpp/store"
)

// Audit holds what is counted, and what is in memory, against what is on disk.
func (p *PubSub) Audit() error {
	return p.host.State.View(context.Background(), func(tx store.Tx) (err error) {
		type owner struct{ home, user directory.ID }
		sums := map[owner]*usage{}
		of := func(home, user directory.ID) *usage {
			if sums[owner{home, user}] == nil {
				sums[owner{home, user}] = &usage{}
			}
			return sums[owner{home, user}]
		}
		wrong := func(format string, args ...any) { err = errors.Join(err, fmt.Errorf(format, args...)) }
		nodes, items, people := 0, 0, 0
		known := acquaintance{nodes: map[string]map[place]int{}}
		for k := range tx.Scan(spaceNodes, store.Range{}) {
			id, name, _ := splitNodeKey(k)
			if name == "" {
				continue
			}
			nodes++
			n, bad := getNode(tx, id, name)
			if bad != nil {
				return bad
			}
			have := nodeRecord{}
			for it, bad := range scanItems(tx, id, n.Num, store.Range{}) {
				if bad != nil {
					return bad
				}
				have.Items++
				have.Bytes += it.size()
				if same, ok, _ := getItem(tx, id, n.Num, it.ID); !ok || same.seq != it.seq {
					wrong("%s: %s is not found by its id", name, it.ID)
				}
			}
			s := p.homes[id].shapeOf(name)
			if s == nil {
				wrong("%s is not in memory", name)
				continue
			}
			for k, v := range tx.Scan(spacePeople, store.Range{Prefix: numberKey(id, n.Num)}) {
				jid := string(k[12:])
				is, _ := decodePerson(v)
				have.People++
				have.Bytes += personSize
				count(&have.Owners, false, is.affiliation == Owner)
				count(&have.Affiliated, false, is.affiliation != None)
				count(&have.Subscribers, false, is.subscription != unsubscribed)
				known.note(jid, place{p.homes[id], name}, 1)
				if s.people.get(jid) != is {
					wrong("%s: %s is %v, and %v in memory", name, jid, is, s.people.get(jid))
				}
			}
			if n.Items != have.Items || n.Bytes != have.Bytes || n.People != have.People ||
				n.Owners != have.Owners || n.Affiliated != have.Affiliated || n.Subscribers != have.Subscribers {
				wrong("%s: counted %+v, there are %+v", name, n, have)
			}
			items += have.Items
			people += have.People
			u := of(id, n.Creator)
			u.Nodes++
			u.Bytes += n.Bytes
			last, _ := readLast(tx, id, n)
			if m := p.homes[id].nodes[name].last; (last == nil) != (m == nil) || last != nil && !last.same(m) {
				wrong("%s: the last item in memory is %v, not %v", name, m, last)
			}
		}
		for _, k := range []struct {
			space store.Space
			n     int
		}{{spaceItems, items}, {spaceIDs, items}, {spacePeople, people}} {
			got := 0
			for range tx.Scan(k.space, store.Range{}) {
				got++
			}
			if got != k.n {
				wrong("%s has %d, of nodes %d", k.space, got, k.n)
			}
		}
		for k, v := range tx.Scan(spaceMoved, store.Range{}) {
			id, _, _ := splitNodeKey(k)
			m, bad := get[moved](tx, spaceMoved, k)
			if bad != nil {
				return fmt.Errorf("%s: %w", v, bad)
			}
			of(id, m.Creator).Moved++
		}
		for at, sum := range sums {
			if have, _ := get[usage](tx, spaceUsage, usageKey(at.home, at.user)); have != *sum {
				wrong("%d at %d: counted %+v, it is %+v", at.user, at.home, have, *sum)
			}
		}
		for k := range tx.Scan(spaceUsage, store.Range{}) {
			id, rest, _ := splitNodeKey(k)
			user, _, _ := splitNodeKey([]byte(rest))
			if sums[owner{id, user}] == nil {
				wrong("%d at %d is counted, and has nothing", user, id)
			}
		}
		if !reflect.DeepEqual(known.nodes, p.people.nodes) {
			wrong("who is something to nodes is %v in memory, not %v", p.people.nodes, known.nodes)
		}
		inMemory := 0
		for _, h := range p.homes {
			inMemory += len(h.names())
		}
		if inMemory != nodes {
			wrong("%d nodes are in memory, and %d on disk", inMemory, nodes)
		}
		return err
	})
}
