package conntrack

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

var dns = netip.MustParseAddrPort("10.96.0.10:53")

// stales returns flows to dns, each from a port of its own, to an endpoint that is none.
func stales(n int) []Flow {
	var flows []Flow
	for i := range n {
		client := netip.AddrPortFrom(netip.MustParseAddr("10.0.0.5"), uint16(1000+i))
		gone := netip.MustParseAddrPort("10.244.1.9:53")
		flows = append(flows, Flow{UDP, Tuple{client, dns}, Tuple{gone, client}})
	}
	return flows
}

func TestAnInterruptedPassIsRepeated(t *testing.T) {
	f := NewFake(stales(40)...)
	f.Interruptions = 2
	deleted, err := f.DeleteStale(Frontends{dns: nil})
	if deleted != 40 || err != nil || f.Passes != 3 || f.Dump() != "" {
		t.Errorf("%d deleted in %d passes, %v; left:\n%s", deleted, f.Passes, err, f.Dump())
	}
}

func TestInterruptionsEndAndWhatWasSeenIsGone(t *testing.T) {
	f := NewFake(stales(64)...)
	f.Interruptions = 1000
	deleted, err := f.DeleteStale(Frontends{dns: nil, netip.MustParseAddrPort("[fd00::1]:53"): nil})
	if !errors.Is(err, nlbatch.ErrInterrupted) || !strings.Contains(err.Error(), "list flows") {
		t.Errorf("got %v", err)
	}
	if passes := 1000 - f.Interruptions; passes != f.Passes || passes > 20 {
		t.Errorf("%d passes", f.Passes)
	}
	if left := strings.Count(f.Dump(), "\n"); deleted != 62 || left != 2 {
		t.Errorf("%d deleted, %d left", deleted, left)
	}
}

func TestAFlowThatCannotBeDeletedIsNamedAndStopsNoOther(t *testing.T) {
	busy := errors.New("busy")
	f := NewFake(stales(40)...)
	f.Fail = func(flow Flow) error {
		if flow.Orig.Source.Port()%2 == 0 {
			return busy
		}
		return nil
	}
	deleted, err := f.DeleteStale(Frontends{dns: nil})
	if deleted != 20 || !errors.Is(err, busy) {
		t.Errorf("%d deleted, %v", deleted, err)
	}
	text := fmt.Sprint(err)
	if !strings.HasPrefix(text, "delete flow udp src=10.0.0.5 dst=10.96.0.10 sport=1000 ") ||
		!strings.HasSuffix(text, "\nand 10 flows more") || strings.Count(text, "\n") != 10 {
		t.Errorf("got %s", text)
	}
	f.Fail = nil
	if deleted, err := f.DeleteStale(Frontends{dns: nil}); deleted != 20 || err != nil {
		t.Errorf("the next time %d deleted, %v", deleted, err)
	}
}
