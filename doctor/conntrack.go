package doctor

import "fmt"

const (
	conntrackFull = 95 // percent
	hashSize      = "/sys/module/nf_conntrack/parameters/hashsize"
)

func lookConntrack(h *Host) []Finding {
	const dir = "proc/sys/net/netfilter/nf_conntrack_"
	count, err := h.number(dir + "count")
	if err != nil {
		return unknown("modprobe nf_conntrack, if it is not loaded", "cannot read net.netfilter.nf_conntrack_count: %v", err)
	}
	limit, err := h.number(dir + "max")
	if err != nil {
		return unknown("", "cannot read net.netfilter.nf_conntrack_max: %v", err)
	}
	if limit <= 0 {
		return ok("%d connections are tracked, without a limit", count)
	}
	percent := count * 100 / limit
	evidence := fmt.Sprintf("%d of at most %d connections are tracked (%d %%)", count, limit, percent)
	do := fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d; to keep it: conntrack.min: %d", 2*limit, 2*limit)
	var found []Finding
	switch {
	case percent >= conntrackFull:
		found = one(Problem, do, "%s: new connections are dropped when it is full", evidence)
	case percent >= ConntrackHigh:
		found = one(Warning, do, "%s: new connections are dropped when it is full", evidence)
	}
	buckets, err := h.number(hashSize[1:])
	if err == nil && buckets > 0 && buckets < limit/4 {
		// Fairlead does not do that by itself: every packet of the node waits while the table is resized.
		found = append(found, one(Note, fmt.Sprintf("echo %d > %s", limit/4, hashSize),
			"the hash table has %d buckets for at most %d connections: look-ups get slow when it fills", buckets, limit)...)
	}
	if len(found) > 0 {
		return found
	}
	return ok("%s", evidence)
}
