package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/test/bench/dataset"
	"github.com/fairlead-lb/fairlead/test/lab"
)

// backend accepts connections at every endpoint's address. Its listener is closed with the namespace's devices and
// processes, at the latest by close.
type backend struct {
	listener net.Listener
}

func listen(n *lab.Namespace) (*backend, error) {
	listener, err := n.ListenTCP(fmt.Sprintf("0.0.0.0:%d", dataset.EndpointPort))
	if err != nil {
		return nil, err
	}
	b := &backend{listener: listener}
	go b.accept()
	return b, nil
}

func (b *backend) close() { _ = b.listener.Close() } // fails only if it is closed

func (b *backend) accept() {
	for {
		conn, err := b.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			// The client ends the connection: if we did, it might see the end before it sees the beginning.
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}()
	}
}

// connect opens a TCP connection and resets it. It is a few system calls on the calling thread and nothing else, so
// that little of what is measured is our own. A reset leaves no TIME_WAIT behind, of which many connections would
// die.
func connect(to netip.AddrPort, limit time.Duration) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	defer unix.Close(fd)
	timeout := unix.NsecToTimeval(limit.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout); err != nil {
		return fmt.Errorf("limit the time of a connection: %w", err)
	}
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return fmt.Errorf("have a connection reset: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}); err != nil {
		return fmt.Errorf("connect to %s: %w", to, err)
	}
	return nil
}

// try connects like connect, but returns at once when the network says that there is nobody. A blocking connect waits for
// its limit all the same: where both ends are on one machine the ICMP error comes while the socket is still in the hands of
// the system call that sent the SYN, and is only noted (tcp_v4_err, net/ipv4/tcp_ipv4.c). IP_RECVERR brings it here.
func try(to netip.AddrPort, limit time.Duration) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_RECVERR, 1); err != nil {
		return fmt.Errorf("ask for errors: %w", err)
	}
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return fmt.Errorf("have a connection reset: %w", err)
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())})
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return fmt.Errorf("connect to %s: %w", to, err)
	}
	events := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	switch n, err := unix.Poll(events, int(limit.Milliseconds())); {
	case err != nil && !errors.Is(err, unix.EINTR):
		return fmt.Errorf("wait for a connection to %s: %w", to, err)
	case n <= 0 || events[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0:
		return fmt.Errorf("connect to %s: nobody answers", to)
	}
	return nil
}
