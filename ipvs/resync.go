package ipvs

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
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
	for k, s := range t.servers {
		if !s.there {
			continue
		}
		seen, ok := dump[k]
		if !ok || seen != s.actual {
			drift++
		}
		if !ok {
			t.gone(k)
		}
	}
	t.unread, t.again = t.unread[:0], nil
	var strange []Key
	for k, v := range dump {
		switch {
		case t.Has(k):
			t.unread = append(t.unread, k)
			t.setActual(k, v)
		case t.Desires(k) || owned(k):
			strange = append(strange, k)
		}
	}
	return drift, t.adopt(strange, dump)
}

// adopt takes over virtual servers that were not known. Their real servers must be known before anything
// is written to them.
func (t *Table) adopt(keys []Key, dump map[Key]VirtualServer) error {
	read, err := t.reader(len(keys))
	if err != nil {
		return err
	}
	var errs []error
	for _, k := range keys {
		if _, err := t.resyncReals(k, read); err != nil {
			errs = append(errs, err)
			continue
		}
		t.setActual(k, dump[k])
	}
	return errors.Join(errs...)
}

// ResyncReals reads the real servers of the next virtual servers that ResyncServers left, at most
// limit of them. Those that could not be read come again when all others have been.
func (t *Table) ResyncReals(limit int) (drift int, err error) {
	if len(t.unread) == 0 {
		t.unread, t.again = t.again, nil
	}
	n := min(limit, len(t.unread))
	read, err := t.reader(n)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, k := range t.unread[:n] {
		if !t.Has(k) {
			continue // deleted meanwhile
		}
		more, err := t.resyncReals(k, read)
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

// manyServers is from how many virtual servers on one read of everything costs less than one read of each.
const manyServers = 24

// reader returns what reads the real servers of virtual servers, n of them.
func (t *Table) reader(n int) (read func(Key) (map[netip.AddrPort]RealStatus, error), err error) {
	if n < manyServers {
		return t.readOne, nil
	}
	t.messages++
	all, err := t.kernel.AllRealServers()
	if err != nil {
		return nil, fmt.Errorf("read all real servers: %w", err)
	}
	return func(k Key) (map[netip.AddrPort]RealStatus, error) {
		if reals, shown := all[k]; shown {
			return reals, nil
		}
		return t.readOne(k) // what was not shown is not gone
	}, nil
}

func (t *Table) readOne(k Key) (map[netip.AddrPort]RealStatus, error) {
	t.messages++
	status, err := t.kernel.RealServers(k)
	if err != nil {
		return nil, fmt.Errorf("read real servers of %s: %w", k, err)
	}
	return status, nil
}

// resyncReals takes over the real servers of one virtual server.
func (t *Table) resyncReals(k Key, read func(Key) (map[netip.AddrPort]RealStatus, error)) (drift int, err error) {
	status, err := read(k)
	if err != nil {
		return 0, err
	}
	s := t.server(k)
	if s.agrees(status) {
		t.touch(k, s)
		return 0, nil
	}
	seen := make([]Real, 0, len(status))
	for addr, one := range status {
		seen = append(seen, Real{addr, one.RealServer})
	}
	now := SortReals(seen)
	for is, was := range difference(now, s.thereReals) {
		if t.Has(k) || is == nil || was != nil { // those of a virtual server that was not known are no news
			drift++
		}
	}
	t.setActualReals(k, s, now)
	t.touch(k, s)
	return drift, nil
}

// agrees reports that the kernel has the real servers that it is believed to have.
func (s *server) agrees(status map[netip.AddrPort]RealStatus) bool {
	if len(status) != len(s.thereReals) {
		return false
	}
	return !slices.ContainsFunc(s.thereReals, func(real Real) bool {
		now, there := status[real.Addr]
		return !there || now.RealServer != real.RealServer
	})
}
