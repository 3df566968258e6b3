package ipvs

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"time"

	"github.com/fairlead-lb/fairlead/internal/fwmark"
	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// Table is the desired and the actual virtual server table, and the drains between them. It is
// not safe for concurrent use: one goroutine owns it and its Kernel.
type Table struct {
	kernel Kernel

	servers map[Key]*server
	dirty   map[Key]*server      // virtual servers with something to write
	waiting map[Key]*server      // virtual servers of which nothing is to be done but to wait for drains
	at      map[netip.Addr][]Key // the actual virtual servers of an address

	marks fwmark.Range // tells which virtual servers by mark are for datagrams

	unread  map[Key]struct{} // virtual servers whose real servers the current audit has not read yet
	again   []Key            // and those that it could not read
	sooner  []Key            // see ReadFirst
	reading reading
	sweep   sweep
	unseen  map[Key]struct{} // virtual servers whose real servers have never been read: see unseen.go
	awaited map[Key]Reals    // those of them about which there is something to write
	tooMany int              // see tooManyServers

	refused map[Key]struct{} // by Upsert, since the last Retry
	stuck   map[Key]struct{} // the same, by Drain or Prune: neither must keep the other from its work

	drainTimeout time.Duration         // 0: until the connections end
	timeouts     map[Key]time.Duration // of virtual servers with another drain timeout
	drains       map[realKey]drain
	polls        calendar             // when to look at the connections of drains
	deadlines    calendar             // when drains end in any case
	removed      map[realKey]struct{} // real servers that are there, and were desired until they were not
	leads        func(Key) Key        // see SetLeads
	away         map[Key]Key          // where else connections count, of virtual servers by address: see elsewhere.go
	awayAt       map[Key][]Key        // the same, by where

	ops     []Op         // empty; kept from one write to the next, and nil while it is written
	changes []realChange // the same

	realServers int // actual ones
	connections int // of the real servers that the last audit has read so far
	counted     int // of the whole audit before

	lingered map[netip.Addr]struct{} // see Lingered

	drainingElsewhere int // how many drains are of no real server: see elsewhere.go

	forced   uint64 // drains that ended at their deadline
	messages uint64
	writes   uint64
}

// NewTable returns an empty table over kernel. drainTimeout is the longest time that a removed
// real server lingers; 0 means until its connections end.
func NewTable(kernel Kernel, drainTimeout time.Duration) *Table {
	t := &Table{
		kernel:       kernel,
		servers:      make(map[Key]*server),
		dirty:        make(map[Key]*server),
		waiting:      make(map[Key]*server),
		refused:      make(map[Key]struct{}),
		stuck:        make(map[Key]struct{}),
		at:           make(map[netip.Addr][]Key),
		unseen:       make(map[Key]struct{}),
		awaited:      make(map[Key]Reals),
		tooMany:      tooManyServers,
		drainTimeout: drainTimeout,
		timeouts:     make(map[Key]time.Duration),
		drains:       make(map[realKey]drain),
		removed:      make(map[realKey]struct{}),
		leads:        func(Key) Key { return Key{} },
		away:         make(map[Key]Key),
		awayAt:       make(map[Key][]Key),
	}
	t.polls.holds = func(key realKey, at time.Time) bool { return t.drainsOn(key) && t.drains[key].poll.Equal(at) }
	t.deadlines.holds = func(key realKey, at time.Time) bool { return t.drainsOn(key) && t.drains[key].deadline.Equal(at) }
	return t
}

// Expect makes room for so many virtual servers where there are none yet.
func (t *Table) Expect(servers int) {
	if len(t.servers) == 0 {
		t.servers, t.at = make(map[Key]*server, servers), make(map[netip.Addr][]Key, servers)
	}
}

// SetMarks says how firewall marks are numbered.
func (t *Table) SetMarks(marks fwmark.Range) { t.marks = marks }

// Set makes the virtual server, with exactly these real servers, desired. Nothing is written. It
// reports whether clients may have to be told: a real server is gone, or the first one has come.
func (t *Table) Set(k Key, v VirtualServer, reals Reals) (turned bool) {
	t.free(k)
	s := t.server(k)
	wanted, config, before := s.wanted, s.desired, s.wantReals
	s.desired, s.wanted = v.drainSafe(), true
	t.undrainElsewhere(k)
	turned = t.setReals(k, s, reals)
	if wanted && !t.Known(k) && (s.desired != config || !s.wantReals.Equal(before)) {
		t.await(k, before)
	}
	t.touch(k, s)
	return turned
}

// free has the next write try again what failed.
func (t *Table) free(k Key) {
	delete(t.refused, k)
	delete(t.stuck, k)
}

func (t *Table) setReals(k Key, s *server, reals Reals) (turned bool) {
	first := len(s.wantReals) == 0 && len(reals) > 0
	gone, come := s.want(reals)
	for addr := range gone.without(come) {
		turned = true
		if _, there := s.thereReals.Find(addr); there {
			t.removed[realKey{k, addr}] = struct{}{}
		}
	}
	for addr := range come.without(gone) {
		t.undrain(k, addr)
	}
	return turned || first
}

// Reals returns the desired real servers of a virtual server.
func (t *Table) Reals(k Key) Reals {
	if s := t.servers[k]; s != nil {
		return s.wantReals
	}
	return nil
}

// Unset makes the virtual server and all its real servers undesired. Nothing is written.
func (t *Table) Unset(k Key) {
	t.free(k)
	s := t.server(k)
	if s.wanted {
		t.await(k, s.wantReals)
	}
	s.desired, s.wanted = VirtualServer{}, false
	t.setReals(k, s, nil)
	t.touch(k, s)
}

// Desires reports whether the virtual server is desired.
func (t *Table) Desires(k Key) bool { s := t.servers[k]; return s != nil && s.wanted }

// Has reports whether the kernel has the virtual server, to the best of the table's knowledge.
func (t *Table) Has(k Key) bool { s := t.servers[k]; return s != nil && s.there }

// Settled reports whether the kernel has the virtual server and its real servers just as desired, or not
// at all. Of one whose real servers have never been read nobody knows.
func (t *Table) Settled(k Key) bool {
	_, dirty := t.dirty[k]
	_, waits := t.waiting[k]
	return !dirty && !waits && t.Known(k)
}

// HasAddr reports whether the kernel has any virtual server of this table at addr.
func (t *Table) HasAddr(addr netip.Addr) bool { return len(t.at[addr]) > 0 }

// Upsert adds and changes what is pending, except the virtual servers that ready refuses: virtual
// servers before their real servers, everything in one batch, but no other scheduler: see Reschedule. What fails stays
// pending, and is not tried again before its virtual server is Set or Unset, or Retry or a Resync: there may be very many of
// these. It is the same with Drain and Prune.
func (t *Table) Upsert(ready func(Key) bool) error { return t.apply(t.Upserts(ready), t.refused) }

// Retry has Upsert, Drain and Prune try again what failed.
func (t *Table) Retry() {
	clear(t.refused)
	clear(t.stuck)
}

// Upserts is the first part of an Upsert: it returns what is to be written. Write and Record are the others. Between them
// what is desired may change.
func (t *Table) Upserts(ready func(Key) bool) []Op {
	ops := t.ops
	t.ops = nil
	for k, s := range t.dirty {
		if !s.wanted || !s.upserts() { // it drains
			continue
		}
		if _, refused := t.refused[k]; !refused && ready(k) {
			ops = s.upsertOps(ops, k)
		}
	}
	if len(ops) == 0 {
		t.ops = ops
	}
	return ops
}

// Write writes to the kernel. It may be called from another goroutine than everything else, while nothing else uses
// the Kernel.
func (t *Table) Write(ops []Op) []error { return t.kernel.Apply(ops) }

// apply writes the operations, which are in the order of virtual servers and their addresses, and records
// what happened. The virtual servers of those that fail are put into failed.
func (t *Table) apply(ops []Op, failed map[Key]struct{}) error {
	if len(ops) == 0 {
		return nil
	}
	return t.record(ops, t.Write(ops), failed)
}

// Record takes down what came of an Upsert's operations, and keeps their slice. Any disagreement with the kernel satisfies
// errors.Is with fs.ErrExist or fs.ErrNotExist: the caller should Resync. Drain and Prune do the same with theirs, but that
// to delete what is already gone is success.
func (t *Table) Record(ops []Op, results []error) error { return t.record(ops, results, t.refused) }

func (t *Table) record(ops []Op, results []error, failed map[Key]struct{}) error {
	t.messages += uint64(len(ops))
	t.writes += uint64(len(ops))
	var errs []error
	for first := 0; first < len(ops); {
		end := first + 1
		for end < len(ops) && ops[end].Key == ops[first].Key {
			end++
		}
		var mine []error
		if results != nil {
			mine = results[first:end]
		}
		before := len(errs)
		if errs = t.done(ops[first:end], mine, errs); len(errs) > before {
			failed[ops[first].Key] = struct{}{}
		}
		first = end
	}
	t.ops = nlbatch.Kept(ops)
	return errors.Join(errs...)
}

// done records what became of the operations on one virtual server, and adds the errors that somebody
// should know of.
func (t *Table) done(ops []Op, results, errs []error) []error {
	k := ops[0].Key
	s := t.server(k)
	changes := t.changes
	for i, op := range ops {
		var err error
		if results != nil {
			err = results[i]
		}
		deletion := op.Verb == DeleteServer || op.Verb == DeleteReal
		switch {
		case op.Verb == AddReal && !s.there:
			// Its virtual server was refused in this batch, which is the error to tell. Or it is somebody
			// else's, and nobody knows what else is in it. It stays pending.
		case err != nil && (!deletion || !errors.Is(err, fs.ErrNotExist)):
			errs = append(errs, fmt.Errorf("ipvsadm %s: %w", op, err))
		case op.Verb == AddServer || op.Verb == EditServer:
			t.setThere(k, s, op.Server)
		case op.Verb == DeleteServer:
			t.setGone(k, s)
		default:
			changes = append(changes, realChange{Real{op.Real, op.Value}, deletion})
		}
	}
	if len(changes) > 0 {
		t.setActualReals(k, s, s.after(changes))
	}
	t.touch(k, s)
	t.changes = nlbatch.Kept(changes)
	return errs
}

func (t *Table) setActual(k Key, v VirtualServer) {
	s := t.server(k)
	t.setThere(k, s, v)
	t.touch(k, s)
}

// setThere is setActual without touch.
func (t *Table) setThere(k Key, s *server, v VirtualServer) {
	if !s.there {
		addr := k.Addr.Addr()
		t.at[addr] = append(t.at[addr], k)
	}
	s.actual, s.there = v, true
	if s.swept != t.sweep.number {
		s.swept = t.sweep.number
		t.sweep.seen++
	}
}

func (t *Table) setActualReals(k Key, s *server, reals Reals) {
	t.realServers += len(reals) - len(s.thereReals)
	gone, come := s.have(reals)
	if len(t.drains)+len(t.removed) == 0 {
		return
	}
	for addr := range gone.without(come) {
		t.undrain(k, addr)
	}
}

// gone records that the virtual server is not in the kernel, nor then any of its real servers.
func (t *Table) gone(k Key) {
	s := t.server(k)
	t.setGone(k, s)
	t.touch(k, s)
}

// setGone is gone without touch.
func (t *Table) setGone(k Key, s *server) {
	if s.there {
		addr := k.Addr.Addr()
		t.at[addr] = slices.DeleteFunc(t.at[addr], func(other Key) bool { return other == k })
		if len(t.at[addr]) == 0 {
			delete(t.at, addr)
		}
	}
	t.seen(k)
	t.forgetLed(k)
	s.actual, s.there = VirtualServer{}, false
	t.setActualReals(k, s, nil)
}

func (t *Table) server(k Key) *server {
	s := t.servers[k]
	if s == nil {
		s = new(server)
		t.servers[k] = s
	}
	return s
}

// touch keeps dirty and waiting equal to the virtual servers with pending work, and forgets those of
// which nothing is left. Those that have never been read are neither: nothing is written on a guess.
func (t *Table) touch(k Key, s *server) {
	if !s.wanted && !s.there && len(s.thereReals) == 0 {
		delete(t.servers, k)
		delete(t.timeouts, k)
	}
	if !t.Known(k) {
		if s.wanted && s.desired != s.actual {
			t.await(k, nil)
		}
		return
	}
	t.noteLingered(k)
	settled := s.settled()
	waits := !settled && t.waits(k, s)
	if settled {
		s.thereReals = s.wantReals
	}
	t.dirty = put(t.dirty, k, s, !settled && !waits)
	t.waiting = put(t.waiting, k, s, waits)
}

// put has a map hold a virtual server, or not: see without.
func put(m map[Key]*server, k Key, s *server, holds bool) map[Key]*server {
	if !holds {
		return without(m, k)
	}
	m[k] = s
	return m
}

// Size is how much the kernel holds.
type Size struct {
	VirtualServers, RealServers int
	Connections                 int // of any state, as of the last whole audit
}

// Size returns how much the kernel holds, to the best of the table's knowledge.
func (t *Table) Size() Size {
	return Size{VirtualServers: len(t.servers), RealServers: t.realServers, Connections: t.counted}
}

// Messages is the number of netlink messages, reads included, that this table has caused.
func (t *Table) Messages() uint64 { return t.messages }

// Writes is the number of those messages that write.
func (t *Table) Writes() uint64 { return t.writes }

// Pending is the number of virtual servers with work to do, drains included, or with real servers that have never been
// read.
func (t *Table) Pending() int { return len(t.dirty) + len(t.waiting) + len(t.unseen) }
