package ipvs

import (
	"errors"
	"fmt"
	"maps"
	"math"
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
	reals, err := t.ResyncAllReals()
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
	if err := t.askLeftOut(dump); err != nil {
		return 0, err
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
	t.Retry()
	t.sweep.more, t.sweep.missed = false, nil
	t.beginReals()
	var strange []Key
	for k, v := range dump {
		switch {
		case t.Has(k):
			t.unread[k] = struct{}{}
			t.setActual(k, v)
		case t.Desires(k) || owned(k):
			strange = append(strange, k)
		}
	}
	err = t.adopt(t.postpone(strange, dump), dump)
	t.reading = oneByOne
	if n := len(t.unread); n >= manyServers && n <= t.tooMany {
		t.reading = fromFirst
	}
	return drift, err
}

// askLeftOut asks by name for what a dump lacks, if it is little, and adds it where it is there: a dump goes on by number from
// page to page, and leaves one out where another goes meanwhile, in any network namespace.
func (t *Table) askLeftOut(dump map[Key]VirtualServer) error {
	var lacks []Key
	for k, s := range t.servers {
		if _, shown := dump[k]; s.there && !shown {
			lacks = append(lacks, k)
		}
	}
	if len(lacks) > few {
		return nil
	}
	for _, k := range lacks {
		v, there, err := t.readServer(k)
		if err != nil {
			return err
		}
		if there {
			dump[k] = v
		}
	}
	return nil
}

// beginReals begins to read the real servers of all virtual servers.
func (t *Table) beginReals() {
	t.unread, t.again = make(map[Key]struct{}), nil
	t.counted, t.connections = t.connections, 0
}

// reading is how the next real servers are read.
type reading uint8

const (
	oneByOne reading = iota
	fromFirst
	further
)

const (
	// manyServers is from how many virtual servers on reading them all costs less than to read one by one.
	manyServers = 24
	// tooManyServers is from how many on it costs more, for it is quadratic: each page begins to count anew
	// (ip_vs_info_array, net/netfilter/ipvs/ip_vs_ctl.c). Of more than so many that were not known, the real
	// servers are not read at once: see unseen.go.
	tooManyServers = 16_384
)

// adopt takes over virtual servers that were not known. Their real servers must be known before anything
// is written to them.
func (t *Table) adopt(keys []Key, dump map[Key]VirtualServer) error {
	var shown map[Key]map[netip.AddrPort]RealStatus
	if len(keys) >= manyServers {
		var err error
		t.messages++
		if shown, _, err = t.kernel.MoreRealServers(true, math.MaxInt); err != nil {
			return fmt.Errorf("read all real servers: %w", err)
		}
	}
	var errs []error
	for _, k := range keys {
		status, known := shown[k]
		if !known { // what was not shown is not gone
			var err error
			if status, err = t.readOne(k); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		t.resyncReals(k, status)
		t.setActual(k, dump[k])
	}
	return errors.Join(errs...)
}

// ResyncAllReals reads the real servers of all virtual servers that ResyncServers left. Those that have never been
// read are left to ResyncReals: nothing that was written there can have got lost.
func (t *Table) ResyncAllReals() (drift int, err error) {
	later := make(map[Key]struct{})
	for k := range t.unseen {
		if _, unread := t.unread[k]; unread {
			delete(t.unread, k)
			later[k] = struct{}{}
		}
	}
	switch {
	case len(later) > 0:
		t.reading = oneByOne // the text would tell of them, too
	case len(t.unread) >= manyServers:
		t.reading = fromFirst
	}
	drift, err = t.ResyncReals(t.Unread())
	maps.Copy(t.unread, later)
	return drift, err
}

// ResyncReals reads the real servers of the next virtual servers that ResyncServers left, about limit of
// them. Those that could not be read come again when all others have been.
func (t *Table) ResyncReals(limit int) (drift int, err error) {
	if len(t.unread) == 0 {
		t.unread = make(map[Key]struct{}, len(t.again))
		for _, k := range t.again {
			t.unread[k] = struct{}{}
		}
		t.again = nil
	}
	before := len(t.unread)
	if t.reading != oneByOne {
		if drift, err = t.resyncMore(limit); err != nil {
			return drift, err
		}
	}
	if t.reading != oneByOne {
		return drift, nil
	}
	more, err := t.resyncOneByOne(limit - (before - len(t.unread)))
	return drift + more, err
}

// resyncMore takes over what one read of many shows.
func (t *Table) resyncMore(limit int) (drift int, err error) {
	t.messages++
	first := t.reading == fromFirst
	t.reading = oneByOne // in case of failure, and for what is not shown
	shown, more, err := t.kernel.MoreRealServers(first, limit)
	if err != nil {
		return 0, fmt.Errorf("read real servers: %w", err)
	}
	if more {
		t.reading = further
	}
	for k, status := range shown {
		if _, unread := t.unread[k]; !unread {
			continue
		}
		delete(t.unread, k)
		if t.Has(k) {
			drift += t.resyncReals(k, status)
		}
	}
	return drift, nil
}

func (t *Table) resyncOneByOne(limit int) (drift int, err error) {
	var errs []error
	for k := range t.eachUnread() {
		if limit--; limit < 0 {
			break
		}
		delete(t.unread, k)
		if !t.Has(k) {
			continue // deleted meanwhile
		}
		status, err := t.readOne(k)
		if err != nil {
			errs = append(errs, err)
			t.again = append(t.again, k)
			continue
		}
		drift += t.resyncReals(k, status)
	}
	return drift, errors.Join(errs...)
}

// Unread is the number of virtual servers that wait for ResyncReals or, about, for NextPage.
func (t *Table) Unread() int {
	n := len(t.unread) + len(t.again) + len(t.sweep.missed)
	if t.sweep.more {
		n += max(len(t.servers)-t.sweep.seen, 1)
	}
	return n
}

// Tried reports that all that are still unread could not be read.
func (t *Table) Tried() bool { return len(t.unread) == 0 && !t.PageDue() }

func (t *Table) readOne(k Key) (map[netip.AddrPort]RealStatus, error) {
	t.messages++
	status, err := t.kernel.RealServers(k)
	if err != nil {
		return nil, fmt.Errorf("read real servers of %s: %w", k, err)
	}
	return status, nil
}

// resyncReals takes over the real servers of one virtual server.
func (t *Table) resyncReals(k Key, status map[netip.AddrPort]RealStatus) (drift int) {
	for _, real := range status {
		t.connections += real.ActiveConnections + real.InactiveConnections
	}
	s := t.server(k)
	known := t.Known(k)
	before := t.seen(k)
	if s.agrees(status) {
		t.touch(k, s)
		return 0
	}
	seen := make([]Real, 0, len(status))
	for addr, one := range status {
		seen = append(seen, Real{addr, one.RealServer})
	}
	now := SortReals(seen)
	for is, was := range difference(now, s.thereReals) {
		if known && t.Has(k) || is == nil || was != nil { // those of a virtual server that was not known are no news
			drift++
		}
	}
	t.setActualReals(k, s, now)
	t.noteRemoved(k, s, before)
	t.touch(k, s)
	return drift
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
