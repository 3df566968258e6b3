package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// DialContext connects from inside the namespace; networks are "tcp", "udp" and "sctp". Only literal addresses are
// allowed: a name would be looked up by other goroutines, outside. With a literal, package net makes the socket on the
// calling thread.
func (n *Namespace) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	if network == "udp" {
		return n.dial(ctx, network, addr, &net.UDPAddr{Port: n.freshPort()})
	}
	return n.dial(ctx, network, addr, nil)
}

// dial connects from a local address and port, or from what the kernel chooses.
func (n *Namespace) dial(ctx context.Context, network, addr string, from net.Addr) (conn net.Conn, err error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial from %s: %w", n.Name, err)
	}
	dialer := net.Dialer{FallbackDelay: -1, LocalAddr: from}
	dialer.SetMultipathTCP(false)
	if _, tcp := from.(*net.TCPAddr); tcp {
		dialer.Control = sharePort
	}
	err = n.Do(func() error {
		if network == "sctp" {
			conn, err = dialSCTP(ctx, to)
		} else {
			conn, err = dialer.DialContext(ctx, network, addr)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("from %s: %w", n.Name, err)
	}
	return conn, nil
}

// sharePort lets several connections have one local port, as long as they lead to different places.
func sharePort(_, _ string, raw syscall.RawConn) (err error) {
	controlErr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
	return errors.Join(err, controlErr)
}

// The local ports of UDP sockets and held connections, below those that the kernel gives out.
const firstPort, lastPort = 10_000, 30_000

// freshPort returns a local port that this namespace has not used yet. IPVS and conntrack remember a UDP client by its
// port for minutes: a port that the kernel happens to give out twice is no new client, and would be sent to the same
// endpoint again. And IPVS finds an answer's connection by endpoint and client alone: a connection that lasts must not
// share its port with another one, to another frontend of the same endpoint, or it stands still.
func (n *Namespace) freshPort() int {
	return firstPort + int(n.ports.Add(1)-1)%(lastPort-firstPort)
}

// ListenTCP listens inside the namespace. Multipath TCP, Go's default for listeners, is off: the lab measures plain TCP.
func (n *Namespace) ListenTCP(addr string) (listener net.Listener, err error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	err = n.listen(addr, func(network string) error {
		listener, err = config.Listen(context.Background(), "tcp"+network, addr)
		return err
	})
	return listener, err
}

// ListenUDP opens an unconnected UDP socket inside the namespace.
func (n *Namespace) ListenUDP(addr string) (conn net.PacketConn, err error) {
	var config net.ListenConfig
	err = n.listen(addr, func(network string) error {
		conn, err = config.ListenPacket(context.Background(), "udp"+network, addr)
		return err
	})
	return conn, err
}

// listen calls open inside the namespace with the suffix of the address's family: 0.0.0.0 must not mean IPv6 as well.
func (n *Namespace) listen(addr string, open func(suffix string) error) error {
	parsed, err := netip.ParseAddrPort(addr)
	if err != nil {
		return fmt.Errorf("listen in %s: %w", n.Name, err)
	}
	suffix := "4"
	if parsed.Addr().Is6() {
		suffix = "6"
	}
	if err := n.Do(func() error { return open(suffix) }); err != nil {
		return fmt.Errorf("in %s: %w", n.Name, err)
	}
	return nil
}
