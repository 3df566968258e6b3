package shadow

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/iptsave"
	"github.com/fairlead-lb/fairlead/ipvs"
)

// FromIPTables reads mode iptables out of table nat in what iptables-save prints of one family, into a state. Rules lead from KUBE-SERVICES and KUBE-NODEPORTS to the chain of a Service port, and from there to those
// of its endpoints, which translate. (kube-proxy, pkg/proxy/iptables/proxier.go)
func FromIPTables(save string, ipv6 bool, into State) {
	chains := make(map[string][]rule)
	for chain, rules := range iptsave.Parse(save)["nat"].Rules {
		for _, text := range rules {
			chains[chain] = append(chains[chain], parseRule(text))
		}
	}
	anywhere := netip.IPv4Unspecified()
	if ipv6 {
		anywhere = netip.IPv6Unspecified()
	}
	for _, r := range chains["KUBE-SERVICES"] {
		if vip, err := netip.ParsePrefix(r.options["-d"]); err == nil {
			r.frontend(vip.Addr(), chains, into)
		}
	}
	for _, r := range chains["KUBE-NODEPORTS"] {
		if r.options["-d"] == "" {
			r.frontend(anywhere, chains, into)
		}
	}
}

// rule is a rule's options, the last of each name.
type rule struct{ options map[string]string }

// parseRule reads the options that matter. Comments, which are in quotes, are left out.
func parseRule(text string) rule {
	r := rule{make(map[string]string)}
	fields := strings.Fields(unquoted(text))
	for i, word := range fields[:max(len(fields)-1, 0)] {
		if strings.HasPrefix(word, "-") && !(i > 0 && fields[i-1] == "!") {
			r.options[word] = fields[i+1]
		}
	}
	return r
}

// unquoted replaces what is in quotes.
func unquoted(text string) string {
	var out strings.Builder
	quoted, escaped := false, false
	for _, c := range text {
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
			out.WriteString("Q")
		case !quoted:
			out.WriteRune(c)
		}
	}
	return out.String()
}

// frontend adds the frontend that a rule is for, if it leads to a Service port.
func (r rule) frontend(addr netip.Addr, chains map[string][]rule, into State) {
	port, err := strconv.ParseUint(r.options["--dport"], 10, 16)
	protocol := protocolOf(r.options["-p"])
	target := r.options["-j"]
	if err != nil || protocol == 0 || !leadsOn(target) {
		return
	}
	into.Add(Frontend{addr, uint16(port), protocol}, behind(target, chains, nil)...)
}

// behind returns the endpoints that a chain leads to.
func behind(chain string, chains map[string][]rule, seen []string) (endpoints []netip.AddrPort) {
	if slices.Contains(seen, chain) {
		return nil
	}
	for _, r := range chains[chain] {
		if to, err := netip.ParseAddrPort(r.options["--to-destination"]); err == nil {
			endpoints = append(endpoints, to)
		}
		if target := r.options["-j"]; leadsOn(target) {
			endpoints = append(endpoints, behind(target, chains, append(seen, chain))...)
		}
	}
	return endpoints
}

// leadsOn reports whether a chain is one of a Service port (its endpoints, the local ones, for clients from outside,
// with source ranges) or of an endpoint.
func leadsOn(chain string) bool {
	return slices.ContainsFunc([]string{"SVC", "SVL", "EXT", "FW", "SEP"}, func(kind string) bool {
		return strings.HasPrefix(chain, "KUBE-"+kind+"-")
	})
}

func protocolOf(name string) ipvs.Protocol {
	for _, p := range []ipvs.Protocol{ipvs.TCP, ipvs.UDP, ipvs.SCTP} {
		if p.String() == name {
			return p
		}
	}
	return 0
}
