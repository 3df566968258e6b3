// Package relay carries TCP connections to loopback addresses of the node on to other addresses, in
// user space.
//
// Kernel IPVS refuses packets to 127.0.0.0/8, so what only IPVS serves cannot be had from localhost.
// It is a convenience for tools on the node, not a data path: each connection costs two goroutines
// and, on Linux, where Go copies by splice(2), two sockets and two pipes, thus six file descriptors.
// Who is called sees the node's address as the caller's.
package relay

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/fairlead-lb/fairlead/internal/listen"
)

// MaxConnections is how many connections one Relay carries at a time. When there are as many, each
// listener accepts one more and lets it wait for another to end; the next ones wait in the kernel's
// backlog, and when that is full, the kernel ignores them until they try again.
const MaxConnections = 1024

// Relay is a set of listeners with their targets. It is safe for concurrent use. No method but
// Close waits for a network, and none holds a lock while it calls the function given to New.
type Relay struct {
	open   listen.Func
	report func(netip.AddrPort, error)
	slots  chan struct{}   // holds a value for each connection that is carried
	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	running sync.WaitGroup // every goroutine

	mu        sync.Mutex
	listeners map[netip.AddrPort]*listener
}

// New returns a relay without listeners. The function report is told of each failed bind, of the
// first one and of those that fail otherwise than before, from any goroutine; the bind is tried
// again, after a second and then ever less often up to half a minute. A report that is under way
// may come just after Unset.
func New(report func(listen netip.AddrPort, err error)) *Relay {
	return newRelay(report, MaxConnections)
}

func newRelay(report func(netip.AddrPort, error), limit int) *Relay {
	r := &Relay{
		open: listen.TCP, report: report,
		slots:     make(chan struct{}, limit),
		listeners: make(map[netip.AddrPort]*listener),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Set makes connections to a loopback address go to these targets, in turn; with sticky set, always
// to the same one while it is among the targets, whoever calls. Without targets, connections are
// accepted and reset. Connections that are open already stay where they are.
//
// It panics if the address is not a loopback address: on any other, the relay would be a hole in
// the node.
func (r *Relay) Set(listen netip.AddrPort, targets []netip.AddrPort, sticky bool) {
	listen = unmap(listen)
	if !listen.Addr().IsLoopback() {
		panic(fmt.Sprintf("relay: %s is not a loopback address", listen))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return
	}
	l, open := r.listeners[listen]
	if !open {
		l = newListener(r, listen)
		r.listeners[listen] = l
	}
	l.set(slices.Clone(targets), sticky)
	if !open {
		r.running.Go(func() { l.socket.Run(l.accept) })
	}
}

// Unset closes a listener. Its port is free when Unset returns. Connections that were accepted go
// on until they end, or until Close.
func (r *Relay) Unset(listen netip.AddrPort) {
	listen = unmap(listen)
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.listeners[listen]; l != nil {
		l.socket.Close()
		delete(r.listeners, listen)
	}
}

// Close closes all listeners, resets all connections and waits for all goroutines. Nothing can be
// set afterwards.
func (r *Relay) Close() {
	r.mu.Lock()
	r.cancel()
	for addr, l := range r.listeners {
		l.socket.Close()
		delete(r.listeners, addr)
	}
	r.mu.Unlock()
	r.running.Wait()
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
