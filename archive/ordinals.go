package archive

import "confab/xmpp/store"

// ordinals remembers the last ordinal of each archive and conversation that was written to lately, so that a message to
// many need not look each of them up. It belongs to the committer's goroutine.
//
// What was given away in a transaction holds once that is on disk: until then it is noted as open, and read anew when it
// turns out that the transaction, or one function in it, was undone. That ordinals are not given twice is all that matters:
// retention takes the oldest, and an archive that it has emptied may go on where it was.
type ordinals struct {
	last map[string]*ordinal // by what the keys of a conversation begin with
	tx   store.Tx            // in which the open ones were given away; nil: there are none
	open []*ordinal
}

// ordinal is the last one of a conversation.
type ordinal struct {
	n     uint64
	known bool // else it is to be read
}

// maxOrdinals bounds what is remembered.
const maxOrdinals = 1 << 16

// begin is called before the first next of a function of a transaction. What it returns is for undo.
func (o *ordinals) begin(tx store.Tx) (mark int) {
	if o.tx != tx {
		o.undo(0)
		o.tx = tx
	}
	if len(o.open) == 0 && len(o.last) > maxOrdinals {
		clear(o.last)
	}
	return len(o.open)
}

// next gives away an ordinal of the conversation whose keys begin with prefix.
func (o *ordinals) next(tx store.Tx, prefix []byte) uint64 {
	e := o.last[string(prefix)]
	if e == nil {
		if o.last == nil {
			o.last = map[string]*ordinal{}
		}
		e = new(ordinal)
		o.last[string(prefix)] = e
	}
	if !e.known {
		last, _ := index{prefix}.end(tx, 0, maxID, true)
		e.n, e.known = last.ordinal, true
	}
	o.open = append(o.open, e)
	e.n++
	return e.n
}

// undo forgets what was given away since mark.
func (o *ordinals) undo(mark int) {
	for _, e := range o.open[mark:] {
		e.known = false
	}
	o.open = o.open[:mark]
}

// settled is called when the transaction is on disk.
func (o *ordinals) settled() { o.open, o.tx = o.open[:0], nil }
