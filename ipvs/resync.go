package ipvs

import (
	"errors"
	"fmt"
	"net/netip"
)

// Resync reads the whole kernel table at once. Virtual servers that are neither desired, nor known
// from before, nor owned according to the given function stay invisible to the table: they are
// somebody else's. It returns how many virtual and real servers were not as the table believed.
func (t *Table) Resync(owned func(Key) bool) (drift int, err error) {
	servers, err := t.ResyncServers(owned)
	if err != nil {
		return 0, err
	}
	reals, err := t.ResyncReals(t.Unread())
	return servers + reals, err
}

// ResyncServers reads the virtual servers, in one dump, and leaves the real servers of those that
// were known already to ResyncReals: the kernel tells those of one virtual server at a time.
func (t *Table) ResyncServers(owned func(Key) bool) (drift int, err error) {
	t.messages++
	dump, err := t.kernel.Servers()
	if err != nil {
		return 0, fmt.Errorf("read virtual servers: %w", err)
	}
	for k, actual := range t.servers.AllActual() {
		seen, ok := dump[k]
		if !ok {
			t.gone(k)
		}
		if !ok || seen != actual {
			drift++
		}
	}
	t.unread, t.again = t.unread[:0], nil
	var errs []error
	for k, v := range dump {
		known := t.Has(k)
		if !known && !t.Desires(k) && !owned(k) {
			continue
		}
		if !known { // its real servers must be known before anything is written to it
			if _, err := t.resyncReals(k); err != nil {
				errs = append(errs, err)
				continue
			}
		} else {
			t.unread = append(t.unread, k)
		}
		t.setActual(k, v)
	}
	return drift, errors.Join(errs...)
}

// ResyncReals reads the real servers of the next virtual servers that ResyncServers left, at most
// limit of them. Those that could not be read come again when all others have been.
func (t *Table) ResyncReals(limit int) (drift int, err error) {
	if len(t.unread) == 0 {
		t.unread, t.again = t.again, nil
	}
	n := min(limit, len(t.unread))
	var errs []error
	for _, k := range t.unread[:n] {
		if !t.Has(k) {
			continue // deleted meanwhile
		}
		more, err := t.resyncReals(k)
		drift += more
		if err != nil {
			errs = append(errs, err)
			t.again = append(t.again, k)
		}
	}
	t.unread = t.unread[n:]
	return drift, errors.Join(errs...)
}

// Unread is the number of virtual servers that wait for ResyncReals.
func (t *Table) Unread() int { return len(t.unread) + len(t.again) }

// Tried reports that all that are still unread could not be read.
func (t *Table) Tried() bool { return len(t.unread) == 0 }

// resyncReals reads the real servers of one virtual server.
func (t *Table) resyncReals(k Key) (drift int, err error) {
	t.messages++
	status, err := t.kernel.RealServers(k)
	if err != nil {
		return 0, fmt.Errorf("read real servers of %s: %w", k, err)
	}
	seen := make(map[netip.AddrPort]RealServer, len(status))
	for addr, s := range status {
		seen[addr] = s.RealServer
	}
	table := t.realsOf(k)
	added := len(seen)
	for addr, actual := range table.AllActual() {
		now, ok := seen[addr]
		if !ok {
			t.undrain(k, addr)
		} else {
			added--
		}
		if !ok || now != actual {
			drift++
		}
	}
	if t.Has(k) {
		drift += added
	}
	table.ReplaceActual(seen)
	t.touch(k)
	return drift, nil
}
