package listen

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A Socket's tries are this far apart.
const (
	firstPause = time.Second
	lastPause  = 30 * time.Second
)

// Socket is one address that is listened on, as soon as it can be had, until Close. Run is one
// goroutine; Close may be called from any, also before Run.
type Socket struct {
	open    Func
	network string
	address string
	failed  func(error)
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc

	mu       sync.Mutex
	listener net.Listener // nil: not open
}

// NewSocket returns a socket that Run opens. It is of the family of the address: the unspecified
// IPv6 address does not stand for IPv4, too. The function failed is told of each failed bind that
// is news, from Run's goroutine; it may call Close.
func NewSocket(open Func, address netip.AddrPort, failed func(error)) *Socket {
	s := &Socket{open: open, network: "tcp6", address: address.String(), failed: failed}
	if address.Addr().Is4() {
		s.network = "tcp4"
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Run hands the open listener to serve and returns after Close, when serve has returned. Whenever
// serve returns earlier, that is a failure, and the address is listened on anew.
func (s *Socket) Run(serve func(net.Listener) error) {
	backoff := Backoff{First: firstPause, Last: lastPause}
	for s.ctx.Err() == nil {
		listener := backoff.Listen(s.ctx, s.open, s.network, s.address, s.failed)
		if listener == nil {
			return
		}
		if s.hold(listener) {
			err := serve(listener)
			if s.ctx.Err() == nil {
				s.failed(err)
			}
		}
		_ = listener.Close() // usually closed before
		wait(s.ctx, firstPause)
	}
}

// hold keeps the listener for Close, and reports whether Close has not been called already.
func (s *Socket) hold(listener net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listener = listener
	return s.ctx.Err() == nil
}

// Close closes the listener. The port is free when it returns, so that who wants it next need not
// wait; only if Run is about to bind at this moment, it is free a moment later. Close does not wait
// for serve.
func (s *Socket) Close() {
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener != nil {
		_ = s.listener.Close()
	}
}

// Done is closed by Close.
func (s *Socket) Done() <-chan struct{} { return s.ctx.Done() }
