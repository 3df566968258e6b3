package plan

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// Moved is a virtual server where the same client, when it comes again, may meet another real server than before,
// and where it would not have: its scheduler chooses by a hash, or did.
type Moved struct {
	Server  string  `json:"server"`
	Service string  `json:"service,omitempty"`
	From    string  `json:"from"` // scheduler
	To      string  `json:"to"`
	Share   float64 `json:"share"` // of clients, 0 to 1, when all drains have ended; to be expected, not promised

	key ipvs.Key
}

// hashes tells which schedulers choose by a hash of the client, and how they do.
func hashes() map[string]func([]weighted) []int32 {
	return map[string]func([]weighted) []int32{"mh": mhTable, "sh": shTable}
}

// moves compares the virtual servers that there were with what becomes of them.
func moves(before, after *ipvs.Fake) (list []Moved, err error) {
	was, err := before.Servers()
	if err != nil {
		return nil, err
	}
	is, err := after.Servers()
	if err != nil {
		return nil, err
	}
	list = []Moved{}
	for _, k := range slices.SortedFunc(maps.Keys(was), ipvs.Key.Compare) {
		from, to := was[k], is[k]
		if hashes()[from.Scheduler] == nil && hashes()[to.Scheduler] == nil {
			continue
		}
		old, err := usable(before, k)
		if err != nil {
			return nil, err
		}
		now, err := usable(after, k)
		if err != nil {
			return nil, err
		}
		if len(old) == 0 || len(now) == 0 || from == to && slices.Equal(old, now) {
			continue // nobody to meet, before or after
		}
		list = append(list, Moved{Server: k.String(), From: from.Scheduler, To: to.Scheduler, Share: share(from, to, old, now), key: k})
	}
	return list, nil
}

// usable lists the real servers that get new connections, by address. One at weight 0 has places in the kernel's
// tables for a while, but leaves them to others.
func usable(table *ipvs.Fake, k ipvs.Key) (list []weighted, err error) {
	reals, err := table.RealServers(k)
	if err != nil {
		return nil, err
	}
	for addr, real := range reals {
		if real.Weight > 0 {
			list = append(list, weighted{addr, int(real.Weight)})
		}
	}
	slices.SortFunc(list, func(a, b weighted) int { return a.addr.Compare(b.addr) })
	return list, nil
}

// share returns the share of clients that meet another real server.
func share(from, to ipvs.VirtualServer, old, now []weighted) float64 {
	table := hashes()[to.Scheduler]
	if table == nil || from.Scheduler != to.Scheduler || (from.Flags^to.Flags)&ipvs.SchedPort != 0 {
		return 1 - chance(from, to, old, now)
	}
	was, is := table(old), table(now)
	moved := 0
	for i := range was {
		if old[was[i]].addr != now[is[i]].addr {
			moved++
		}
	}
	return float64(moved) / float64(len(was))
}

// chance is how likely it is that a client meets the same real server, where the one choice has nothing to do with
// the other.
func chance(from, to ipvs.VirtualServer, old, now []weighted) (same float64) {
	before, after := parts(from, old), parts(to, now)
	for addr, part := range before {
		same += part * after[addr]
	}
	return same
}

// parts returns how much of all new connections each real server gets.
func parts(v ipvs.VirtualServer, reals []weighted) map[netip.AddrPort]float64 {
	sum := 0.0
	list := make(map[netip.AddrPort]float64, len(reals))
	for _, real := range reals {
		part := float64(real.weight)
		if v.Scheduler == "rr" || v.Scheduler == "lc" {
			part = 1
		}
		list[real.addr] = part
		sum += part
	}
	for addr := range list {
		list[addr] /= sum
	}
	return list
}
