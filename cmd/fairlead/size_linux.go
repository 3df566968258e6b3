package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/bits"
	"os"

	"github.com/fairlead-lb/fairlead/doctor"
	"github.com/fairlead-lb/fairlead/internal/sysctl"
	"github.com/fairlead-lb/fairlead/ipvs"
)

// What the kernel does worse the more there is of it, and what can be done about that. It is looked at once in
// each audit.

const (
	sysctlConnGrows      = "/proc/sys/net/ipv4/vs/conn_lfactor" // there where the connection table grows by itself
	connTabBits          = "/sys/module/ip_vs/parameters/conn_tab_bits"
	sysctlConntrackCount = "/proc/sys/net/netfilter/nf_conntrack_count"

	estimateUpTo   = doctor.ManyServers
	estimateAgain  = estimateUpTo / 2
	connsPerBucket = doctor.ConnectionsPerBucket
)

// sizes watches how much the kernel holds. It belongs to the controller's goroutine.
type sizes struct {
	log    *slog.Logger
	auto   func() bool // whether the rate estimators are ours to switch
	read   func(name string) (string, error)
	set    func(name, value string) (before string, changed bool, err error)
	number func(path string) int64
	old    bool // Linux before 6.2
	warned map[string]bool
}

// watchSizes returns what is to be called with how much there is: what ipvs.estimation auto means, and warnings.
func watchSizes(auto func() bool, log *slog.Logger) func(ipvs.Size) {
	s := &sizes{
		log: log, auto: auto, old: !kernelAtLeast(6, 2),
		read: sysctl.Read, set: sysctl.Ensure, number: readNumber, warned: make(map[string]bool),
	}
	return s.look
}

// look is called with how much there is.
func (s *sizes) look(size ipvs.Size) {
	if s.old && s.auto() {
		s.warn("estimation", s.switchEstimation(size.VirtualServers+size.RealServers))
	}
	s.warn("connection table", s.connTable(size.Connections))
	s.warn("connection tracking", s.conntrack())
}

// switchEstimation stops the estimators when there are many, and starts them again when there are few. What runs is what the
// kernel says, not what this daemon did: one before it may have stopped them, and leaves no other word of it. While they are
// stopped the kernel goes on counting, and tells of it for all virtual servers together, but not for each: see
// countersStandStill. It returns what is wrong, and what to do.
func (s *sizes) switchEstimation(servers int) string {
	runs, err := s.read(sysctlEstimation)
	stop := runs != "0"
	switch {
	case stop && servers <= estimateUpTo, !stop && servers > estimateAgain:
		return ""
	case errors.Is(err, fs.ErrNotExist):
		return "this kernel cannot switch its rate estimators off (net.ipv4.vs.run_estimation, since 5.16): " +
			"every two seconds one CPU stops for them, with so many virtual and real servers for some hundredths of a second"
	}
	value, verb, counters := "1", "started", "run"
	if stop {
		value, verb, counters = "0", "stopped", "stand still"
	}
	if err == nil {
		_, _, err = s.set(sysctlEstimation, value)
	}
	if err != nil {
		return fmt.Sprintf("ipvs.estimation auto: with %d virtual and real servers the kernel's rate estimators ought to be %s, and cannot be: %v. "+
			"Start the Pod anew, whose init container may, or 'sysctl -w net.ipv4.vs.run_estimation=%s' on the node", servers, verb, err, value)
	}
	s.log.Info("sysctl set", "sysctl", sysctlEstimation, "from", runs, "to", value,
		"because", "ipvs.estimation auto", "virtualAndRealServers", servers, "countersOfServices", counters)
	return ""
}

// connTable returns what is wrong with the size of the IPVS connection table, and what to do.
func (s *sizes) connTable(connections int) string {
	tableBits := s.number(connTabBits)
	if _, err := os.Stat(sysctlConnGrows); err == nil || tableBits == 0 || connections <= connsPerBucket<<tableBits {
		return ""
	}
	return fmt.Sprintf("%d connections in the IPVS connection table of %d buckets: every packet walks a chain. "+
		"Put 'options ip_vs conn_tab_bits=%d' into /etc/modprobe.d/ip_vs.conf; it holds when the module ip_vs is loaded anew",
		connections, 1<<tableBits, bits.Len(uint(connections)))
}

// conntrack returns what is wrong with the room for tracked connections, and what to do.
func (s *sizes) conntrack() string {
	count, limit := s.number(sysctlConntrackCount), s.number("/proc/sys/"+sysctlConntrackMax)
	if limit == 0 || count < limit*doctor.ConntrackHigh/100 {
		return ""
	}
	return fmt.Sprintf("%d of at most %d connections are tracked: when it is full, new ones are dropped. "+
		"Raise conntrack.maxPerCore or conntrack.min, or 'sysctl -w net.netfilter.nf_conntrack_max=%d'", count, limit, 2*limit)
}

// warn says what is wrong, once until it is right again.
func (s *sizes) warn(what, text string) {
	if text != "" && !s.warned[what] {
		s.log.Warn(text)
	}
	s.warned[what] = text != ""
}
