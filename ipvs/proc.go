package ipvs

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// The text of /proc/net/ip_vs (ip_vs_info_seq_show, net/netfilter/ipvs/ip_vs_ctl.c) is the only place where
// the kernel tells the real servers of many virtual servers at once; netlink tells them for one at a time.
// What it does not tell of a virtual server, its flags, netlink has in one dump.
//
// What it shows of a virtual server is complete, as each is written as a whole. But it may leave some out:
// a read returns a page, and the next one goes on by the number of virtual servers, which is counted over
// all network namespaces and found again in this one alone (ip_vs_info_seq_next, ip_vs_info_array); and one
// that comes or goes between two reads moves the others. And a virtual server by mark is shown without its
// family, which its real servers tell if it has any.

// procBuffer is more than the kernel gives in one read, a page, unless one virtual server takes more.
const procBuffer = 64 << 10

// moreOfProc reads on until it has so many virtual servers, or all. It stops where a read was not full: then
// no virtual server is cut, and nothing is kept for later that may not be true then.
func moreOfProc(in io.Reader, limit int) (all map[Key]map[netip.AddrPort]RealStatus, more bool, err error) {
	found := make(reals)
	buffer := make([]byte, procBuffer)
	var text []byte
	for {
		n, err := in.Read(buffer)
		text = append(text, buffer[:n]...)
		if err != nil && err != io.EOF {
			return nil, false, err
		}
		if n == len(buffer) {
			continue
		}
		if err := found.read(text); err != nil {
			return nil, false, err
		}
		if text = text[:0]; n == 0 || len(found) >= limit {
			return found, n > 0, nil
		}
	}
}

// read adds what a text tells, which begins with a virtual server or the heading.
func (all reals) read(text []byte) error {
	var key Key
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) < 2:
		case fields[0] == "->":
			if err := all.add(key, fields); err != nil {
				return fmt.Errorf("%w in %q", err, line)
			}
		default:
			var err error
			if key, err = procKey(fields[0], fields[1]); err != nil {
				return fmt.Errorf("%w in %q", err, line)
			}
			if key.Protocol != 0 {
				all[key] = make(map[netip.AddrPort]RealStatus) // shown again, it is as the later line says
			}
		}
	}
	return nil
}

// reals is the real servers of every virtual server that was shown.
type reals map[Key]map[netip.AddrPort]RealStatus

// server returns the real servers of a virtual server, to add to.
func (all reals) server(k Key) map[netip.AddrPort]RealStatus {
	if all[k] == nil {
		all[k] = make(map[netip.AddrPort]RealStatus)
	}
	return all[k]
}

// procKey reads the first two words of a virtual server's line. Those of the heading make no key.
func procKey(protocol, text string) (Key, error) {
	var number Protocol
	switch protocol {
	case "TCP":
		number = TCP
	case "UDP":
		number = UDP
	case "SCTP":
		number = SCTP
	case "FWM":
		mark, err := strconv.ParseUint(text, 16, 32)
		return MarkKey(uint32(mark), false), err
	default:
		return Key{}, nil
	}
	addr, err := procAddr(text)
	return Key{Addr: addr, Protocol: number}, err
}

// add reads a real server's line: -> address forwarding weight active inactive.
func (all reals) add(key Key, fields []string) error {
	if key == (Key{}) {
		return nil // of the heading
	}
	if len(fields) < 6 {
		return io.ErrUnexpectedEOF
	}
	addr, err := procAddr(fields[1])
	if err != nil {
		return err
	}
	var numbers [3]int
	for i := range numbers {
		if numbers[i], err = strconv.Atoi(fields[3+i]); err != nil {
			return err
		}
	}
	if key.Mark != 0 {
		key = MarkKey(key.Mark, addr.Addr().Is6())
	}
	all.server(key)[addr] = RealStatus{
		RealServer:        RealServer{Weight: uint16(numbers[0]), Foreign: fields[2] != "Masq"},
		ActiveConnections: numbers[1], InactiveConnections: numbers[2],
	}
	return nil
}

// procAddr reads 0A60000A:0050 or [fd00:0010:0096:0000:0000:0000:0000:000a]:0050.
func procAddr(text string) (netip.AddrPort, error) {
	at := strings.LastIndexByte(text, ':')
	if at < 0 {
		return netip.AddrPort{}, fmt.Errorf("no port")
	}
	port, err := strconv.ParseUint(text[at+1:], 16, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	if inner, ok := strings.CutPrefix(text[:at], "["); ok {
		addr, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		return netip.AddrPortFrom(addr, uint16(port)), err
	}
	bytes, err := hex.DecodeString(text[:at])
	if err != nil || len(bytes) != 4 {
		return netip.AddrPort{}, fmt.Errorf("no address")
	}
	var four [4]byte
	binary.BigEndian.PutUint32(four[:], binary.BigEndian.Uint32(bytes))
	return netip.AddrPortFrom(netip.AddrFrom4(four), uint16(port)), nil
}
