package ipvs

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// A removed real server gets weight 0: no new connection reaches it, the open ones go on. It is
// deleted when they have ended or the drain timeout has passed. UDP has no end to wait for, so its
// real servers are deleted at once.
//
// There is no list of drains to lose: a drain is a real server that is there and not desired. After
// a restart it is found again by Resync and drains on, with a fresh deadline.

// When the connections of a virtual server that drains are looked at. IPVS remembers a connection that has ended for ten
// seconds after a reset, and for a minute or two otherwise (tcp_timeouts in net/netfilter/ipvs/ip_vs_proto_tcp.c). So what
// is not idle at the first look will not be for some time, and to look often costs more than a deletion that is late.
const (
	firstPoll = time.Second      // what nobody has used lately is idle then
	laterPoll = 10 * time.Second // after the look before, or as long as it has drained already
	longPoll  = 30 * time.Second // but not longer
	maxPolls  = 64               // looks in one Expire, so that a mass drain cannot stall a sync
)

type realKey struct {
	server Key
	real   netip.AddrPort
}

type drain struct {
	since    time.Time
	deadline time.Time // zero: none
	poll     time.Time
}

// waits reports that there is nothing to do about a virtual server but to wait for drains. There may be very many of
// these, for minutes, and no change of anything else may cost more for that.
func (t *Table) waits(k Key, s *server) bool {
	if len(t.drains) == 0 || s.wanted && (!s.there || s.desired != s.actual) {
		return false
	}
	if !s.wanted && t.leadsAway(k) {
		return false
	}
	any := t.drainsOn(elsewhere(k))
	for want, have := range s.difference() {
		if any = true; want != nil || have.Weight != 0 || !t.drainsOn(realKey{k, have.Addr}) {
			return false
		}
	}
	return any
}

// drainsOn reports that a real server drains, and is not to be deleted yet.
func (t *Table) drainsOn(key realKey) bool {
	d, draining := t.drains[key]
	return draining && !d.over()
}

// Drain gives weight 0 to the connected real servers that are no longer desired, so that they get
// no new connections from here on. It deletes nothing.
func (t *Table) Drain(now time.Time) error {
	var ops []Op
	for k, s := range t.dirty {
		if _, stuck := t.stuck[k]; stuck || !t.connected(k) {
			continue
		}
		for want, have := range s.difference() {
			if want != nil {
				continue
			}
			key := realKey{k, have.Addr}
			if _, draining := t.drains[key]; !draining {
				t.drain(key, now)
			}
			if have.Weight != 0 {
				ops = append(ops, Op{Verb: EditReal, Key: k, Real: have.Addr, Value: RealServer{}})
			}
		}
		if !s.wanted && t.leadsAway(k) {
			t.drainElsewhere(k, now)
		}
		t.touch(k, s)
	}
	return t.apply(ops, t.stuck)
}

// DrainRemoved gives weight 0 to the real servers that were desired and are no longer, of virtual servers
// that still are. It is for the time in which nobody can say yet whether the others are wanted.
func (t *Table) DrainRemoved() error {
	var ops []Op
	for k, s := range t.dirty {
		if _, stuck := t.stuck[k]; stuck || !s.wanted {
			continue
		}
		for want, have := range s.difference() {
			if want != nil || have.Weight == 0 {
				continue
			}
			if _, removed := t.removed[realKey{k, have.Addr}]; removed {
				ops = append(ops, Op{Verb: EditReal, Key: k, Real: have.Addr, Value: RealServer{}})
			}
		}
	}
	return t.apply(ops, t.stuck)
}

// undrain ends the drain of a real server, if there is one: it is desired again, or gone.
func (t *Table) undrain(k Key, real netip.AddrPort) {
	if len(t.drains) > 0 {
		t.drains = without(t.drains, realKey{k, real})
	}
	if len(t.removed) > 0 {
		t.removed = without(t.removed, realKey{k, real})
	}
}

// without deletes a key, and returns another map in place of one that has become empty: a map keeps the
// size that it once had, and to range over it costs as much. At the start every key is dirty.
func without[K comparable, V any](m map[K]V, k K) map[K]V {
	if _, there := m[k]; !there {
		return m
	}
	if delete(m, k); len(m) == 0 {
		return make(map[K]V)
	}
	return m
}

// connected reports whether connections have an end that is worth waiting for.
func (t *Table) connected(k Key) bool {
	if k.Mark != 0 {
		return !t.marks.Datagram(k.Mark)
	}
	return k.Protocol != UDP
}

// drain begins the drain of a real server.
func (t *Table) drain(key realKey, now time.Time) {
	d := drain{since: now}
	if timeout := t.timeoutOf(key); timeout > 0 {
		d.deadline = now.Add(timeout)
		t.deadlines.add(d.deadline, key, len(t.drains))
	}
	t.pollAt(key, d, now.Add(firstPoll))
}

// timeoutOf is how long a drain lasts at most; 0: until the connections end.
func (t *Table) timeoutOf(key realKey) time.Duration {
	timeout, special := t.timeouts[key.server]
	if !special {
		timeout = t.drainTimeout
	}
	if timeout == 0 && t.Desires(t.away[key.server]) && key == elsewhere(key.server) {
		return sharedTimeout
	}
	return timeout
}

// pollAt has the connections of a real server that drains looked at then.
func (t *Table) pollAt(key realKey, d drain, at time.Time) {
	d.poll = at
	t.drains[key] = d
	t.polls.add(at, key, len(t.drains))
}

// SetDefaultDrainTimeout changes how long the drains that begin from now on last at most.
func (t *Table) SetDefaultDrainTimeout(timeout time.Duration) { t.drainTimeout = timeout }

// SetDrainTimeout makes the drains of this virtual server that begin from now on last at most as
// long, 0 meaning until their connections end, and nil as long as those of every other. It holds as
// long as the virtual server is desired or there.
func (t *Table) SetDrainTimeout(k Key, timeout *time.Duration) {
	if timeout == nil {
		delete(t.timeouts, k)
		return
	}
	t.timeouts[k] = *timeout
}

// Holds reports that the virtual server must stay reachable: it is desired, or connections to it
// are draining, or may be, for nobody has looked yet. Ask after Drain and Expire.
func (t *Table) Holds(k Key) bool {
	s := t.servers[k]
	if s == nil || s.wanted {
		return s != nil
	}
	if !t.Known(k) {
		return true
	}
	return t.drainsOn(elsewhere(k)) || slices.ContainsFunc(s.thereReals, func(real Real) bool {
		return t.drainsOn(realKey{k, real.Addr})
	})
}

// HoldsAddr reports that any virtual server at addr that counts must stay reachable.
func (t *Table) HoldsAddr(addr netip.Addr, counts func(Key) bool) bool {
	return slices.ContainsFunc(t.at[addr], func(k Key) bool { return counts(k) && t.Holds(k) })
}

// Lingers reports that the virtual server is not desired, and only waits until its real servers have drained.
func (t *Table) Lingers(k Key) bool { s := t.waiting[k]; return s != nil && !s.wanted }

// LingersAt reports that a virtual server at addr lingers.
func (t *Table) LingersAt(addr netip.Addr) bool { return slices.ContainsFunc(t.at[addr], t.Lingers) }

// Lingered yields the addresses of virtual servers that have lingered and may do so no longer since it was last called.
func (t *Table) Lingered() iter.Seq[netip.Addr] {
	addrs := t.lingered
	t.lingered = nil
	return maps.Keys(addrs)
}

// noteLingered has Lingered yield the address, if the virtual server lingers as far as is known.
func (t *Table) noteLingered(k Key) {
	if t.waiting[k] == nil {
		return
	}
	if t.lingered == nil {
		t.lingered = make(map[netip.Addr]struct{})
	}
	t.lingered[k.Addr.Addr()] = struct{}{}
}

// over marks a drain that has ended: the real server may be deleted.
func (d drain) over() bool { return d == drain{} }

// Expire ends the drains that are idle, by a bounded number of reads, or past their deadline. Their
// real servers are deleted by the next Prune. While the caller is busy, nothing is read that can wait, and
// when it becomes busy, nothing more.
func (t *Table) Expire(now time.Time, busy func() bool) error {
	forced := make(map[Key]struct{})
	for key := range t.deadlines.until(now) {
		t.drains[key] = drain{}
		forced[key.server] = struct{}{}
		if key != elsewhere(key.server) { // there they count as well
			t.forced++
		}
	}
	for k := range forced {
		t.touch(k, t.servers[k])
	}
	late := time.Duration(0)
	if busy() {
		late = laterPoll
	}
	var errs []error
	polls := 0
	for key := range t.polls.until(now.Add(-late)) {
		errs = append(errs, t.poll(key, now))
		if polls++; polls == maxPolls || late == 0 && busy() {
			break
		}
	}
	return errors.Join(errs...)
}

// poll reads the connections of one virtual server and ends its idle drains.
func (t *Table) poll(key realKey, now time.Time) error {
	k := key.server
	if key == elsewhere(k) {
		return t.pollElsewhere(k, now)
	}
	t.messages++
	status, err := t.kernel.RealServers(k)
	if err != nil {
		err = fmt.Errorf("read connections of %s: %w", k, err)
	}
	s := t.servers[k]
	for want, have := range s.difference() {
		if want == nil {
			seen, there := status[have.Addr]
			t.looked(realKey{k, have.Addr}, err == nil && (!there || seen.Idle()), now)
		}
	}
	t.touch(k, s)
	return err
}

// looked ends a drain, if it goes on and is idle, or says when it is looked at again.
func (t *Table) looked(key realKey, idle bool, now time.Time) {
	d := t.drains[key]
	switch {
	case !t.drainsOn(key):
	case idle:
		t.drains[key] = drain{}
	default:
		t.pollAt(key, d, now.Add(min(max(now.Sub(d.since), laterPoll), longPoll)))
	}
}

// Prune deletes what is there, not desired and not draining: real servers, and of the virtual servers
// that are not desired those that due accepts. Real servers go before their virtual server; one that
// still drains keeps its virtual server. Call Drain before it.
func (t *Table) Prune(due func(Key) bool) error {
	var ops []Op
	for k, s := range t.dirty {
		if _, stuck := t.stuck[k]; stuck || !s.wanted && !due(k) {
			continue
		}
		if s.there && !s.wanted && !t.Holds(k) {
			ops = append(ops, Op{Verb: DeleteServer, Key: k})
			continue
		}
		for want, have := range s.difference() {
			if want != nil {
				continue
			}
			if !t.drainsOn(realKey{k, have.Addr}) {
				ops = append(ops, Op{Verb: DeleteReal, Key: k, Real: have.Addr})
			}
		}
	}
	return t.apply(ops, t.stuck)
}

// Draining is the number of real servers that wait for their connections to end.
func (t *Table) Draining() int { return len(t.drains) - t.drainingElsewhere }

// DrainedBy returns when the last real server that drains will be gone at the latest. It is zero where none drains, or one
// has no deadline.
func (t *Table) DrainedBy() (last time.Time) {
	for _, d := range t.drains {
		if d.deadline.IsZero() {
			return time.Time{}
		}
		if d.deadline.After(last) {
			last = d.deadline
		}
	}
	return last
}

// Forced is the number of drains that have ended at their deadline.
func (t *Table) Forced() uint64 { return t.forced }

// DrainingServers lists the virtual servers with real servers that drain.
func (t *Table) DrainingServers() []Key {
	keys := make(map[Key]struct{})
	for key, d := range t.drains {
		if !d.over() {
			keys[key.server] = struct{}{}
		}
	}
	return slices.SortedFunc(maps.Keys(keys), Key.Compare)
}

// NextDrain returns when Expire has something to do again.
func (t *Table) NextDrain() (next time.Time, any bool) {
	next, any = t.polls.next()
	if deadline, set := t.deadlines.next(); set && (!any || deadline.Before(next)) {
		return deadline, true
	}
	return next, any
}
