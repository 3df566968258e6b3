package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"slices"
	"strings"
)

// From where on there is too much. The daemon warns from there on, too.
const (
	ConnectionsPerBucket = 4 // more, and every packet walks a chain

	// ManyServers are as many virtual and real servers as one CPU can look at without a pause that hurts. Before Linux
	// 6.2, it looks at the rates of all of them in a row, in a softirq, every two seconds. That takes about 4 us each, in
	// which no packet of that CPU moves (estimation_timer, net/netfilter/ipvs/ip_vs_est.c).
	ManyServers = 10_000

	ConntrackHigh = 80 // percent of the connections that can be tracked
)

// noIPVS is what the checks of IPVS say where it is not loaded.
func noIPVS(h *Host) []Finding {
	if h.moduleStates()("ip_vs") == moduleMissing {
		return unknown("as modules says", "the kernel has no IPVS")
	}
	return unknown("fairlead run loads it; to look before: modprobe ip_vs", "IPVS is not loaded")
}

func lookConnectionTable(h *Host) []Finding {
	if !h.hasIPVS() {
		return noIPVS(h)
	}
	if h.exists("proc/sys/net/ipv4/vs/conn_lfactor") {
		return ok("the table grows by itself (net.ipv4.vs.conn_lfactor is there)")
	}
	const file = "sys/module/ip_vs/parameters/conn_tab_bits"
	tableBits, err := h.number(file)
	if err != nil {
		return unknown("", "cannot read /%s: %v", file, err)
	}
	if h.Servers.Err != nil {
		return unknown("", "%d buckets; connections cannot be counted: %v", 1<<tableBits, h.Servers.Err)
	}
	connections := 0
	for _, s := range h.Servers.Value {
		connections += s.Connections
	}
	if connections > ConnectionsPerBucket<<tableBits {
		do := fmt.Sprintf("echo 'options ip_vs conn_tab_bits=%d' > /etc/modprobe.d/ip_vs.conf, then reboot the node", min(bits.Len(uint(connections)), 20))
		return one(Warning, do, "%d connections in %d buckets: every packet walks a chain", connections, 1<<tableBits)
	}
	return ok("%d connections, %d buckets", connections, 1<<tableBits)
}

func lookEstimators(h *Host) []Finding {
	if !h.hasIPVS() {
		return noIPVS(h)
	}
	runs, err := h.sysctl("net/ipv4/vs/run_estimation")
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return unknown("", "cannot read net.ipv4.vs.run_estimation: %v", err)
	case runs == "0":
		return ok("net.ipv4.vs.run_estimation = 0: they cost nothing; counters of single Services stand still")
	case h.atLeast(6, 2):
		return ok("rates are estimated in threads of the kernel's (Linux %s)", h.Release)
	case h.Servers.Err != nil:
		return unknown("", "servers cannot be counted: %v", h.Servers.Err)
	}
	servers := len(h.Servers.Value)
	for _, s := range h.Servers.Value {
		servers += s.Reals
	}
	evidence := fmt.Sprintf("rates of %d virtual and real servers are estimated on one CPU every two seconds (Linux %s)", servers, h.Release)
	switch {
	case servers <= ManyServers:
		return ok("%s", evidence)
	case err != nil:
		return one(Warning, "update the kernel to 6.2 or later", "%s, and the kernel has no net.ipv4.vs.run_estimation to stop it", evidence)
	case h.Want.Estimation == "on":
		return one(Warning, "set ipvs.estimation: auto", "%s, as ipvs.estimation says: packets of that CPU wait", evidence)
	}
	return one(Warning, "sysctl -w net.ipv4.vs.run_estimation=0", "%s: packets of that CPU wait", evidence)
}

// elsewhere are sysctls that have a check of their own.
func elsewhere(name string) bool {
	return strings.HasPrefix(name, "net/ipv4/conf/") ||
		slices.Contains([]string{"net/ipv4/ip_forward", "net/ipv4/vs/conn_reuse_mode"}, name)
}

func lookSysctls(h *Host) []Finding {
	if !h.hasIPVS() {
		return noIPVS(h)
	}
	var found []Finding
	var good, wrong, set []string
	for _, s := range h.Want.Sysctls {
		if elsewhere(s.Name) {
			continue
		}
		have, err := h.sysctl(s.Name)
		name := dotted(s.Name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			found = append(found, one(Warning, "update the kernel, or leave out what asks for it", "this kernel has no %s (%s)", name, s.Why)...)
		case err != nil:
			found = append(found, unknown("", "cannot read %s: %v", name, err)...)
		case have == s.Value:
			good = append(good, name+" = "+have)
		default:
			wrong = append(wrong, fmt.Sprintf("%s = %s, not %s (%s)", name, have, s.Value, s.Why))
			set = append(set, name+"="+s.Value)
		}
	}
	do := "sysctl -w " + strings.Join(set, " ")
	switch {
	case len(wrong) == 0 && len(found) > 0:
	case len(wrong) == 0:
		return ok("%s", strings.Join(good, ", "))
	case h.running():
		return append(found, one(Problem, do, "somebody has changed what the daemon had set: %s", strings.Join(wrong, "; "))...)
	default:
		return append(found, one(Note, "fairlead run sets it; by hand: "+do, "%s", strings.Join(wrong, "; "))...)
	}
	return found
}

func lookConnReuseMode(h *Host) []Finding {
	if !h.hasIPVS() {
		return noIPVS(h)
	}
	mode, err := h.sysctl("net/ipv4/vs/conn_reuse_mode")
	if err != nil {
		return unknown("", "cannot read net.ipv4.vs.conn_reuse_mode: %v", err)
	}
	evidence := fmt.Sprintf("net.ipv4.vs.conn_reuse_mode = %s, Linux %s", mode, h.Release)
	const set = "sysctl -w net.ipv4.vs.conn_reuse_mode="
	switch {
	case h.atLeast(5, 9) && mode == "0":
		return one(Warning, set+"1", "%s: a client port that is used again meets the endpoint that it met before, also one that is gone", evidence)
	case h.atLeast(5, 9):
		return ok("%s", evidence)
	case mode == "0":
		return one(Note, "update the kernel to 5.9 or later, then "+set+"1", "%s: a client port that is used again can meet an endpoint that is gone; the other value would cost it a second", evidence)
	}
	return one(Warning, set+"0", "%s: a client port that is used again waits for a second", evidence)
}
