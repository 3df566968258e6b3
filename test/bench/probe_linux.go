package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/test/bench/dataset"
	"github.com/fairlead-lb/fairlead/test/lab"
)

// A probe sends single packets to VIPs and sees which endpoint each arrives at: the first packet of a connection, a SYN.
// A proxy treats it as that of any connection, and whom it picks is decided with it. Nothing waits for an answer: the far
// node's goes to an address and port that nobody uses, and the caller's kernel resets the connection, so that nothing is
// left of it. A whole connection would cost more than what is measured, and part of that would be a wait for the one who
// accepts it.
//
// A probe is for one goroutine at a time.
type probe struct {
	out  int // a raw socket in the caller's network, which receives nothing
	in   int // a raw socket in the far node's, which receives every TCP packet there, before TCP does
	port uint16
}

// arrivalLimit is how long a SYN may be on its way. It usually has arrived when the call that sent it returns, for all of
// the network is on one machine.
const arrivalLimit = 5 * time.Millisecond

// Probes have source ports of their own, below those that the kernel gives to others. By the time one comes again, its last
// connection, which was reset, is forgotten.
const firstProbePort, lastProbePort = 1024, 32767

func openProbe(caller, far *lab.Namespace) (p *probe, err error) {
	p = &probe{out: -1, in: -1, port: firstProbePort}
	open := func(fd *int, protocol int) func() error {
		return func() (err error) {
			*fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
			return err
		}
	}
	if err := errors.Join(caller.Do(open(&p.out, unix.IPPROTO_RAW)), far.Do(open(&p.in, unix.IPPROTO_TCP))); err != nil {
		return nil, errors.Join(fmt.Errorf("open a raw socket: %w", err), p.close())
	}
	limit := unix.NsecToTimeval(arrivalLimit.Nanoseconds())
	if err := unix.SetsockoptTimeval(p.in, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return nil, errors.Join(fmt.Errorf("limit the time to wait for a packet: %w", err), p.close())
	}
	return p, nil
}

func (p *probe) close() (err error) {
	for _, fd := range []int{p.out, p.in} {
		if fd >= 0 {
			err = errors.Join(err, unix.Close(fd))
		}
	}
	return err
}

// send sends one SYN to a VIP and calls arrived with the address that it, or an earlier one, came to. That it did not come
// to any is no error.
func (p *probe) send(to netip.AddrPort, arrived func(netip.Addr)) error {
	if p.port++; p.port > lastProbePort {
		p.port = firstProbePort
	}
	packet := syn(netip.AddrPortFrom(netip.MustParseAddr(callerAddress), p.port), to)
	// An error is that of an earlier packet, which somebody rejected, or says that there is no way: it did not arrive.
	if unix.Sendto(p.out, packet, 0, &unix.SockaddrInet4{Addr: to.Addr().As4()}) != nil {
		return nil
	}
	for flags, buffer := 0, make([]byte, 128); ; flags = unix.MSG_DONTWAIT {
		n, _, err := unix.Recvfrom(p.in, buffer, flags)
		switch {
		case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
			return nil
		case err != nil:
			return fmt.Errorf("receive packets at the far node: %w", err)
		}
		if addr, ok := synTo(buffer[:n]); ok {
			arrived(addr)
		}
	}
}

const (
	ipHeader  = 20 // bytes, without options
	tcpHeader = 20
	tcpSYN    = 0x02
)

// syn is an IPv4 packet with a SYN in it. The kernel fills in what is missing of its first header (raw(7)).
func syn(from, to netip.AddrPort) []byte {
	source, destination := from.Addr().As4(), to.Addr().As4()
	packet := make([]byte, ipHeader+tcpHeader)
	ip, tcp := packet[:ipHeader], packet[ipHeader:]
	ip[0], ip[8], ip[9] = 4<<4|ipHeader/4, 64, unix.IPPROTO_TCP
	copy(ip[12:], source[:])
	copy(ip[16:], destination[:])
	binary.BigEndian.PutUint16(tcp, from.Port())
	binary.BigEndian.PutUint16(tcp[2:], to.Port())
	tcp[12], tcp[13] = tcpHeader/4<<4, tcpSYN
	binary.BigEndian.PutUint16(tcp[14:], 0xffff) // the window

	sum := uint32(unix.IPPROTO_TCP + tcpHeader) // of the header and of the addresses, RFC 9293, section 3.1
	for i := 12; i < len(packet); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(packet[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(tcp[16:], ^uint16(sum))
	return packet
}

// synTo is where a packet was for, if it is a SYN for an endpoint.
func synTo(packet []byte) (netip.Addr, bool) {
	if len(packet) < ipHeader || len(packet) < int(packet[0]&0xf)*4+tcpHeader {
		return netip.Addr{}, false
	}
	tcp := packet[int(packet[0]&0xf)*4:]
	return netip.AddrFrom4([4]byte(packet[16:20])), tcp[13] == tcpSYN && binary.BigEndian.Uint16(tcp[2:]) == dataset.EndpointPort
}

// reached makes the changes by calling start, and sends to their VIPs until a packet has arrived at each new
// endpoint. It returns when the first one arrived there; zero where none did before ctx ended. Of several changes, the last
// arrival is the one to go by: see reach.
func (s *site) reached(ctx context.Context, changes []change, start func() error) (arrivals []time.Time, err error) {
	p, err := openProbe(s.caller.Namespace, s.far.Namespace)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	probing, stop := context.WithCancel(ctx)
	defer stop()
	var probes sync.WaitGroup
	probes.Go(func() { arrivals, err = p.reach(probing, changes) })
	if startErr := start(); startErr != nil {
		stop()
		probes.Wait()
		return nil, startErr
	}
	probes.Wait()
	return arrivals, err
}

// reach sends to the VIPs of the changes until each new endpoint has been reached, or ctx ends. It looks at one after the
// other, not at all in turn: that would take as much of the processors as a quick subject does, and when the last one has
// been reached is known all the same. It tries twice before it pauses: of two endpoints that take turns, the new one is met
// then, and of many changes that are all there, none waits for the pauses of the others.
func (p *probe) reach(ctx context.Context, changes []change) ([]time.Time, error) {
	index := make(map[netip.Addr]int)
	for i, ch := range changes {
		index[ch.added] = i
	}
	begin, arrivals := time.Now(), make([]time.Time, len(changes))
	arrived := func(addr netip.Addr) {
		if i, ok := index[addr]; ok && arrivals[i].IsZero() {
			arrivals[i] = time.Now()
		}
	}
	for i, ch := range changes {
		for tries := 1; ; tries++ {
			if err := p.send(ch.vip, arrived); err != nil {
				return arrivals, err
			}
			if !arrivals[i].IsZero() {
				break
			}
			if tries%2 == 0 && pause(ctx, begin) != nil {
				return arrivals, nil
			}
		}
	}
	return arrivals, nil
}
