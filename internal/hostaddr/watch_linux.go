package hostaddr

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

const (
	eventRoom = 8 << 20 // of the socket, for bursts; an event costs it about 1 KiB
	settle    = 100 * time.Millisecond
)

// Watch calls changed once when it has begun to listen, so that no change between an earlier List
// and Watch is lost, and at least once after every change of an address or a device other than
// except. It may call more often than List changes. Changes within a tenth of a second are told at
// once, and so are those during a call. Calls come one after another, from the goroutine that
// called Watch, and none after it returned.
//
// Watch returns nil when ctx has ended and the last call with it; an error says that there is no
// listening. It follows the network namespace of the thread that called it.
func Watch(ctx context.Context, except string, changed func()) error {
	s, err := subscribe(except, eventRoom)
	if err != nil {
		return fmt.Errorf("listen for changes of addresses: %w", err)
	}
	return s.follow(ctx, changed)
}

// subscription is a socket that gets the kernel's events, and one to ask questions.
type subscription struct {
	events *os.File // non-blocking, so that reading it can be ended
	conn   *nlbatch.Conn
	filter filter
}

// subscribe listens from now on. What it returns must be followed, which closes it.
func subscribe(except string, room int) (*subscription, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	s := &subscription{events: os.NewFile(uintptr(fd), "netlink"), filter: filter{except: except}}
	// FORCE needs CAP_NET_ADMIN; what does not fit is an overrun, which read copes with.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room); err != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, room)
	}
	const groups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		s.events.Close()
		return nil, fmt.Errorf("bind netlink socket: %w", err)
	}
	if s.conn, err = nlbatch.Dial(unix.NETLINK_ROUTE); err != nil {
		s.events.Close()
		return nil, err
	}
	s.locate()
	return s, nil
}

// locate looks up the number of the device that does not count. Where that fails every event
// counts, until one tells the number.
func (s *subscription) locate() {
	s.filter.index = 0
	err := nlbatch.Whole(func() error {
		return dump(s.conn, getLink, linkHeaderLen, func(payload []byte) {
			if d, ok := decodeDevice(payload); ok && d.name == s.filter.except {
				s.filter.index = d.index
			}
		})
	})
	if err != nil {
		s.filter.index = 0
	}
}

// follow does the work of Watch. Reading has a goroutine of its own, since an event that is not
// read in time is lost.
func (s *subscription) follow(ctx context.Context, changed func()) error {
	dirty := make(chan struct{}, 1)
	mark := func() {
		select {
		case dirty <- struct{}{}:
		default: // it is marked already
		}
	}
	mark()
	ended := make(chan error, 1)
	go func() { ended <- s.read(mark) }()
	stop := context.AfterFunc(ctx, func() { _ = s.events.SetReadDeadline(time.Unix(1, 0)) })
	defer func() {
		stop()
		s.events.Close()
		s.conn.Close()
	}()
	for {
		select {
		case err := <-ended:
			return err
		case <-dirty:
		}
		select {
		case err := <-ended:
			return err
		case <-time.After(settle):
		}
		select {
		case <-dirty: // what was marked since is in this call
		default:
		}
		changed()
	}
}

// read marks until its deadline.
func (s *subscription) read(mark func()) error {
	datagram := make([]byte, 64<<10)
	for {
		n, err := s.events.Read(datagram)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case errors.Is(err, unix.ENOBUFS):
			s.drain(datagram)
			s.locate()
			mark()
		case err != nil:
			return fmt.Errorf("read changes of addresses: %w", err)
		case s.filter.concerns(datagram[:n]):
			mark()
		}
	}
}

// drain throws away what waits to be read. After an overrun the kernel drops further events, and
// says so no more, until the socket is empty: only what happens then is told again.
func (s *subscription) drain(room []byte) {
	raw, err := s.events.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		for {
			_, _, err := unix.Recvfrom(int(fd), room, unix.MSG_DONTWAIT)
			if err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ENOBUFS) {
				return
			}
		}
	})
}
