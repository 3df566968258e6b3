package nlbatch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	maxBytes    = 64 << 10 // well under the default socket send buffer of 208 KiB
	maxRequests = 512
	receiveRoom = 8 << 20 // each error costs the receive buffer about 1 KiB; none may be lost
	answerLimit = 30 * time.Second
	mostRead    = 64 << 10 // at once
	pageRead    = 8 << 10  // the same, of a dump in small pages
)

// Conn is a netlink socket for batches. It belongs to the network namespace that it was opened
// in. It is not safe for concurrent use.
type Conn struct {
	fd   int
	seq  uint32
	recv []byte
	sent uint64

	dumping, interrupted bool // see Begin
}

// Dial opens a socket for a netlink family, such as unix.NETLINK_ROUTE.
func Dial(family int) (*Conn, error) { return open(family, mostRead) }

// DialPages opens a socket on which the pages of a dump, see More, are small: the kernel fills a page as far as the largest
// read so far goes, up to 32 KiB (netlink_dump, net/netlink/af_netlink.c). It is for dumps that go on where they were; some
// go through all again for each page.
func DialPages(family int) (*Conn, error) { return open(family, pageRead) }

func open(family, read int) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, family)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	c := &Conn{fd: fd, recv: make([]byte, read)}
	if err := c.prepare(); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return c, nil
}

func (c *Conn) prepare() error {
	// FORCE needs CAP_NET_ADMIN, as does all that this socket is for; without it the smaller
	// buffer still works for short batches.
	if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveRoom); err != nil {
		if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveRoom); err != nil {
			return fmt.Errorf("size netlink receive buffer: %w", err)
		}
	}
	// An error message repeats the request that it is about unless told not to.
	if err := unix.SetsockoptInt(c.fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1); err != nil {
		return fmt.Errorf("set NETLINK_CAP_ACK: %w", err)
	}
	limit := unix.NsecToTimeval(answerLimit.Nanoseconds())
	if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return fmt.Errorf("limit netlink answer time: %w", err)
	}
	if err := unix.Bind(c.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("bind netlink socket: %w", err)
	}
	return nil
}

// Close closes the socket.
func (c *Conn) Close() error { return unix.Close(c.fd) }

// Sent is the number of requests sent since Dial.
func (c *Conn) Sent() uint64 { return c.sent }

// Do sends every request of the batch. The result is nil when all succeeded; otherwise it has one
// entry for each request, nil where that one succeeded. The entries are syscall.Errno values, or
// ErrUnknown with the transport's error for requests whose fate is not known.
func (c *Conn) Do(b *Batch) []error {
	var errs []error
	fail := func(i int, err error) {
		if errs == nil {
			errs = make([]error, b.Len())
		}
		errs[i] = err
	}
	for i := 0; i < b.Len(); {
		j := b.chunk(i, maxBytes, maxRequests)
		if err := c.exchange(b, i, j, fail, nil); err != nil {
			err = fmt.Errorf("%w: %w", ErrUnknown, err)
			for n := i; n < b.Len(); n++ { // those behind j were not even sent, but that makes little difference
				fail(n, err)
			}
			return errs
		}
		i = j
	}
	return errs
}

// Dump sends the only request of the batch as a dump and calls visit with the payload of each
// message of the answer, behind the netlink header. The payload is valid during the call only. A
// dump that the kernel marks as interrupted is ErrInterrupted: see Whole.
func (c *Conn) Dump(b *Batch, visit func(payload []byte)) error {
	if err := c.Begin(b); err != nil {
		return err
	}
	for {
		if more, err := c.More(visit); !more {
			return err
		}
	}
}

// Begin sends the only request of the batch as a dump, whose answer is read by More, in pages. Until there is no more,
// the connection serves nothing else. What is left of another dump is read before, and forgotten.
func (c *Conn) Begin(b *Batch) error {
	for c.dumping {
		_, _ = c.More(func([]byte) {}) // an error ends it, too
	}
	c.seq++
	c.sent++
	request := b.seal(0, 1, c.seq)
	flags := binary.NativeEndian.Uint16(request[6:])
	binary.NativeEndian.PutUint16(request[6:], flags|unix.NLM_F_DUMP)
	if err := unix.Sendto(c.fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send netlink dump request: %w", err)
	}
	c.dumping, c.interrupted = true, false
	return nil
}

// Dumping reports that there is more.
func (c *Conn) Dumping() bool { return c.dumping }

// More reads the next page of the answer, as Dump does, and reports whether there is more; after an error there is not. The
// kernel prepares a page while the one before is read (netlink_recvmsg, net/netlink/af_netlink.c): a page says what was
// true then.
func (c *Conn) More(visit func(payload []byte)) (more bool, err error) {
	defer func() { c.dumping = more }()
	n, err := c.receive()
	if err != nil {
		return false, err
	}
	done := false
	err = walk(c.recv[:n], func(header, payload []byte) (bool, error) {
		if binary.NativeEndian.Uint32(header[8:]) != c.seq {
			return false, nil
		}
		c.interrupted = c.interrupted || binary.NativeEndian.Uint16(header[6:])&unix.NLM_F_DUMP_INTR != 0
		switch binary.NativeEndian.Uint16(header[4:]) {
		case unix.NLMSG_DONE:
			done = true
			return true, failureOf(payload)
		case unix.NLMSG_ERROR:
			done = true
			return true, errorOf(payload)
		}
		visit(payload)
		return false, nil
	})
	if err == nil && done && c.interrupted {
		err = ErrInterrupted
	}
	return err == nil && !done, err
}

// drain throws away what waits to be read. After an overrun the kernel drops every answer, and says
// so no more, until the buffer is empty.
func (c *Conn) drain() {
	for {
		_, _, err := unix.Recvfrom(c.fd, c.recv, unix.MSG_DONTWAIT)
		if err != nil && !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.ENOBUFS) {
			return
		}
	}
}

func (c *Conn) receive() (int, error) {
	for {
		n, _, err := unix.Recvfrom(c.fd, c.recv, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			c.drain()
			return 0, fmt.Errorf("read netlink answers: %w", err)
		}
		return n, nil
	}
}

// failureOf returns what an NLMSG_DONE says: that the dump failed on its way, and is not all there
// is, or nil. Some dumps end without a word.
func failureOf(payload []byte) error {
	if len(payload) < 4 {
		return nil
	}
	return errorOf(payload)
}

// errorOf returns what an NLMSG_ERROR says: nil for an acknowledgement.
func errorOf(payload []byte) error {
	if len(payload) < 4 {
		return errors.New("netlink error message without an error")
	}
	if errno := -int32(binary.NativeEndian.Uint32(payload)); errno != 0 {
		return syscall.Errno(errno)
	}
	return nil
}

// Ask sends the only request of the batch and calls tell with the payload of what is answered, as Dump does, besides the
// acknowledgement or the error, a syscall.Errno.
func (c *Conn) Ask(b *Batch, tell func(payload []byte)) error {
	var refused error
	err := c.exchange(b, 0, 1, func(_ int, err error) { refused = err }, tell)
	return errors.Join(err, refused)
}

// exchange sends requests i to j-1 and reads until the last one is acknowledged.
func (c *Conn) exchange(b *Batch, i, j int, fail func(int, error), tell func(payload []byte)) error {
	first := c.seq + 1
	c.seq += uint32(j - i)
	last := c.seq
	c.sent += uint64(j - i)
	if err := unix.Sendto(c.fd, b.seal(i, j, first), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("send %d netlink requests: %w", j-i, err)
	}
	for {
		n, err := c.receive()
		if err != nil {
			return err
		}
		done := false
		err = walk(c.recv[:n], func(header, payload []byte) (bool, error) {
			seq := binary.NativeEndian.Uint32(header[8:])
			if seq-first > last-first {
				return false, nil // a late answer to an exchange that was given up
			}
			if binary.NativeEndian.Uint16(header[4:]) != unix.NLMSG_ERROR {
				if tell != nil {
					tell(payload)
				}
				return false, nil
			}
			if err := errorOf(payload); err != nil {
				fail(i+int(seq-first), err)
			}
			done = seq == last
			return done, nil
		})
		if err != nil || done {
			return err
		}
	}
}

// walk visits the messages of one datagram until visit says that it has seen enough.
func walk(data []byte, visit func(header, payload []byte) (enough bool, err error)) error {
	for len(data) >= headerLen {
		size := int(binary.NativeEndian.Uint32(data))
		if size < headerLen || size > len(data) {
			return fmt.Errorf("netlink answer of %d bytes in %d", size, len(data))
		}
		if enough, err := visit(data[:headerLen], data[headerLen:size]); enough || err != nil {
			return err
		}
		data = data[min((size+3)&^3, len(data)):]
	}
	return nil
}
