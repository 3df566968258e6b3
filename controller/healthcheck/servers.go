package healthcheck

import (
	"net/netip"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/internal/listen"
)

// ListenFunc opens a listener, as net.ListenConfig.Listen does.
type ListenFunc = listen.Func

// Servers are the health check servers of all Services, one for each Service and listen address. It
// is safe for concurrent use. No method but Close waits for a network, and none holds the lock while
// it calls the functions given to New.
type Servers struct {
	healthy func() bool
	listen  ListenFunc
	report  func(types.NamespacedName, uint16, error)

	running sync.WaitGroup // every goroutine, those of the open connections included

	mu       sync.Mutex
	closed   bool
	addrs    []netip.Addr
	services map[types.NamespacedName]*service
}

// New returns no servers, which listen on all addresses of both families.
//
// The function healthy says whether the proxy is. The function report is told of each failed bind:
// of the first one, and of those that fail otherwise than before. Both are called from any goroutine.
// A report that is under way may come just after Unset.
func New(healthy func() bool, open ListenFunc, report func(name types.NamespacedName, port uint16, err error)) *Servers {
	if open == nil {
		open = listen.TCP
	}
	return &Servers{
		healthy: healthy, listen: open, report: report,
		addrs:    everywhere(),
		services: make(map[types.NamespacedName]*service),
	}
}

// everywhere is the unspecified address of each family.
func everywhere() []netip.Addr { return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} }

// Set has a Service's health answered on a port, with this number of local endpoints. On the port
// that it has already, only the number changes, and no connection is cut.
func (s *Servers) Set(name types.NamespacedName, port uint16, localEndpoints int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	v := s.services[name]
	if v == nil || v.port != port {
		v.close()
		v = newService(s, name, port)
		s.services[name] = v
	}
	v.localEndpoints.Store(int64(localEndpoints))
	v.listenOn(s.addrs) // at last, so that the first answer is right
}

// Unset ends a Service's servers. Their ports are free when it returns.
func (s *Servers) Unset(name types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.services[name].close()
	delete(s.services, name)
}

// Addresses says on which of the node's addresses to listen; the unspecified address of a family
// stands for all of that family. Nil means all of both, an empty list none. Servers on addresses
// that stay are left alone.
func (s *Servers) Addresses(addrs []netip.Addr) {
	if addrs == nil {
		addrs = everywhere()
	}
	addrs = slices.Clone(addrs)
	for i, addr := range addrs {
		addrs[i] = addr.Unmap()
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	addrs = slices.Compact(addrs)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || slices.Equal(addrs, s.addrs) {
		return
	}
	s.addrs = addrs
	for _, v := range s.services {
		v.listenOn(addrs)
	}
}

// Close ends all servers and waits for all goroutines. Nothing can be set afterwards.
func (s *Servers) Close() {
	s.mu.Lock()
	s.closed = true
	for name, v := range s.services {
		v.close()
		delete(s.services, name)
	}
	s.mu.Unlock()
	s.running.Wait()
}
