package ipvs

import (
	"errors"
	"iter"
)

// A daemon that starts where an earlier one has left very many virtual servers would read for a minute before it
// could serve a change. But mostly they are as they should be. So their real servers are read one virtual server after
// another, by the steps of ResyncReals, and until then the virtual server is unseen: it is there, nobody knows how, and
// nothing is written to it. ReadAwaited reads at once those about which something is known to be written.

// postpone makes virtual servers that were not known unseen, if they are very many, and returns the others. What is
// desired already waits to be written, and is read at once.
func (t *Table) postpone(keys []Key, dump map[Key]VirtualServer) (others []Key) {
	if len(keys) <= t.tooMany {
		return keys
	}
	for _, k := range keys {
		if t.Desires(k) {
			others = append(others, k)
			continue
		}
		t.unseen[k], t.unread[k] = struct{}{}, struct{}{}
		t.setActual(k, dump[k])
	}
	return others
}

// Known reports that the virtual server is not unseen.
func (t *Table) Known(k Key) bool { _, unseen := t.unseen[k]; return !unseen }

// Unseen is the number of virtual servers whose real servers have never been read.
func (t *Table) Unseen() int { return len(t.unseen) }

// await has an unseen virtual server read before anything else. The real servers are those that were desired until now.
func (t *Table) await(k Key, before Reals) {
	if t.Known(k) {
		return
	}
	if len(t.awaited[k]) == 0 { // nothing was written since the first time
		t.awaited[k] = before
	}
}

// ReadFirst has ResyncReals read what is unread of these virtual servers before all others, in this order. It keeps the slice.
func (t *Table) ReadFirst(keys []Key) { t.sooner = keys }

// eachUnread yields the virtual servers whose real servers are to be read. The caller takes each from the unread ones, or stops.
func (t *Table) eachUnread() iter.Seq[Key] {
	return func(yield func(Key) bool) {
		for ; len(t.sooner) > 0; t.sooner = t.sooner[1:] {
			if _, unread := t.unread[t.sooner[0]]; unread && !yield(t.sooner[0]) {
				return
			}
		}
		t.sooner = nil
		for k := range t.unread {
			if !yield(k) {
				return
			}
		}
	}
}

// Awaited is the number of virtual servers that ReadAwaited would read.
func (t *Table) Awaited() int { return len(t.awaited) }

// ReadAwaited reads the real servers of the unseen virtual servers about which there is something to write. Those that
// cannot be read are tried again by the next call.
func (t *Table) ReadAwaited() error {
	var errs []error
	for k := range t.awaited {
		status, err := t.readOne(k)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		t.resyncReals(k, status)
	}
	return errors.Join(errs...)
}

// seen ends that a virtual server is unseen, and returns the real servers that were desired until they were not.
func (t *Table) seen(k Key) (before Reals) {
	if t.Known(k) {
		return nil
	}
	before = t.awaited[k]
	t.unseen, t.awaited = without(t.unseen, k), without(t.awaited, k)
	delete(t.unread, k)
	return before
}

// noteRemoved notes which of the real servers that are there were desired until they were not.
func (t *Table) noteRemoved(k Key, s *server, before Reals) {
	for addr := range before.without(s.wantReals) {
		if _, there := s.thereReals.Find(addr); there {
			t.removed[realKey{k, addr}] = struct{}{}
		}
	}
}
