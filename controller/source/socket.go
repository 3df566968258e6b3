package source

import (
	"context"
	"net"
	"sync"
	"syscall"
	"time"
)

// sockets are the connections to the API server, asked for what has arrived and nobody has read yet. They are
// safe for concurrent use.
type sockets struct {
	mu   sync.Mutex
	open map[*socket]struct{}
}

type socket struct {
	net.Conn
	raw syscall.RawConn
	of  *sockets
}

// dial opens a connection with client-go's own time-out and keep-alive.
func (s *sockets) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	with, ok := conn.(syscall.Conn)
	if !ok {
		return conn, nil
	}
	raw, err := with.SyscallConn()
	if err != nil {
		return conn, nil //nolint:nilerr // it can be used, but not asked
	}
	one := &socket{Conn: conn, raw: raw, of: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[*socket]struct{})
	}
	s.open[one] = struct{}{}
	return one, nil
}

// unread reports whether anything has arrived that is still in the kernel.
func (s *sockets) unread() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := range s.open {
		bytes := 0
		err := one.raw.Control(func(fd uintptr) { bytes = unreadBytes(int(fd)) })
		if err == nil && bytes > 0 {
			return true
		}
	}
	return false
}

// Close implements net.Conn.
func (s *socket) Close() error {
	s.of.mu.Lock()
	delete(s.of.open, s)
	s.of.mu.Unlock()
	return s.Conn.Close()
}
