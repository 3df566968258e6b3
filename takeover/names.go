package takeover

import (
	"regexp"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/masq"
)

// ofOnePort are the chains of one Service port or endpoint. What follows the prefix is a hash.
var ofOnePort = regexp.MustCompile(`^KUBE-(SVC|SVL|SEP|EXT|FW|XLB)-[A-Z2-7]{16}$`)

// chainOfTheirs reports whether only kube-proxy makes a chain of this name.
func chainOfTheirs(name string) bool {
	switch name {
	case "KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-FORWARD", "KUBE-PROXY-FIREWALL", "KUBE-PROXY-CANARY",
		"KUBE-NODE-PORT", "KUBE-LOAD-BALANCER", "KUBE-SOURCE-RANGES-FIREWALL", "KUBE-IPVS-FILTER", "KUBE-IPVS-OUT-FILTER":
		return true
	}
	return ofOnePort.MatchString(name)
}

// The chains that kube-proxy shares by name.
const (
	markMasq    = "KUBE-MARK-MASQ"
	postrouting = "KUBE-POSTROUTING"
)

func shared(name string) bool { return name == markMasq || name == postrouting }

// comments are on the jumps from the built-in chains, those of older releases included.
func comments() []string {
	return []string{
		"kubernetes service portals", "kubernetes externally-visible service portals", "kubernetes health check service ports",
		"kubernetes forwarding rules", "kubernetes load balancer firewall", "kubernetes postrouting rules",
		"kubernetes health check rules", "kube-proxy firewall rules", "kubernetes ipvs access filter",
	}
}

// theirShapes are the rules that kube-proxy writes into the chains that it shares.
var theirShapes = map[string]*regexp.Regexp{
	markMasq: regexp.MustCompile(`^-j MARK --(set-xmark 0x[0-9a-f]+/0x[0-9a-f]+|or-mark 0x[0-9a-f]+)$`),
	postrouting: regexp.MustCompile(`^(-m mark ! --mark 0x[0-9a-f]+/0x[0-9a-f]+ -j RETURN` +
		`|-j MARK --(set-xmark 0x[0-9a-f]+/0x0|xor-mark 0x[0-9a-f]+)` +
		`|-m comment --comment "kubernetes service traffic requiring SNAT" .*-j MASQUERADE.*` +
		`|.*--match-set KUBE-(6-)?LOOP-BACK dst,dst,src -j MASQUERADE.*)$`),
}

// setNames lists the ipsets of mode ipvs, by what is behind "KUBE-" or "KUBE-6-".
func setNames() []string {
	return []string{
		"LOOP-BACK", "CLUSTER-IP", "EXTERNAL-IP", "EXTERNAL-IP-LOCAL", "LOAD-BALANCER", "LOAD-BALANCER-LOCAL",
		"LOAD-BALANCER-FW", "LOAD-BALANCER-SOURCE-IP", "LOAD-BALANCER-SOURCE-CIDR",
		"NODE-PORT-TCP", "NODE-PORT-LOCAL-TCP", "NODE-PORT-UDP", "NODE-PORT-LOCAL-UDP",
		"NODE-PORT-SCTP-HASH", "NODE-PORT-LOCAL-SCTP-HASH", "NODE-PORT-SCTP", "NODE-PORT-LOCAL-SCTP",
		"HEALTH-CHECK-NODE-PORT", "IPVS-IPS",
	}
}

// longestSetName is as long as the kernel lets a set's name be. kube-proxy cuts what is longer.
const longestSetName = 31

func setName(short string, f masq.Family) string {
	name := "KUBE-" + short
	if f == masq.IPv6 {
		name = "KUBE-6-" + short
	}
	return name[:min(len(name), longestSetName)]
}

// allSets lists the names of all sets, in both families.
func allSets() []string {
	var all []string
	for _, f := range []masq.Family{masq.IPv4, masq.IPv6} {
		for _, short := range setNames() {
			all = append(all, setName(short, f))
		}
	}
	return all
}

// theirComment reports whether a rule carries one of kube-proxy's comments for jumps.
func theirComment(rule string) bool {
	return slices.ContainsFunc(comments(), func(c string) bool { return strings.Contains(rule, `--comment "`+c+`"`) })
}
