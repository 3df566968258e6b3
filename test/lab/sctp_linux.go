package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Package net knows no SCTP, but it takes any stream socket for one of TCP: a one-to-one SCTP socket, made by hand and
// handed over as a file, is a net.Conn with deadlines, and a net.Listener. Making the first one loads the module sctp.

// ServeSCTP serves the lab's TCP protocol over SCTP. Give it one address, not a wildcard: the handshake would tell the
// client all the others, which no NAT translates.
func (n *Namespace) ServeSCTP(addr, name string) (*Server, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("serve SCTP: %w", err)
	}
	var listener net.Listener
	err = n.Do(func() error {
		return sctpSocket(at.Addr(), func(fd int) error {
			err := errors.Join(unix.Bind(fd, sockaddr(at)), unix.Listen(fd, 16))
			if err != nil {
				return err
			}
			listener, err = listenerOf(fd)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("serve SCTP %s in %s: %w", addr, n.Name, err)
	}
	s := &Server{Name: name, addr: listener.Addr()}
	a := accept(listener, s.talk)
	s.stop = a.Close
	return s, n.own(s)
}

// dialSCTP connects on the calling thread, which is in the right namespace. It binds the source that the route suggests,
// again so that the handshake names one address only. Errors by ICMP have to be asked for: SCTP takes them as hints.
func dialSCTP(ctx context.Context, to netip.AddrPort) (conn net.Conn, err error) {
	source, err := sourceFor(to)
	if err != nil {
		return nil, err
	}
	limit := AskTimeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = max(time.Until(deadline), time.Millisecond)
	}
	err = sctpSocket(to.Addr(), func(fd int) error {
		left := unix.NsecToTimeval(limit.Nanoseconds())
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &left); err != nil {
			return err
		}
		if err := wantErrors(fd, to.Addr()); err != nil {
			return err
		}
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(source, 0))); err != nil {
			return fmt.Errorf("bind %s: %w", source, err)
		}
		err := unix.Connect(fd, sockaddr(to))
		if errors.Is(err, unix.EINPROGRESS) || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ETIMEDOUT) {
			err = os.ErrDeadlineExceeded
		}
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		conn, err = connOf(fd)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("dial sctp %s: %w", to, err)
	}
	return conn, nil
}

// sctpSocket makes a one-to-one socket for use, and closes it afterwards: connOf and listenerOf make copies.
func sctpSocket(family netip.Addr, use func(fd int) error) error {
	domain := unix.AF_INET
	if family.Is6() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if err != nil {
		return fmt.Errorf("SCTP socket: %w", err)
	}
	defer unix.Close(fd)
	return use(fd)
}

func wantErrors(fd int, family netip.Addr) error {
	if family.Is4() {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
}

// sourceFor is the address that the kernel would send from. Connecting a UDP socket sends nothing.
func sourceFor(to netip.AddrPort) (netip.Addr, error) {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone(""), nil //nolint:errcheck // DialUDP makes no other
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func connOf(fd int) (net.Conn, error) {
	file, err := fileOf(fd)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return net.FileConn(file)
}

func listenerOf(fd int) (net.Listener, error) {
	file, err := fileOf(fd)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return net.FileListener(file)
}

func fileOf(fd int) (*os.File, error) {
	copied, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(copied), "sctp"), nil
}
