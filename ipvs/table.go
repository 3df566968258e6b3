package ipvs

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/fairlead-lb/fairlead/internal/delta"
	"github.com/fairlead-lb/fairlead/internal/fwmark"
)

// Table is the desired and the actual virtual server table, and the drains between them. It is
// not safe for concurrent use: one goroutine owns it and its Kernel.
type Table struct {
	kernel Kernel

	servers delta.Table[Key, VirtualServer]
	reals   map[Key]*delta.Table[netip.AddrPort, RealServer]
	dirty   map[Key]struct{}     // virtual servers with pending work of any kind
	at      map[netip.Addr][]Key // the actual virtual servers of an address

	marks fwmark.Range // tells which virtual servers by mark are for datagrams

	unread []Key // virtual servers whose real servers the current audit has not read yet
	again  []Key // and those that it could not read

	drainTimeout time.Duration         // 0: until the connections end
	timeouts     map[Key]time.Duration // of virtual servers with another drain timeout
	drains       map[realKey]drain

	messages uint64
	writes   uint64
}

// NewTable returns an empty table over kernel. drainTimeout is the longest time that a removed
// real server lingers; 0 means until its connections end.
func NewTable(kernel Kernel, drainTimeout time.Duration) *Table {
	return &Table{
		kernel:       kernel,
		reals:        make(map[Key]*delta.Table[netip.AddrPort, RealServer]),
		dirty:        make(map[Key]struct{}),
		at:           make(map[netip.Addr][]Key),
		drainTimeout: drainTimeout,
		timeouts:     make(map[Key]time.Duration),
		drains:       make(map[realKey]drain),
	}
}

// SetMarks says how firewall marks are numbered.
func (t *Table) SetMarks(marks fwmark.Range) { t.marks = marks }

// Set makes the virtual server, with exactly these real servers, desired. Nothing is written. It
// reports whether clients may have to be told: a real server is gone, or the first one has come.
func (t *Table) Set(k Key, v VirtualServer, reals map[netip.AddrPort]RealServer) (turned bool) {
	t.servers.Set(k, v.drainSafe())
	table := t.realsOf(k)
	before := 0
	for addr := range table.AllDesired() {
		before++
		if _, keep := reals[addr]; !keep {
			table.Unset(addr)
			turned = true
		}
	}
	turned = turned || before == 0 && len(reals) > 0
	for addr, real := range reals {
		table.Set(addr, real)
		t.undrain(k, addr)
	}
	t.touch(k)
	return turned
}

// Reals returns the desired real servers of a virtual server.
func (t *Table) Reals(k Key) iter.Seq2[netip.AddrPort, RealServer] {
	if table := t.reals[k]; table != nil {
		return table.AllDesired()
	}
	return func(func(netip.AddrPort, RealServer) bool) {}
}

// Unset makes the virtual server and all its real servers undesired. Nothing is written.
func (t *Table) Unset(k Key) {
	t.servers.Unset(k)
	table := t.realsOf(k)
	for addr := range table.AllDesired() {
		table.Unset(addr)
	}
	t.touch(k)
}

// Desires reports whether the virtual server is desired.
func (t *Table) Desires(k Key) bool { _, ok := t.servers.Desired(k); return ok }

// Has reports whether the kernel has the virtual server, to the best of the table's knowledge.
func (t *Table) Has(k Key) bool { _, ok := t.servers.Actual(k); return ok }

// Settled reports whether the kernel has the virtual server and its real servers just as desired, or not
// at all.
func (t *Table) Settled(k Key) bool { _, pending := t.dirty[k]; return !pending }

// HasAddr reports whether the kernel has any virtual server of this table at addr.
func (t *Table) HasAddr(addr netip.Addr) bool { return len(t.at[addr]) > 0 }

// Upsert adds and changes what is pending, except the virtual servers that ready refuses: virtual
// servers before their real servers, everything in one batch. What fails stays pending.
func (t *Table) Upsert(ready func(Key) bool) error {
	var ops []Op
	for k := range t.dirty {
		if desired, ok := t.servers.Desired(k); ok && ready(k) {
			ops = t.upsertOps(ops, k, desired)
		}
	}
	return t.apply(ops)
}

func (t *Table) upsertOps(ops []Op, k Key, desired VirtualServer) []Op {
	if actual, there := t.servers.Actual(k); !there {
		ops = append(ops, Op{Verb: AddServer, Key: k, Server: desired})
	} else if actual != desired {
		ops = append(ops, Op{Verb: EditServer, Key: k, Server: desired})
	}
	table := t.realsOf(k)
	for addr, real := range table.Upserts() {
		verb := AddReal
		if _, there := table.Actual(addr); there {
			verb = EditReal
		}
		ops = append(ops, Op{Verb: verb, Key: k, Real: addr, Value: real})
	}
	return ops
}

// apply writes the operations and records what happened. Deleting what is already gone is
// success. Any other disagreement with the kernel satisfies errors.Is with fs.ErrExist or
// fs.ErrNotExist: the caller should Resync.
func (t *Table) apply(ops []Op) error {
	if len(ops) == 0 {
		return nil
	}
	t.messages += uint64(len(ops))
	t.writes += uint64(len(ops))
	var errs []error
	results := t.kernel.Apply(ops)
	for i, op := range ops {
		var err error
		if results != nil {
			err = results[i]
		}
		if op.Verb == AddReal && !t.Has(op.Key) {
			// Its virtual server was refused in this batch, which is the error to tell. Or it is somebody
			// else's, and nobody knows what else is in it. It stays pending.
			continue
		}
		deletion := op.Verb == DeleteServer || op.Verb == DeleteReal
		if err == nil || deletion && errors.Is(err, fs.ErrNotExist) {
			t.done(op)
			continue
		}
		errs = append(errs, fmt.Errorf("ipvsadm %s: %w", op, err))
	}
	return errors.Join(errs...)
}

// done records a write that succeeded.
func (t *Table) done(op Op) {
	switch op.Verb {
	case AddServer, EditServer:
		t.setActual(op.Key, op.Server)
	case DeleteServer:
		t.gone(op.Key)
	case AddReal, EditReal:
		t.realsOf(op.Key).SetActual(op.Real, op.Value)
	case DeleteReal:
		t.realsOf(op.Key).UnsetActual(op.Real)
		t.undrain(op.Key, op.Real)
	}
	t.touch(op.Key)
}

func (t *Table) setActual(k Key, v VirtualServer) {
	if !t.Has(k) {
		addr := k.Addr.Addr()
		t.at[addr] = append(t.at[addr], k)
	}
	t.servers.SetActual(k, v)
	t.touch(k)
}

// gone records that the virtual server is not in the kernel, nor then any of its real servers.
func (t *Table) gone(k Key) {
	if t.Has(k) {
		addr := k.Addr.Addr()
		t.at[addr] = slices.DeleteFunc(t.at[addr], func(other Key) bool { return other == k })
		if len(t.at[addr]) == 0 {
			delete(t.at, addr)
		}
	}
	t.servers.UnsetActual(k)
	table := t.realsOf(k)
	for addr := range table.AllActual() {
		table.UnsetActual(addr)
		t.undrain(k, addr)
	}
	t.touch(k)
}

func (t *Table) realsOf(k Key) *delta.Table[netip.AddrPort, RealServer] {
	table := t.reals[k]
	if table == nil {
		table = new(delta.Table[netip.AddrPort, RealServer])
		t.reals[k] = table
	}
	return table
}

// touch keeps dirty equal to the set of virtual servers with pending work, and forgets those of
// which nothing is left.
func (t *Table) touch(k Key) {
	desired, wanted := t.servers.Desired(k)
	actual, there := t.servers.Actual(k)
	table := t.realsOf(k)
	if !wanted && !there && table.Empty() {
		delete(t.reals, k)
		delete(t.timeouts, k)
	}
	if wanted != there || desired != actual || table.Pending() > 0 {
		t.dirty[k] = struct{}{}
	} else {
		t.dirty = without(t.dirty, k)
	}
}

// Messages is the number of netlink messages, reads included, that this table has caused.
func (t *Table) Messages() uint64 { return t.messages }

// Writes is the number of those messages that write.
func (t *Table) Writes() uint64 { return t.writes }

// Pending is the number of virtual servers with work to do, drains included.
func (t *Table) Pending() int { return len(t.dirty) }
