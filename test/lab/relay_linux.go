package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
)

// RelayServer forwards TCP connections out of a namespace.
type RelayServer struct{ acceptor *acceptor }

// Relay listens inside the namespace and forwards each TCP connection to a target that is dialed from the machine's own
// network. A daemon in a node's namespace reaches an API server that way. It ends with Close, with its namespace, and
// makes no new connections once ctx has ended.
func Relay(ctx context.Context, n *Namespace, listenAddr, target string) (*RelayServer, error) {
	listener, err := n.ListenTCP(listenAddr)
	if err != nil {
		return nil, fmt.Errorf("relay to %s: %w", target, err)
	}
	r := &RelayServer{acceptor: accept(listener, func(conn net.Conn) { forward(ctx, conn, target) })}
	return r, n.own(r)
}

// Addr is where the relay listens inside the namespace.
func (r *RelayServer) Addr() string { return r.acceptor.listener.Addr().String() }

// Close ends the relay and the connections through it.
func (r *RelayServer) Close() error { return r.acceptor.Close() }

// forward runs on a goroutine of its own, whose thread never left the machine's namespace: an ordinary dial is outside.
// It returns when both directions have ended; a closed inner connection ends both.
func forward(ctx context.Context, inner net.Conn, target string) {
	var dialer net.Dialer
	outer, err := dialer.DialContext(ctx, "tcp", target)
	if err != nil {
		return // the caller of the relay sees its connection end
	}
	defer outer.Close()
	var wg sync.WaitGroup
	wg.Go(func() { pipe(outer, inner) })
	wg.Go(func() { pipe(inner, outer) })
	wg.Wait()
}

// pipe copies one direction. An orderly end is passed on as a half close, so that the other direction may finish; an error
// ends both.
func pipe(dst, src net.Conn) {
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		src.Close()
		return
	}
	if half, ok := dst.(interface{ CloseWrite() error }); ok {
		half.CloseWrite() //nolint:errcheck // the peer may be gone already
	}
}
