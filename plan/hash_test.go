package plan

import (
	"fmt"
	"math"
	"net/netip"
	"testing"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// TestTheHashIsTheKernels compares with the kernel's own test of it (test_vectors_hsiphash, lib/siphash_kunit.c): the
// bytes 0 to 3, under the key of the bytes 0 to 15.
func TestTheHashIsTheKernels(t *testing.T) {
	if got := hsiphash(0x03020100, 0x0706050403020100, 0x0f0e0d0c0b0a0908); got != 0x88d38328 {
		t.Errorf("got %#x", got)
	}
}

// pods returns so many real servers of weight 1, of one family or the other.
func pods(n int, ipv6 bool) (list []weighted) {
	for i := range n {
		addr := netip.AddrFrom4([4]byte{10, 1, byte(i / 250), byte(1 + i%250)})
		if ipv6 {
			addr = netip.MustParseAddr(fmt.Sprintf("fd00:1::%x", i+1))
		}
		list = append(list, weighted{netip.AddrPortFrom(addr, 8080), 1})
	}
	return list
}

func server(scheduler string) ipvs.VirtualServer { return ipvs.VirtualServer{Scheduler: scheduler} }

// TestMaglevMovesLittleMoreThanItMust: of n real servers the one that goes had one n-th of all clients, and these
// have to move. One more gets one of n+1.
func TestMaglevMovesLittleMoreThanItMust(t *testing.T) {
	for _, n := range []int{2, 3, 10, 100} {
		for _, ipv6 := range []bool{false, true} {
			all := pods(n+1, ipv6)
			for name, got := range map[string]float64{
				"one goes":  share(server("mh"), server("mh"), all, all[1:]),
				"one comes": share(server("mh"), server("mh"), all[:n], all),
			} {
				must := 1 / float64(n+1)
				if got < 0.7*must || got > must+0.1 {
					t.Errorf("%s, %d of them, IPv6 %v: %.3f move, must %.3f", name, n, ipv6, got, must)
				}
			}
			if got := share(server("mh"), server("mh"), all, all); got != 0 {
				t.Errorf("without a change %.3f move", got)
			}
		}
	}
}

func TestPlacesFollowWeights(t *testing.T) {
	for _, weights := range [][]int{{1, 1, 1}, {100, 100, 50}, {1, 2, 7}, {65535, 1}, {50, 25, 25, 300}} {
		reals, sum := pods(len(weights), false), 0
		for i, w := range weights {
			reals[i].weight = w
			sum += w
		}
		for name, table := range map[string][]int32{"mh": mhTable(reals), "sh": shTable(reals)} {
			if name == "sh" && sum > shPlaces {
				continue // there are not enough places for one turn of all
			}
			places := make([]int, len(reals))
			for _, has := range table {
				places[has]++
			}
			for i := range reals {
				got, want := float64(places[i])/float64(len(table)), float64(weights[i])/float64(sum)
				if math.Abs(got-want) > map[string]float64{"mh": 0.02, "sh": 0.1}[name] {
					t.Errorf("%s with weights %v: %d has %.3f of the places, want %.3f", name, weights, i, got, want)
				}
			}
		}
	}
}

func TestSourceHashFillsItsPlacesInTurn(t *testing.T) {
	reals := pods(3, false)
	reals[1].weight = 2
	table := shTable(reals)
	for i, want := range []int32{0, 1, 1, 2, 0, 1, 1, 2} {
		if table[i] != want {
			t.Errorf("place %d is %d's, not %d's", i, table[i], want)
		}
	}
	if got := share(server("sh"), server("sh"), reals, reals[:2]); got < 0.25 || got > 0.8 {
		t.Errorf("%.3f move; it is more than must, 1/4, and less than all", got)
	}
}

func TestBetweenHashesAllAreShuffled(t *testing.T) {
	four := pods(4, false)
	heavy := pods(2, false)
	heavy[0].weight = 3
	port := ipvs.VirtualServer{Scheduler: "mh", Flags: ipvs.SchedPort}
	for _, c := range []struct {
		from, to ipvs.VirtualServer
		old, now []weighted
		want     float64
	}{
		{server("rr"), server("mh"), four, four, 0.75},
		{server("mh"), server("sh"), four, four, 0.75},
		{server("mh"), server("lc"), four, four, 0.75},
		{server("mh"), port, four, four, 0.75},
		{server("mh"), server("mh"), four[:2], four[2:], 1},
		{server("rr"), server("mh"), heavy, heavy, 0.5},            // 1/2 × 3/4 + 1/2 × 1/4 meet the same
		{server("wrr"), server("mh"), heavy, heavy, 1 - 10.0/16.0}, // 3/4 × 3/4 + 1/4 × 1/4
	} {
		if got := share(c.from, c.to, c.old, c.now); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%+v to %+v: %.4f, want %.4f", c.from, c.to, got, c.want)
		}
	}
}

// BenchmarkMaglev is one table: a plan may need two for each of very many virtual servers.
func BenchmarkMaglev(b *testing.B) {
	reals := pods(3, false)
	for b.Loop() {
		mhTable(reals)
	}
}
