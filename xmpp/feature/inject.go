package feature

import "confab/xmpp"

// InjectAll is Inject for many messages, which share a commit. It returns how
// many were taken; those that somebody may not or cannot get are left out. An
// error is that of the store, which then has none of the last batch.
func (t *Table) InjectAll(from xmpp.JID, messages []*xmpp.Stanza) (taken int, err error) {
	if !t.own.Enter() {
		return 0, errClosed
	}
	defer t.own.Leave()
	b := &Batch{}
	for _, st := range messages {
		if t.injectInto(b, from, st) {
			taken++
		}
	}
	if len(b.pending) > 0 {
		err = t.store(b)
	}
	b.out.Flush()
	if err != nil {
		taken -= len(b.pending)
	}
	return taken, err
}

func (t *Table) injectInto(b *Batch, from xmpp.JID, st *xmpp.Stanza) bool {
	d := &Dispatch{Stanza: st, From: from, To: st.To, host: t.host}
	d.Edit.From, st.From = from, from
	t.locate(d)
	defer t.recovered(d)
	_, err := t.pass(b, d)
	return err == nil
}
