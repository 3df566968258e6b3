package ipvs

import (
	"net/netip"
	"sync"
)

// Shared is a Fake that a test may touch and look at while a controller, on another goroutine, uses it.
type Shared struct {
	mu   sync.Mutex
	fake *Fake
}

var _ Kernel = (*Shared)(nil)

// NewShared returns an empty table.
func NewShared() *Shared { return &Shared{fake: NewFake()} }

// Touch does something to the Fake, or looks at it.
func (s *Shared) Touch(what func(*Fake)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what(s.fake)
}

// Apply implements Kernel.
func (s *Shared) Apply(ops []Op) []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fake.Apply(ops)
}

// Servers implements Kernel.
func (s *Shared) Servers() (map[Key]VirtualServer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fake.Servers()
}

// MoreServers implements Kernel.
func (s *Shared) MoreServers(fromFirst bool) (map[Key]VirtualServer, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fake.MoreServers(fromFirst)
}

// Server implements Kernel.
func (s *Shared) Server(k Key) (VirtualServer, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fake.Server(k)
}

// RealServers implements Kernel.
func (s *Shared) RealServers(k Key) (map[netip.AddrPort]RealStatus, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fake.RealServers(k)
}

// MoreRealServers implements Kernel.
func (s *Shared) MoreRealServers(fromFirst bool, limit int) (map[Key]map[netip.AddrPort]RealStatus, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fake.MoreRealServers(fromFirst, limit)
}

// ProbeScheduler implements Kernel.
func (s *Shared) ProbeScheduler(scheduler string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fake.ProbeScheduler(scheduler)
}

// Dump returns the table as `ipvsadm -Sn` would, sorted.
func (s *Shared) Dump() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fake.Dump()
}
