package lab

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Where tcp_repair_queue looks (include/uapi/linux/tcp.h), which x/sys does not name.
const (
	repairReceive = 1
	repairSend    = 2
	repairOff     = -1 // without a window probe
)

// astray is how far beyond its place a stray segment is, in bytes: further than any window of the lab reaches. Since 6.1 the
// kernel lets pass what is behind (nf_conntrack_proto_tcp.c, NFCT_TCP_IGNORE), so it is ahead.
const astray = 1 << 20

// ServeStray is ServeTCP of a server whose network is bad: before each line that comes back, a segment arrives that is
// outside the window. Connection tracking calls it invalid, and translates nothing. A client that gets it as one of its
// connection answers with an acknowledgment; a host that gets it from an address that it never spoke to, with a reset, which
// ends the connection (kubernetes/kubernetes#74839).
func (n *Namespace) ServeStray(addr, name string) (*Server, error) {
	listener, err := n.ListenTCP(addr)
	if err != nil {
		return nil, err
	}
	s := &Server{Name: name, addr: listener.Addr()}
	a := accept(listener, func(conn net.Conn) { s.talkStray(n, conn) })
	s.stop = a.Close
	return s, n.own(s)
}

func (s *Server) talkStray(n *Namespace, conn net.Conn) {
	s.count.Add(1)
	if _, err := conn.Write([]byte(s.line(conn.RemoteAddr(), conn.LocalAddr()))); err != nil {
		return
	}
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		if err := stray(n, conn.(*net.TCPConn)); err != nil { //nolint:errcheck // a TCP listener makes no other
			line = fmt.Appendf(nil, "no stray segment: %v\n", err)
		}
		if _, err := conn.Write(line); err != nil {
			return
		}
	}
}

// stray sends a segment of a connection that the peer cannot expect yet.
func stray(n *Namespace, conn *net.TCPConn) error {
	sequence, acknowledge, err := numbers(conn)
	if err != nil {
		return err
	}
	local, remote := addrPortOf(conn.LocalAddr()), addrPortOf(conn.RemoteAddr())
	s := segment(local, remote, sequence+astray, acknowledge)
	return n.Do(func() error { return sendSegment(local.Addr(), remote.Addr(), s) })
}

func addrPortOf(a net.Addr) netip.AddrPort {
	addr := a.(*net.TCPAddr).AddrPort() //nolint:errcheck // a TCP connection has no other
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
}

// numbers are the next sequence number and the next one expected. The kernel tells them to who repairs a connection.
func numbers(conn *net.TCPConn) (sequence, acknowledge uint32, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	control := raw.Control(func(fd uintptr) { sequence, acknowledge, err = repairNumbers(int(fd)) })
	if control != nil {
		return 0, 0, control
	}
	return sequence, acknowledge, err
}

func repairNumbers(fd int) (sequence, acknowledge uint32, err error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_REPAIR, 1); err != nil {
		return 0, 0, fmt.Errorf("TCP_REPAIR: %w", err)
	}
	defer unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_REPAIR, repairOff) //nolint:errcheck // it was let in
	for queue, number := range map[int]*uint32{repairSend: &sequence, repairReceive: &acknowledge} {
		if err := unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_REPAIR_QUEUE, queue); err != nil {
			return 0, 0, fmt.Errorf("TCP_REPAIR_QUEUE: %w", err)
		}
		value, err := unix.GetsockoptInt(fd, unix.SOL_TCP, unix.TCP_QUEUE_SEQ)
		if err != nil {
			return 0, 0, fmt.Errorf("TCP_QUEUE_SEQ: %w", err)
		}
		*number = uint32(value) //nolint:gosec // a sequence number is 32 bits, whatever its sign
	}
	return sequence, acknowledge, nil
}

// segment is a TCP header, and one byte: an acknowledgment alone would not be answered.
func segment(from, to netip.AddrPort, sequence, acknowledge uint32) []byte {
	const header = 20
	s := make([]byte, header, header+1)
	binary.BigEndian.PutUint16(s, from.Port())
	binary.BigEndian.PutUint16(s[2:], to.Port())
	binary.BigEndian.PutUint32(s[4:], sequence)
	binary.BigEndian.PutUint32(s[8:], acknowledge)
	s[12] = header / 4 << 4
	s[13] = 1<<4 | 1<<3                       // ACK, PSH
	binary.BigEndian.PutUint16(s[14:], 65535) // window
	s = append(s, '!')
	binary.BigEndian.PutUint16(s[16:], checksum(from.Addr(), to.Addr(), s))
	return s
}

// checksum is that of RFC 9293, section 3.1, with the pseudo header of either family.
func checksum(from, to netip.Addr, segment []byte) uint16 {
	pseudo := append(from.AsSlice(), to.AsSlice()...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(segment))) //nolint:gosec // 21
	pseudo = binary.BigEndian.AppendUint32(pseudo, unix.IPPROTO_TCP)
	all := append(pseudo, segment...)
	if len(all)%2 == 1 {
		all = append(all, 0)
	}
	var sum uint32
	for ; len(all) > 0; all = all[2:] {
		sum += uint32(binary.BigEndian.Uint16(all))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum) //nolint:gosec // it fits by now
}

// sendSegment sends it from the calling thread's namespace. The kernel writes the IP header.
func sendSegment(from, to netip.Addr, segment []byte) error {
	domain := unix.AF_INET
	if from.Is6() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return fmt.Errorf("raw socket: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(from, 0))); err != nil {
		return fmt.Errorf("raw socket from %s: %w", from, err)
	}
	if err := unix.Sendto(fd, segment, 0, sockaddr(netip.AddrPortFrom(to, 0))); err != nil {
		return fmt.Errorf("raw socket: send to %s: %w", to, err)
	}
	return nil
}
