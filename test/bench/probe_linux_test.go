package main

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/test/bench/dataset"
	"github.com/fairlead-lb/fairlead/test/lab"
)

func TestSYN(t *testing.T) {
	endpoint := netip.AddrPortFrom(netip.MustParseAddr("10.129.200.255"), dataset.EndpointPort)
	for _, port := range []uint16{firstProbePort, lastProbePort} {
		packet := syn(netip.AddrPortFrom(netip.MustParseAddr(callerAddress), port), endpoint)
		if addr, ok := synTo(packet); !ok || addr != endpoint.Addr() {
			t.Errorf("a SYN for %s is taken for one for %s, %v", endpoint, addr, ok)
		}
		// RFC 1071: the sum over everything, the checksum included, has all bits set.
		sum := uint32(6 + tcpHeader)
		for i := 12; i < len(packet); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(packet[i:]))
		}
		if sum = sum>>16 + sum&0xffff; sum != 0xffff {
			t.Errorf("port %d: the checksum is wrong: %#x", port, sum)
		}
	}
}

func TestSYNTo(t *testing.T) {
	good := syn(netip.MustParseAddrPort("10.128.0.9:2000"), netip.AddrPortFrom(dataset.Endpoints(0)[0], dataset.EndpointPort))
	for name, spoil := range map[string]func([]byte) []byte{
		"nothing":        func([]byte) []byte { return nil },
		"half a packet":  func(p []byte) []byte { return p[:30] },
		"a reset":        func(p []byte) []byte { p[33] = 0x04; return p },
		"another port":   func(p []byte) []byte { p[23]++; return p },
		"too many words": func(p []byte) []byte { p[0] |= 0xf; return p },
	} {
		if addr, ok := synTo(spoil(append([]byte(nil), good...))); ok {
			t.Errorf("%s is taken for a SYN for %s", name, addr)
		}
	}
}

// TestProbe sends a SYN through a real network. The far node says where it came, and answers it: the checksum is right. The
// caller resets what has been answered, so that nothing is left.
func TestProbe(t *testing.T) {
	l := lab.New(t)
	near, err := l.AddNode(dataset.Near, dataset.NearCIDR)
	check(t, err)
	far, err := l.AddNode(dataset.Far, dataset.FarCIDR)
	check(t, err)
	caller, err := near.AddPod("caller", callerAddress)
	check(t, err)
	_, err = far.Run(t.Context(), "ip", "route", "add", "local", dataset.FarCIDR, "dev", "lo")
	check(t, err)
	backend, err := listen(far.Namespace)
	check(t, err)
	defer backend.close()

	p, err := openProbe(caller.Namespace, far.Namespace)
	check(t, err)
	var got, want []netip.Addr
	for i := range 3 {
		to := dataset.Endpoints(i)[1]
		want = append(want, to)
		check(t, p.send(netip.AddrPortFrom(to, dataset.EndpointPort), func(at netip.Addr) { got = append(got, at) }))
	}
	check(t, p.close())
	if !slices.Equal(got, want) {
		t.Errorf("SYNs for %v arrived at %v", want, got)
	}
	if left, err := far.Run(t.Context(), "ss", "-Htn", "state", "syn-recv"); err != nil || strings.TrimSpace(left) != "" {
		t.Errorf("left at the far node: %q, %v", left, err)
	}
	counters, err := caller.Run(t.Context(), "nstat", "-az", "TcpOutRsts")
	check(t, err)
	if !strings.Contains(strings.Join(strings.Fields(counters), " "), "TcpOutRsts 3 ") {
		t.Errorf("not all answers were reset:\n%s", counters)
	}
}
