package dummyif

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/netip"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/delta"
	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// Device is the desired and the actual set of VIPs on the dummy device. It is not safe for
// concurrent use: one goroutine owns it and its Kernel.
type Device struct {
	kernel   Kernel
	way      Way
	source   func(netip.Addr) netip.Addr
	bindings delta.Table[Binding, netip.Addr] // value: the source, as of an Op
	ops      []Op                             // empty; kept from one write to the next, and nil while it is written
	refused  map[Binding]struct{}             // since the last Retry
	first    bool                             // the next page is the first one of a sweep
	owned    func(netip.Addr) bool            // of the sweep
	messages uint64
	writes   uint64
}

// NewDevice returns a device with nothing desired. With route set, VIPs are bound as local routes
// whose preferred source is what the source function returns for the VIP; it may return an invalid
// address.
func NewDevice(kernel Kernel, route bool, source func(vip netip.Addr) netip.Addr) *Device {
	way := ByAddress
	if route {
		way = ByRoute
	}
	return &Device{kernel: kernel, way: way, source: source, refused: make(map[Binding]struct{})}
}

// Expect makes room for so many VIPs where there are none yet.
func (d *Device) Expect(vips int) { d.bindings.Expect(vips) }

// Set makes the VIP desired.
func (d *Device) Set(vip netip.Addr) {
	var source netip.Addr
	if d.way == ByRoute {
		source = d.source(vip)
	}
	delete(d.refused, Binding{vip, d.way})
	d.bindings.Set(Binding{vip, d.way}, source)
}

// Unset makes the VIP undesired.
func (d *Device) Unset(vip netip.Addr) {
	delete(d.refused, Binding{vip, d.way})
	d.bindings.Unset(Binding{vip, d.way})
}

// Desires reports whether the VIP is desired.
func (d *Device) Desires(vip netip.Addr) bool {
	_, desired := d.bindings.Desired(Binding{vip, d.way})
	return desired
}

// Len is the number of bindings that are desired or in the kernel.
func (d *Device) Len() int { return d.bindings.Len() }

// All yields every binding that is desired or, to the best of the device's knowledge, in the kernel.
func (d *Device) All() iter.Seq[Binding] { return d.bindings.All() }

// Bound reports whether a binding is desired and, to the best of the device's knowledge, in the kernel.
func (d *Device) Bound(b Binding) (desired, there bool) {
	_, desired = d.bindings.Desired(b)
	_, there = d.bindings.Actual(b)
	return desired, there
}

// Has reports whether the VIP is bound in any way, to the best of the device's knowledge.
func (d *Device) Has(vip netip.Addr) bool {
	for way := range ways {
		if _, there := d.Bound(Binding{vip, way}); there {
			return true
		}
	}
	return false
}

// Resync makes sure of the device and reads what is bound to it. Bindings that are neither
// desired, nor known from before, nor owned according to the given function stay invisible: they
// are somebody else's. It returns how many bindings were not as believed.
func (d *Device) Resync(owned func(netip.Addr) bool) (drift int, err error) {
	d.messages++
	if _, err := d.kernel.Ensure(); err != nil {
		return 0, fmt.Errorf("ensure the dummy device: %w", err)
	}
	d.messages++
	dump, err := d.kernel.Bindings()
	if err != nil {
		return 0, fmt.Errorf("read bound addresses: %w", err)
	}
	for b := range dump {
		if !d.sees(b, owned) {
			delete(dump, b)
		}
	}
	for b, source := range d.bindings.AllActual() {
		if seen, ok := dump[b]; !ok || seen != source {
			drift++
		}
	}
	d.bindings.ReplaceActual(dump)
	d.Retry()
	return drift, nil
}

// BeginSweep makes sure of the device and begins to read what is bound to it page by page, by NextPage, so that nobody waits
// for all. What is whose is decided as Resync does.
func (d *Device) BeginSweep(owned func(netip.Addr) bool) error {
	d.messages++
	if _, err := d.kernel.Ensure(); err != nil {
		return fmt.Errorf("ensure the dummy device: %w", err)
	}
	d.bindings.Sweep()
	d.first, d.owned = true, owned
	return nil
}

// NextPage reads the next page. It returns how many bindings were not as believed, and whether there is another page. After an
// error the sweep has to begin anew.
func (d *Device) NextPage() (drift int, more bool, err error) {
	d.messages++
	page, more, err := d.kernel.MoreBindings(d.first)
	interrupted := errors.Is(err, nlbatch.ErrInterrupted)
	if err != nil && !interrupted {
		return 0, false, fmt.Errorf("read bound addresses: %w", err)
	}
	d.first = false
	for b, source := range page {
		if d.sees(b, d.owned) && d.bindings.Saw(b, source) {
			drift++
		}
	}
	if more {
		return drift, true, nil
	}
	missed := d.bindings.Missed()
	if interrupted && len(missed) > 0 { // or left out: who reads all at once is not interrupted for long
		rest, err := d.Resync(d.owned)
		return drift + rest, false, err
	}
	for _, b := range missed {
		drift++
		d.bindings.UnsetActual(b)
	}
	return drift, false, nil
}

// sees reports that a binding is not somebody else's.
func (d *Device) sees(b Binding, owned func(netip.Addr) bool) bool {
	wanted, known := d.Bound(b)
	return wanted || known || owned(b.Addr)
}

// Upsert binds what is pending, except the VIPs that ready refuses. What fails stays pending, and is not tried again before it
// is Set or Unset, or Retry or Resync. It is the same with Prune.
func (d *Device) Upsert(ready func(netip.Addr) bool) error { return d.apply(d.Upserts(ready)) }

// Retry has Upsert and Prune try again what failed.
func (d *Device) Retry() { clear(d.refused) }

// Upserts is the first part of an Upsert: it returns what is to be written. Write and Record are the others. Between them
// what is desired may change.
func (d *Device) Upserts(ready func(netip.Addr) bool) []Op {
	ops := d.ops
	d.ops = nil
	for b, source := range d.bindings.Upserts() {
		if _, refused := d.refused[b]; !refused && ready(b.Addr) {
			ops = append(ops, Op{Verb: Bind, Binding: b, Source: source})
		}
	}
	if len(ops) == 0 {
		d.ops = ops
	}
	return ops
}

// Write writes to the kernel. It may be called from another goroutine than everything else, while nothing else uses
// the Kernel.
func (d *Device) Write(ops []Op) []error { return d.kernel.Apply(ops) }

// Prune unbinds what is no longer desired, except the VIPs that are held. Of those it does not ask again about the ones that
// wait, of which there may be very many for minutes, before their Release.
func (d *Device) Prune(held, waits func(netip.Addr) bool) error {
	var ops []Op
	for b := range d.bindings.Prunes() {
		_, refused := d.refused[b]
		switch {
		case refused:
		case d.rebound(b) || !held(b.Addr):
			ops = append(ops, Op{Verb: Unbind, Binding: b})
		case waits(b.Addr):
			d.bindings.Hold(b)
		}
	}
	return d.apply(append(ops, d.restoreRoutes(ops)...))
}

// Release has the next Prune ask again whether the VIP is held.
func (d *Device) Release(vip netip.Addr) {
	for way := range ways {
		d.bindings.Release(Binding{vip, way})
	}
}

// restoreRoutes binds IPv4 routes again behind operations that take them along: the unbinding of the old route of
// the same VIP, should that be gone, and the unbinding of addresses. The kernel takes the
// last IPv4 address of a device for the end of IPv4 there and flushes the device's routes, whoever
// made them (fib_inetaddr_event, net/ipv4/fib_frontend.c). In one send, the gap is microseconds. It
// happens when an operator changes from addresses to routes, or after an upgrade, and then once.
func (d *Device) restoreRoutes(ops []Op) (restore []Op) {
	again := func(b Binding) {
		if desired, there := d.Bound(b); desired && there && b.Way == ByRoute && b.Addr.Is4() {
			source, _ := d.bindings.Actual(b)
			restore = append(restore, Op{Verb: Bind, Binding: b, Source: source})
		}
	}
	flushes := func(op Op) bool { return op.Binding.Way == ByAddress && op.Binding.Addr.Is4() }
	if d.way == ByRoute && slices.ContainsFunc(ops, flushes) {
		for b := range d.bindings.AllActual() {
			again(b)
		}
		return restore
	}
	for _, op := range ops {
		if op.Binding.Way == ByOldRoute {
			again(Binding{op.Binding.Addr, ByRoute})
		}
	}
	return restore
}

// rebound reports that the VIP, which is bound in this way, is bound in the desired one, too, and stays so.
func (d *Device) rebound(b Binding) bool {
	wanted, there := d.Bound(Binding{b.Addr, d.way})
	return wanted && there
}

func (d *Device) apply(ops []Op) error {
	if len(ops) == 0 {
		return nil
	}
	return d.Record(ops, d.Write(ops))
}

// Record takes down what came of operations, and keeps their slice.
func (d *Device) Record(ops []Op, results []error) error {
	d.messages += uint64(len(ops))
	d.writes += uint64(len(ops))
	var errs []error
	for i, op := range ops {
		var err error
		if results != nil {
			err = results[i]
		}
		switch {
		case op.Verb == Bind && err == nil:
			d.bindings.SetActual(op.Binding, op.Source)
		case op.Verb == Unbind && (err == nil || errors.Is(err, fs.ErrNotExist)):
			d.bindings.UnsetActual(op.Binding)
		default:
			errs = append(errs, fmt.Errorf("ip %s: %w", op, err))
			d.refused[op.Binding] = struct{}{}
		}
	}
	d.ops = nlbatch.Kept(ops)
	return errors.Join(errs...)
}

// Messages is the number of netlink messages, reads included, that this device has caused.
func (d *Device) Messages() uint64 { return d.messages }

// Writes is the number of those messages that write.
func (d *Device) Writes() uint64 { return d.writes }

// Pending is the number of bindings with work to do, held ones included.
func (d *Device) Pending() int { return d.bindings.Pending() }
