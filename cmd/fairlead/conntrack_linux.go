package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/internal/sysctl"
)

const (
	sysctlConntrackMax = "net/netfilter/nf_conntrack_max"
	conntrackHashSize  = "/sys/module/nf_conntrack/parameters/hashsize"
	onlineCPUs         = "/sys/devices/system/cpu/online"
)

// tuneConntrack sets the sysctls of connection tracking, as kube-proxy does. Services work with
// other values, too, and a container may see /proc/sys read-only, or a network namespace whose
// limits belong to the host. So it goes on without what cannot be set.
func tuneConntrack(cfg ConntrackConfig, log *slog.Logger) error {
	var errs []error
	report := func(s kernelSetting, before string, changed bool, err error) {
		switch {
		case err != nil:
			errs = append(errs, s.failed(err))
		case changed:
			log.Info("sysctl set", "sysctl", s.name, "from", before, "to", s.value, "because", s.why)
		}
	}
	for _, s := range conntrackSettings(cfg) {
		before, changed, err := sysctl.Ensure(s.name, s.value)
		report(s, before, changed, err)
	}
	limit := conntrackMax(cfg, cores())
	if limit == 0 {
		return errors.Join(errs...)
	}
	before, changed, err := sysctl.Raise(sysctlConntrackMax, limit)
	report(conntrackLimit(limit), before, changed, err)
	if advice := hashAdvice(readNumber("/proc/sys/"+sysctlConntrackMax), readNumber(conntrackHashSize)); advice != "" {
		log.Warn("the hash table of connection tracking is small for so many connections: look-ups get slow when it fills",
			"remedy", advice)
	}
	return errors.Join(errs...)
}

// conntrackLimit is the sysctl that is raised.
func conntrackLimit(limit int64) kernelSetting {
	return kernelSetting{sysctlConntrackMax, strconv.FormatInt(limit, 10), "conntrack.maxPerCore and conntrack.min", "conntrack.maxPerCore"}
}

// conntrackSettings lists the sysctls that get an exact value.
func conntrackSettings(cfg ConntrackConfig) []kernelSetting {
	var list []kernelSetting
	seconds := func(name, key string, timeout time.Duration) {
		if timeout > 0 {
			value := strconv.FormatInt(int64(timeout/time.Second), 10)
			list = append(list, kernelSetting{"net/netfilter/" + name, value, key, key})
		}
	}
	seconds("nf_conntrack_tcp_timeout_established", "conntrack.tcpEstablishedTimeout", cfg.TCPEstablishedTimeout)
	seconds("nf_conntrack_tcp_timeout_close_wait", "conntrack.tcpCloseWaitTimeout", cfg.TCPCloseWaitTimeout)
	seconds("nf_conntrack_udp_timeout", "conntrack.udpTimeout", cfg.UDPTimeout)
	seconds("nf_conntrack_udp_timeout_stream", "conntrack.udpStreamTimeout", cfg.UDPStreamTimeout)
	if cfg.TCPBeLiberal {
		list = append(list, kernelSetting{"net/netfilter/nf_conntrack_tcp_be_liberal", "1", "conntrack.tcpBeLiberal", "conntrack.tcpBeLiberal"})
	}
	return list
}

// conntrackMax returns how many connections shall be tracked at least; 0 leaves that to the kernel.
func conntrackMax(cfg ConntrackConfig, cores int) int64 {
	if cfg.MaxPerCore == 0 {
		return 0
	}
	return min(max(int64(cfg.Min), int64(cfg.MaxPerCore)*int64(cores)), math.MaxInt32)
}

// hashAdvice returns the command that gives the hash table a bucket for every four connections, as
// kube-proxy does, or "" where it has that or is not known. Fairlead does not run it: resizing the
// table stops every packet of the node for as long as it takes.
func hashAdvice(limit, buckets int64) string {
	if buckets == 0 || buckets >= limit/4 {
		return ""
	}
	return fmt.Sprintf("echo %d > %s (now %d)", limit/4, conntrackHashSize, buckets)
}

// cores counts the machine's processors, not those that a cpuset leaves to this process: the
// connections are the machine's.
func cores() int {
	text, err := os.ReadFile(onlineCPUs)
	if n := countCPUs(strings.TrimSpace(string(text))); err == nil && n > 0 {
		return n
	}
	return runtime.NumCPU()
}

// countCPUs counts a list such as 0-3,8. It is 0 for what is no such list.
func countCPUs(list string) (n int) {
	for item := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(item, "-")
		if !isRange {
			last = first
		}
		low, errLow := strconv.Atoi(first)
		high, errHigh := strconv.Atoi(last)
		if errLow != nil || errHigh != nil || high < low {
			return 0
		}
		n += high - low + 1
	}
	return n
}

// readNumber returns the number in a file, or 0.
func readNumber(path string) int64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
