package main

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// This file knows the words of the domain: first the values that a single key
// takes, then the rules between keys.

// schedulers returns the names of all IPVS schedulers of the kernel.
func schedulers() []string {
	return strings.Fields("rr wrr lc wlc lblc lblcr dh sh mh sed nq fo ovf twos")
}

func scheduler() kind {
	want := "a kernel scheduler (" + strings.Join(schedulers(), " ") + ")"
	return scalar(want, tagString, func(s string) (string, bool) {
		return s, slices.Contains(schedulers(), s)
	})
}

func schedulerFlag(s string) (string, bool) {
	return s, slices.Contains([]string{"mh-fallback", "mh-port", "sh-fallback", "sh-port"}, s)
}

func nodePortAddress(s string) (string, bool) {
	if slices.Contains([]string{"primary", "localhost", "all"}, s) {
		return s, true
	}
	prefix, ok := parseCIDR(s)
	return prefix.String(), ok
}

// nodeName is the name of a Node object, or empty. It is trimmed and
// lower-cased, as kube-proxy does, since that is what the kubelet registers.
func nodeName() kind {
	want := "a node name (a DNS-1123 subdomain: letters, digits, - and ., at most 253), or empty"
	const label = `[a-z0-9]([-a-z0-9]*[a-z0-9])?`
	subdomain := regexp.MustCompile(`^` + label + `(\.` + label + `)*$`)
	return scalar(want, tagString, func(s string) (string, bool) {
		name := strings.ToLower(strings.TrimSpace(s))
		return name, s == "" || len(name) <= 253 && subdomain.MatchString(name)
	})
}

// interfaceName is a name that the kernel takes for a network device: see
// dev_valid_name, which refuses / : and spaces. Refused besides: %, which the
// kernel would expand, and "all" and "default", which collide with the
// directories of that name in net.ipv4.conf.
func interfaceName() kind { return deviceWord("a device name", 15) }

// interfacePrefix is how names of devices begin. iptables wants a + behind it, in the same 15 bytes.
func interfacePrefix() kind { return deviceWord("the beginning of device names", 14) }

func deviceWord(what string, longest int) kind {
	want := fmt.Sprintf("%s (1 to %d ASCII characters, no space / : %%)", what, longest)
	return scalar(want, tagString, func(s string) (string, bool) {
		odd := strings.ContainsFunc(s, func(r rune) bool {
			return r > unicode.MaxASCII || !unicode.IsGraphic(r) || strings.ContainsRune(" /:%", r)
		})
		reserved := slices.Contains([]string{".", "..", "all", "default"}, s)
		return s, len(s) >= 1 && len(s) <= longest && !odd && !reserved
	})
}

// filePath is the path of a file or directory, or empty. Whether it exists is
// for the one who opens it to find out.
func filePath() kind {
	return scalar("a path (no control characters)", tagString, func(s string) (string, bool) {
		return s, !strings.ContainsFunc(s, unicode.IsControl)
	})
}

// rule is a check over several keys. It runs only when each of them has a
// valid value: a rule over a misspelled value would report the mistake twice.
type rule struct {
	keys  []string // the first one is where the error is reported
	check func(Config) error
}

// rules returns all rules between keys.
func rules() []rule {
	return []rule{
		{[]string{"source.directory", "source.kind"}, checkSource},
		{[]string{"ipvs.schedulerFlags", "ipvs.scheduler"}, checkSchedulerFlags},
		{[]string{"ipvs.minSyncPeriod", "ipvs.syncPeriod"}, checkSyncPeriods},
		{[]string{"detectLocal.bridgeInterface", "detectLocalMode"}, checkBridgeInterface},
		{[]string{"detectLocal.interfaceNamePrefix", "detectLocalMode"}, checkInterfaceNamePrefix},
		{[]string{"ipvs.fwmarkMask", "ipvs.fwmarkBase", "iptables.masqueradeBit"}, checkMarks},
		{[]string{"metricsBindAddress", "healthzBindAddress"}, checkBindAddresses},
		{[]string{"statusBindAddress", "healthzBindAddress", "metricsBindAddress"}, checkStatusAddress},
	}
}

func checkSource(c Config) error {
	if c.Source.Kind == sourceDirectory && c.Source.Directory == "" {
		return errors.New(`"" is not a directory of manifests, which source.kind directory needs`)
	}
	return nil
}

// checkSchedulerFlags wants the flags of the scheduler in use: the kernel has
// the same bits for mh and sh, so a wrong name would silently work as another.
func checkSchedulerFlags(c Config) error {
	var errs []error
	for _, flag := range c.IPVS.SchedulerFlags {
		if owner, _, _ := strings.Cut(flag, "-"); owner != c.IPVS.Scheduler {
			errs = append(errs, fmt.Errorf("%q is a flag of scheduler %s, but ipvs.scheduler is %q", flag, owner, c.IPVS.Scheduler))
		}
	}
	return errors.Join(errs...)
}

func checkSyncPeriods(c Config) error {
	if c.IPVS.MinSyncPeriod > c.IPVS.SyncPeriod {
		return fmt.Errorf("%s is longer than ipvs.syncPeriod (%s)", c.IPVS.MinSyncPeriod, c.IPVS.SyncPeriod)
	}
	return nil
}

func checkBridgeInterface(c Config) error {
	return checkNeeded(c.DetectLocalMode, localBridgeInterface, c.DetectLocal.BridgeInterface, "the name of a bridge")
}

func checkInterfaceNamePrefix(c Config) error {
	return checkNeeded(c.DetectLocalMode, localInterfaceNamePrefix, c.DetectLocal.InterfaceNamePrefix, "a prefix of device names")
}

func checkNeeded(mode, needing, value, what string) error {
	if mode == needing && value == "" {
		return fmt.Errorf(`"" is not %s, which detectLocalMode %s needs`, what, mode)
	}
	return nil
}

// checkMarks sees to it that a mark is never taken for something else. See package fwmark.
func checkMarks(c Config) error {
	base, mask, bit := c.IPVS.FWMarkBase, c.IPVS.FWMarkMask, c.IPTables.MasqueradeBit
	switch {
	case base&mask != 0:
		return fmt.Errorf("%#x has bits of ipvs.fwmarkBase (%#x)", mask, base)
	case base&(1<<bit) != 0:
		return fmt.Errorf("iptables.masqueradeBit %d is a bit of ipvs.fwmarkBase (%#x): choose another base", bit, base)
	case base == 0:
		return errors.New("ipvs.fwmarkBase is 0: small marks are everybody's")
	case c.IPVS.marks(bit).Len() < 8:
		return fmt.Errorf("%#x has room for fewer than eight marks", mask)
	}
	return nil
}

// checkBindAddresses catches two servers on one port: the second would fail
// long after the start.
func checkBindAddresses(c Config) error {
	return samePort(c.MetricsBindAddress, c.HealthzBindAddress, "healthzBindAddress")
}

// checkStatusAddress does the same for the status page.
func checkStatusAddress(c Config) error {
	return errors.Join(samePort(c.StatusBindAddress, c.HealthzBindAddress, "healthzBindAddress"),
		samePort(c.StatusBindAddress, c.MetricsBindAddress, "metricsBindAddress"))
}

func samePort(a, other netip.AddrPort, key string) error {
	if !a.IsValid() || !other.IsValid() || a.Port() != other.Port() {
		return nil
	}
	if a.Addr() == other.Addr() || isAny(a.Addr()) || isAny(other.Addr()) {
		return fmt.Errorf("%q has the same port as %s (%q)", a, key, other)
	}
	return nil
}

func isAny(a netip.Addr) bool { return a.IsUnspecified() }

// advice returns warnings about a valid configuration: settings that will not
// do what whoever wrote them seems to expect.
func advice(c Config) []string {
	var warnings []string
	if c.Source.Kind != sourceDirectory && c.Source.Directory != "" {
		warnings = append(warnings, fmt.Sprintf("source.directory: %q is not read, since source.kind is %q",
			c.Source.Directory, c.Source.Kind))
	}
	if a := c.StatusBindAddress; a.IsValid() && !a.Addr().IsLoopback() {
		warnings = append(warnings, fmt.Sprintf("statusBindAddress: %q is no loopback address, and the status page has no authentication: "+
			"whoever reaches it sees the names and addresses of all Services", a))
	}
	return warnings
}
