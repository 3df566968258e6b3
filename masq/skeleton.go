package masq

import (
	"fmt"
	"net/netip"
)

// Options shape the rules. Changing them changes rules, never their number's dependence on Services.
type Options struct {
	MasqueradeBit int  // which bit of the packet mark means "masquerade me"
	MasqueradeAll bool // masquerade all traffic to Services
	Pods          Pods // what counts as pod traffic
}

// Pods tells pod traffic from other traffic (kube-proxy: detectLocalMode). At most one of the
// fields is set; with none, only traffic that must be masqueraded to work at all is.
type Pods struct {
	CIDRs           []netip.Prefix
	Bridge          string // interface name
	InterfacePrefix string
}

// Chain is a chain and Fairlead's rules in it, in order.
type Chain struct {
	Table, Name string
	BuiltIn     bool
	Rules       []Rule
}

// Rule is one rule. Its comment is its identity: it names everything that varies, so that a rule
// is known without asking how this version of iptables would print its other arguments.
type Rule struct {
	Comment string // without CommentPrefix
	Args    []string
}

// CommentPrefix starts the comment of every rule that is Fairlead's.
const CommentPrefix = "fairlead: "

// Spec returns the rule's arguments for iptables.
func (r Rule) Spec() []string {
	return append([]string{"-m", "comment", "--comment", CommentPrefix + r.Comment}, r.Args...)
}

// Skeleton returns every rule of a family. Chains come before the rules that jump to them.
func Skeleton(f Family, o Options, randomFully bool) []Chain {
	mark := fmt.Sprintf("%#x", 1<<o.MasqueradeBit)
	return []Chain{
		{Table: "nat", Name: "KUBE-MARK-MASQ", Rules: []Rule{
			{"masquerade on the way out, mark " + mark, []string{"-j", "MARK", "--or-mark", mark}},
		}},
		{Table: "nat", Name: "FAIRLEAD-SERVICES", Rules: services(f, o)},
		{Table: "nat", Name: "KUBE-POSTROUTING", Rules: postrouting(f, mark, randomFully)},
		{Table: "filter", Name: "FAIRLEAD-INPUT", Rules: []Rule{guard(f)}},
		{Table: "filter", Name: "FAIRLEAD-FORWARD", Rules: []Rule{
			{"answers of endpoints", []string{"-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"}},
		}},
		jump("nat", "PREROUTING", "FAIRLEAD-SERVICES"),
		jump("nat", "OUTPUT", "FAIRLEAD-SERVICES"),
		jump("nat", "POSTROUTING", "KUBE-POSTROUTING"),
		jump("filter", "INPUT", "FAIRLEAD-INPUT"),
		jump("filter", "FORWARD", "FAIRLEAD-FORWARD"),
	}
}

func jump(table, from, to string) Chain {
	return Chain{Table: table, Name: from, BuiltIn: true, Rules: []Rule{{to, []string{"-j", to}}}}
}

// services marks, before routing, the traffic to Services that must come back through this node.
func services(f Family, o Options) []Rule {
	served, vips := Served.Name(f), VIPs.Name(f)
	mark := []string{"-j", "KUBE-MARK-MASQ"}
	rules := []Rule{
		{"not for a Service", []string{"-m", "set", "!", "--match-set", served, "dst,dst", "-j", "RETURN"}},
		// A process of the node that connects to a bound VIP gets that VIP as its source address,
		// and nobody else could answer to it.
		{"from the node, by a VIP", append([]string{"-m", "set", "--match-set", vips, "src"}, mark...)},
	}
	if o.MasqueradeAll {
		return append(rules, Rule{"all (masqueradeAll)", mark})
	}
	if match, text := o.Pods.except(f); match != nil {
		rules = append(rules, Rule{"not from pods, " + text, append(match, mark...)})
	}
	return rules
}

// except returns the match for traffic that is not from pods, or nil where that is not known.
func (p Pods) except(f Family) (match []string, text string) {
	for _, cidr := range p.CIDRs {
		if FamilyOf(cidr.Addr()) == f {
			return []string{"!", "-s", cidr.String()}, "source outside " + cidr.String()
		}
	}
	if p.Bridge != "" {
		return []string{"!", "-i", p.Bridge}, "not through " + p.Bridge
	}
	if p.InterfacePrefix != "" {
		return []string{"!", "-i", p.InterfacePrefix + "+"}, "not through " + p.InterfacePrefix + "+"
	}
	return nil, ""
}

// postrouting masquerades what is marked, and an endpoint that was balanced to itself: it would
// take its own packet for a stranger's, and answer past the node.
func postrouting(f Family, mark string, randomFully bool) []Rule {
	masquerade := Rule{"masquerade", []string{"-j", "MASQUERADE"}}
	if randomFully {
		masquerade = Rule{"masquerade, random ports", []string{"-j", "MASQUERADE", "--random-fully"}}
	}
	return []Rule{
		{"endpoint to itself", []string{"-m", "set", "--match-set", Hairpin.Name(f), "dst,src", "-j", "KUBE-MARK-MASQ"}},
		{"without mark " + mark, []string{"-m", "mark", "!", "--mark", mark + "/" + mark, "-j", "RETURN"}},
		{"clear mark " + mark, []string{"-j", "MARK", "--xor-mark", mark}},
		masquerade,
	}
}

// guard refuses new traffic to a VIP that no virtual server is for. A bound VIP is a local address,
// so a process that listens on 0.0.0.0 would answer there. Pings may be answered.
func guard(f Family) Rule {
	icmp := "icmp"
	if f == IPv6 {
		icmp = "ipv6-icmp" // neighbor discovery as well
	}
	return Rule{"to a VIP, not for a Service", []string{
		"!", "-p", icmp, "-m", "conntrack", "--ctstate", "NEW",
		"-m", "set", "--match-set", VIPs.Name(f), "dst",
		"-m", "set", "!", "--match-set", Served.Name(f), "dst,dst",
		"-j", "REJECT",
	}}
}
