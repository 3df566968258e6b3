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
	log      *slog.Logger
	auto     func() bool // whether the rate estimators are ours to switch
	sysctl   func(name, value string) (before string, changed bool, err error)
	number   func(path string) int64
	old      bool // Linux before 6.2
	estimate bool // they run, or somebody else has stopped them
	warned   map[string]bool
}

// watchSizes returns what is to be called with how much there is: what ipvs.estimation auto means, and warnings.
func watchSizes(auto func() bool, log *slog.Logger) func(ipvs.Size) {
	s := &sizes{
		log: log, auto: auto, old: !kernelAtLeast(6, 2), estimate: true,
		sysctl: sysctl.Ensure, number: readNumber, warned: make(map[string]bool),
	}
	return s.look
}

// look is called with how much there is.
func (s *sizes) look(size ipvs.Size) {
	if s.old && s.auto() {
		s.switchEstimation(size.VirtualServers + size.RealServers)
	}
	s.warn("connection table", s.connTable(size.Connections))
	s.warn("connection tracking", s.conntrack())
}

// switchEstimation stops the estimators when there are many, and starts them again when there are few if it has stopped
// them: whoever else did had a reason. While they are stopped the kernel goes on counting, and tells of it for all virtual
// servers together, but not for each: see countersStandStill.
func (s *sizes) switchEstimation(servers int) {
	estimate := servers <= estimateUpTo
	if !s.estimate {
		estimate = servers <= estimateAgain
	}
	if estimate && s.estimate {
		return
	}
	value := map[bool]string{true: "1", false: "0"}[estimate]
	before, changed, err := s.sysctl(sysctlEstimation, value)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if !estimate {
			s.warn("estimation", "this kernel cannot switch its rate estimators off (net.ipv4.vs.run_estimation, since 5.16): "+
				"every two seconds one CPU stops for them, with so many virtual and real servers for some hundredths of a second")
		}
	case err != nil:
		s.warn("estimation", err.Error())
	case changed:
		s.log.Info("sysctl set", "sysctl", sysctlEstimation, "from", before, "to", value,
			"because", "ipvs.estimation auto", "virtualAndRealServers", servers, "countersOfServices", map[bool]string{true: "run", false: "stand still"}[estimate])
	}
	if changed {
		s.estimate = estimate
	}
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
