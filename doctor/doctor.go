package doctor

import (
	"cmp"
	"fmt"
	"slices"
)

// Verdict is what a finding comes to.
type Verdict string

// The verdicts, the worst first.
const (
	Problem Verdict = "problem" // Services fail, or will
	Warning Verdict = "warning" // Services can fail
	Unknown Verdict = "unknown" // it could not be found out
	Note    Verdict = "note"    // worth knowing
	OK      Verdict = "ok"
)

// Verdicts lists them, the worst first.
func Verdicts() []Verdict { return []Verdict{Problem, Warning, Unknown, Note, OK} }

// Finding is what a check has found.
type Finding struct {
	Check    string  `json:"check"`
	Verdict  Verdict `json:"verdict"`
	Evidence string  `json:"evidence"`     // what was read
	Do       string  `json:"do,omitempty"` // a command, or a line of a configuration; "" where nothing is to be done
}

// Check looks at one thing.
type Check struct {
	Name  string
	About string // what it looks at, in a line
	look  func(*Host) []Finding
}

// Checks lists all of them, in the order in which a packet or a start would meet what they look at.
func Checks() []Check {
	return []Check{
		{"privileges", "whether this process may look at everything", lookPrivileges},
		{"kernel", "the kernel's release, and what releases like it do wrong", lookKernel},
		{"modules", "the kernel modules that Fairlead needs: loaded, built in, or to be loaded", lookModules},
		{"connection-table", "buckets of the IPVS connection table, and how many connections share one", lookConnectionTable},
		{"estimators", "IPVS's rate estimators, and how many servers they have to look at", lookEstimators},
		{"sysctls", "the sysctls of IPVS that Fairlead sets", lookSysctls},
		{"conn-reuse-mode", "what IPVS does with a client port that is used again", lookConnReuseMode},
		{"forwarding", "forwarding of IPv4, and of IPv6 where there is any", lookForwarding},
		{"rp-filter", "devices that drop what comes another way than the answer would go", lookRPFilter},
		{"device", "the device that VIPs are bound to", lookDevice},
		{"bridge", "whether iptables sees what pods on one bridge send each other", lookBridge},
		{"arp", "who answers ARP for addresses of load balancers", lookARP},
		{"iptables", "the variant of iptables in use, and rules of the other one", lookIPTables},
		{"forward-policy", "chains FORWARD that drop by default", lookForwardPolicy},
		{"input-policy", "chains INPUT that drop by default, before IPVS", lookInputPolicy},
		{"output-policy", "chains OUTPUT that drop by default, behind IPVS", lookOutputPolicy},
		{"conntrack", "room for tracked connections, and the size of their hash table", lookConntrack},
		{"kube-proxy", "a kube-proxy that runs, and what one has left", lookKubeProxy},
		{"ipvs-users", "virtual servers of others, and keepalived", lookIPVSUsers},
		{"clashes", "network plugins and firewalls that do not go with Fairlead", lookClashes},
		{"source", "the API server, and what Fairlead may read there; or the directory of manifests", lookSource},
		{"clock", "this node's clock against the API server's", lookClock},
		{"daemon", "whether the daemon runs, and is content", lookDaemon},
	}
}

// Examine makes all checks, and returns what they found with the worst first. It reads files, and asks the daemon.
func Examine(h *Host) (all []Finding) {
	for _, c := range Checks() {
		for _, f := range c.look(h) {
			f.Check = c.Name
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b Finding) int { return cmp.Compare(a.Verdict.rank(), b.Verdict.rank()) })
	return all
}

func (v Verdict) rank() int { return slices.Index(Verdicts(), v) }

// Count counts the findings with a verdict.
func Count(all []Finding, v Verdict) (n int) {
	for _, f := range all {
		if f.Verdict == v {
			n++
		}
	}
	return n
}

// one is the only finding of a check.
func one(v Verdict, do, format string, args ...any) []Finding {
	return []Finding{{Verdict: v, Do: do, Evidence: fmt.Sprintf(format, args...)}}
}

// ok is the only finding of a check that has nothing to complain of.
func ok(format string, args ...any) []Finding { return one(OK, "", format, args...) }

// unknown is the only finding of a check that could not look.
func unknown(do, format string, args ...any) []Finding {
	return one(Unknown, cmp.Or(do, "run it as root, on the node or in the daemon's Pod"), format, args...)
}
