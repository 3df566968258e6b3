package ipvs

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// Fake is a Kernel in memory. It refuses what the kernel refuses, counts messages, and fails on
// request. Every operation is O(1); Dump is for tests.
type Fake struct {
	servers map[Key]*fakeServer
	pages   nlbatch.Pages[Key, VirtualServer]
	unread  []Key // what MoreRealServers goes on with

	// Page is how many virtual servers MoreServers tells at once; 0 is 64, about as many as the kernel.
	Page int

	// Messages counts writes and reads, one each.
	Messages int
	// Writes keeps every operation that was tried, when Record is set.
	Writes []Op
	Record bool
	// Hidden, if set, tells what MoreServers and MoreRealServers leave out.
	Hidden func(Key) bool
	// Fail, if set, decides about an operation before the table does.
	Fail func(Op) error
}

type fakeServer struct {
	VirtualServer
	reals map[netip.AddrPort]RealStatus
}

var _ Kernel = (*Fake)(nil)

// NewFake returns an empty table.
func NewFake() *Fake { return &Fake{servers: make(map[Key]*fakeServer)} }

// Copy returns a Fake that has what another kernel has, whoever made it. What is written to it is what would be
// written there.
func Copy(from Kernel) (*Fake, error) {
	servers, err := from.Servers()
	if err != nil {
		return nil, fmt.Errorf("read virtual servers: %w", err)
	}
	var shown map[Key]map[netip.AddrPort]RealStatus
	if len(servers) >= manyServers {
		if shown, _, err = from.MoreRealServers(true, math.MaxInt); err != nil {
			return nil, fmt.Errorf("read all real servers: %w", err)
		}
	}
	f := NewFake()
	for k, server := range servers {
		var err error
		reals, known := shown[k]
		if !known {
			reals, err = from.RealServers(k)
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("read real servers of %s: %w", k, err)
		}
		if reals == nil {
			reals = make(map[netip.AddrPort]RealStatus)
		}
		f.servers[k] = &fakeServer{server, reals}
	}
	return f, nil
}

// Apply implements Kernel.
func (f *Fake) Apply(ops []Op) []error {
	var errs []error
	f.Messages += len(ops)
	for i, op := range ops {
		if f.Record {
			f.Writes = append(f.Writes, op)
		}
		err := f.apply(op)
		if err != nil && errs == nil {
			errs = make([]error, len(ops))
		}
		if err != nil {
			errs[i] = err
		}
	}
	return errs
}

func (f *Fake) apply(op Op) error {
	if f.Fail != nil {
		if err := f.Fail(op); err != nil {
			return err
		}
	}
	server, exists := f.servers[op.Key]
	if op.Verb == AddServer {
		if exists {
			return fs.ErrExist
		}
		if err := f.knows(op.Server.Scheduler); err != nil {
			return err
		}
		f.servers[op.Key] = &fakeServer{op.Server, make(map[netip.AddrPort]RealStatus)}
		return nil
	}
	if !exists {
		return fs.ErrNotExist
	}
	switch op.Verb {
	case EditServer:
		if err := f.knows(op.Server.Scheduler); err != nil {
			return err
		}
		server.VirtualServer = op.Server
		return nil
	case DeleteServer:
		delete(f.servers, op.Key)
		return nil
	}
	return server.apply(op)
}

// knows refuses a scheduler that no kernel has.
func (f *Fake) knows(scheduler string) error {
	if !slices.Contains(Schedulers(), scheduler) {
		return fmt.Errorf("%w: %s", ErrNoScheduler, scheduler)
	}
	return nil
}

func (s *fakeServer) apply(op Op) error {
	status, exists := s.reals[op.Real]
	switch {
	case op.Verb == AddReal && exists:
		return fs.ErrExist
	case op.Verb != AddReal && !exists:
		return fs.ErrNotExist
	case op.Verb == AddReal && !ofOneHost(op.Real.Addr()):
		return ErrInvalidReal
	case op.Verb == DeleteReal:
		delete(s.reals, op.Real)
		return nil
	}
	status.RealServer = op.Value
	s.reals[op.Real] = status
	return nil
}

// ofOneHost reports whether an address can be a host's, as far as the kernel knows without addresses of its own.
func ofOneHost(addr netip.Addr) bool {
	if addr.Is6() {
		return !addr.IsMulticast() && !addr.IsUnspecified() && !addr.IsLinkLocalUnicast()
	}
	return !addr.IsUnspecified() && !addr.IsMulticast() && addr != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// ProbeScheduler implements Kernel.
func (f *Fake) ProbeScheduler(scheduler string) error { return f.knows(scheduler) }

// Servers implements Kernel.
func (f *Fake) Servers() (map[Key]VirtualServer, error) {
	f.Messages++
	servers := make(map[Key]VirtualServer, len(f.servers))
	for k, s := range f.servers {
		servers[k] = s.VirtualServer
	}
	return servers, nil
}

// MoreServers implements Kernel, of those that were there at the beginning.
func (f *Fake) MoreServers(fromFirst bool) (page map[Key]VirtualServer, more bool, err error) {
	f.Messages++
	size := cmp.Or(f.Page, 64)
	if fromFirst {
		f.pages.Begin(slices.Collect(maps.Keys(f.servers)), size, f.shown)
	}
	page, more = f.pages.More(size, f.shown)
	return page, more, nil
}

// shown returns a virtual server, if it is there and not hidden.
func (f *Fake) shown(k Key) (v VirtualServer, ok bool) {
	s, there := f.servers[k]
	if !there || f.Hidden != nil && f.Hidden(k) {
		return v, false
	}
	return s.VirtualServer, true
}

// Server implements Kernel.
func (f *Fake) Server(k Key) (v VirtualServer, there bool, err error) {
	f.Messages++
	s, there := f.servers[k]
	if there {
		v = s.VirtualServer
	}
	return v, there, nil
}

// RealServers implements Kernel. Like the kernel it returns nothing, and no error, for a virtual
// server that does not exist.
func (f *Fake) RealServers(k Key) (map[netip.AddrPort]RealStatus, error) {
	f.Messages++
	if s, ok := f.servers[k]; ok {
		return maps.Clone(s.reals), nil
	}
	return nil, nil
}

// MoreRealServers implements Kernel. Unlike the kernel it goes on with what was there at the beginning.
func (f *Fake) MoreRealServers(fromFirst bool, limit int) (map[Key]map[netip.AddrPort]RealStatus, bool, error) {
	f.Messages++
	if fromFirst {
		f.unread = slices.Collect(maps.Keys(f.servers))
	}
	all := make(map[Key]map[netip.AddrPort]RealStatus)
	for len(f.unread) > 0 && len(all) < limit {
		k := f.unread[0]
		f.unread = f.unread[1:]
		if s, there := f.servers[k]; there && (f.Hidden == nil || !f.Hidden(k)) {
			all[k] = maps.Clone(s.reals)
		}
	}
	return all, len(f.unread) > 0, nil
}

// SetConnections makes a real server look busy, or idle again.
func (f *Fake) SetConnections(k Key, real netip.AddrPort, active int) {
	s, ok := f.servers[k]
	if !ok {
		return
	}
	if status, exists := s.reals[real]; exists {
		status.ActiveConnections = active
		s.reals[real] = status
	}
}

// Dump returns the table as `ipvsadm -Sn` would, sorted.
func (f *Fake) Dump() string { return Dump(f) }

// Dump reads a kernel's table and returns it as `ipvsadm -Sn` would, sorted. Errors appear in the
// text: it is meant for people and tests.
func Dump(kernel Kernel) string {
	servers, err := kernel.Servers()
	if err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	var out strings.Builder
	for _, k := range slices.SortedFunc(maps.Keys(servers), Key.Compare) {
		fmt.Fprintln(&out, FormatServer(k, servers[k]))
		reals, err := kernel.RealServers(k)
		if err != nil {
			fmt.Fprintf(&out, "error: %v\n", err)
		}
		for _, addr := range slices.SortedFunc(maps.Keys(reals), netip.AddrPort.Compare) {
			fmt.Fprintln(&out, FormatReal(k, addr, reals[addr].RealServer))
		}
	}
	return out.String()
}
