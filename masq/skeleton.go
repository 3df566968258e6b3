package masq

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/fwmark"
)

// Options shape the rules. Changing them changes rules, never their number's dependence on Services.
type Options struct {
	MasqueradeBit int          // which bit of the packet mark means "masquerade me"
	MasqueradeAll bool         // masquerade all traffic to Services
	Pods          Pods         // what counts as pod traffic
	Marks         fwmark.Range // of virtual servers by mark; without, nobody is led to local endpoints
}

// Pods tells pod traffic from other traffic (kube-proxy: detectLocalMode). At most one of the
// fields is set; with none, only traffic that must be masqueraded to work at all is.
type Pods struct {
	CIDRs           []netip.Prefix
	Bridge          string // interface name
	InterfacePrefix string
	Unknown         bool // somebody will say later; an earlier daemon may have known
}

// Chain is a chain and Fairlead's rules in it, in order.
type Chain struct {
	Table, Name string
	BuiltIn     bool
	Tentative   bool // where there are rules of Fairlead's, they know better
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

// Spec returns the rule's arguments for iptables. The comment comes behind what the rule asks for: to iptables-nft a comment
// is one more thing to ask the packet for (nft_compat), and most packets fail before.
func (r Rule) Spec() []string {
	target := slices.IndexFunc(r.Args, func(arg string) bool { return arg == "-j" || arg == "-g" })
	return slices.Concat(r.Args[:target], []string{"-m", "comment", "--comment", CommentPrefix + r.Comment}, r.Args[target:])
}

// Skeleton returns every rule of a family. Chains come before the rules that jump to them.
func Skeleton(f Family, o Options, randomFully bool) []Chain {
	mark := fmt.Sprintf("%#x", 1<<o.MasqueradeBit)
	return []Chain{
		{Table: "mangle", Name: "FAIRLEAD-FIREWALL", Rules: firewall(f)},
		{Table: "mangle", Name: "FAIRLEAD-OUTSIDE", Tentative: o.Pods.Unknown, Rules: outside(f, o)},
		{Table: "nat", Name: "KUBE-MARK-MASQ", Rules: []Rule{
			{"masquerade on the way out, mark " + mark, []string{"-j", "MARK", "--or-mark", mark}},
		}},
		{Table: "nat", Name: "FAIRLEAD-SERVICES", Tentative: o.Pods.Unknown, Rules: services(f, o)},
		{Table: "nat", Name: "FAIRLEAD-OUTPUT", Tentative: o.Pods.Unknown, Rules: output(f, o)},
		{Table: "nat", Name: "KUBE-POSTROUTING", Rules: postrouting(f, mark, randomFully)},
		{Table: "filter", Name: "FAIRLEAD-INPUT", Rules: guard(f)},
		{Table: "filter", Name: "FAIRLEAD-FORWARD", Rules: []Rule{
			{"answers of endpoints", []string{"-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"}},
		}},
		builtIn("mangle", "INPUT", slices.Concat([]Rule{jump("FAIRLEAD-FIREWALL").whenNew()}, toOutside())...),
		builtIn("mangle", "OUTPUT", jump("FAIRLEAD-FIREWALL").whenNew().toItself()),
		builtIn("mangle", "POSTROUTING", unmark(o)),
		builtIn("nat", "PREROUTING", jump("FAIRLEAD-SERVICES")),
		builtIn("nat", "OUTPUT", jump("FAIRLEAD-OUTPUT").toItself()),
		builtIn("nat", "POSTROUTING", jump("KUBE-POSTROUTING")),
		builtIn("filter", "INPUT", jump("FAIRLEAD-INPUT").whenNew()),
		builtIn("filter", "FORWARD", jump("FAIRLEAD-FORWARD")),
	}
}

func builtIn(table, name string, rules ...Rule) Chain {
	return Chain{Table: table, Name: name, BuiltIn: true, Rules: rules}
}

func jump(to string) Rule { return Rule{to, []string{"-j", to}} }

// whenNew is the rule for packets of new connections only. Most packets are of open ones: they are spared the jump, and
// all rules behind it.
func (r Rule) whenNew() Rule {
	return Rule{"new: " + r.Comment, append([]string{"-m", "conntrack", "--ctstate", "NEW"}, r.Args...)}
}

// toItself is the rule for packets from the node to an address of its own, as VIPs are. All others in OUTPUT are spared it,
// those among them that come from IPVS and were asked for in INPUT.
func (r Rule) toItself() Rule {
	return Rule{"to the node, " + r.Comment, append([]string{"-o", "lo"}, r.Args...)}
}

// in and notIn match a frontend by its destination address, protocol and port.
func in(s Set, f Family) []string { return []string{"-m", "set", "--match-set", s.Name(f), "dst,dst"} }

func notIn(s Set, f Family) []string {
	return []string{"-m", "set", "!", "--match-set", s.Name(f), "dst,dst"}
}

// firewall drops what it is asked about, new connections, from sources that a frontend does not admit. One that has no
// endpoint here, and may use no other, admits none. It is in mangle because IPVS takes the node's own traffic in OUTPUT
// before filter sees it, and in both hooks because it takes all other in INPUT.
func firewall(f Family) []Rule {
	return []Rule{{"source not allowed, or no endpoint here", slices.Concat(in(Restricted, f),
		[]string{"-m", "set", "!", "--match-set", Allowed.Name(f), "dst,dst,src", "-j", "DROP"})}}
}

// toOutside leads what does not come from this node to FAIRLEAD-OUTSIDE: of TCP the segments for which IPVS chooses a
// real server (tcp_conn_schedule, net/netfilter/ipvs/ip_vs_proto_tcp.c), of all else every packet, as IPVS may have
// forgotten a client that connection tracking still knows.
func toOutside() []Rule {
	return []Rule{
		{"from elsewhere, TCP that opens: FAIRLEAD-OUTSIDE",
			[]string{"!", "-i", "lo", "-p", "tcp", "--tcp-flags", "SYN,RST", "SYN", "-j", "FAIRLEAD-OUTSIDE"}},
		{"from elsewhere, not TCP: FAIRLEAD-OUTSIDE", []string{"!", "-i", "lo", "!", "-p", "tcp", "-j", "FAIRLEAD-OUTSIDE"}},
	}
}

// outside gives traffic that does not come from pods, and is not asked about this node's, to a frontend with
// externalTrafficPolicy Local, the mark of the virtual server that has the local endpoints only. Where
// there is none the mark is the one to drop by.
func outside(f Family, o Options) []Rule {
	if o.Marks == (fwmark.Range{}) {
		return nil
	}
	var rules []Rule
	if match, text := o.Pods.only(f); match != nil {
		rules = append(rules, Rule{"from pods, " + text, append(match, "-j", "RETURN")})
	}
	drop := fmt.Sprintf("%#x", o.Marks.Drop())
	return append(rules,
		Rule{"from outside: local endpoints", []string{"-j", "SET", "--map-set", Local.Name(f), "dst,dst", "--map-mark"}},
		Rule{"no local endpoint, mark " + drop, []string{"-m", "mark", "--mark", drop, "-m", "conntrack", "--ctstate", "NEW", "-j", "DROP"}})
}

// unmark takes the mark away behind IPVS, so that nobody else's rule takes it for one of its own.
func unmark(o Options) Rule {
	match := fmt.Sprintf("%#x/%#x", o.Marks.Base, ^o.Marks.Mask)
	return Rule{"behind IPVS, clear " + match, []string{"-m", "mark", "--mark", match, "-j", "MARK", "--set-xmark", "0x0/0xffffffff"}}
}

// services marks, before routing, the traffic from other machines and pods that must come back
// through this node. Under externalTrafficPolicy Local nothing of it must: pods can be answered
// directly, and clients outside meet local endpoints. What most connections are comes first: who marks goes (-g) and
// does not come back, and pods are let go by their source.
func services(f Family, o Options) []Rule {
	mark := []string{"-g", "KUBE-MARK-MASQ"}
	rules := []Rule{{"from wherever", append(in(Masquerade, f), mark...)}}
	pods, text := o.Pods.only(f)
	if pods == nil && !o.MasqueradeAll {
		return rules
	}
	others := "all (masqueradeAll)"
	if !o.MasqueradeAll {
		others = "all others"
		rules = append(rules, Rule{"from pods, " + text, append(pods, "-j", "RETURN")})
	}
	return append(rules,
		Rule{"not for a Service", append(notIn(Served, f), "-j", "RETURN")},
		Rule{"to local endpoints", append(in(Local, f), "-j", "RETURN")},
		Rule{others, mark})
}

// output marks the node's own traffic to Services. Where nobody said what a pod is, traffic to cluster
// IPs keeps its source unless that is a VIP: a process that connects to a bound VIP gets that VIP as
// its source address, and nobody else could answer to it.
func output(f Family, o Options) []Rule {
	mark := []string{"-g", "KUBE-MARK-MASQ"}
	rules := []Rule{{"not for a Service", append(notIn(Served, f), "-j", "RETURN")}}
	if match, _ := o.Pods.only(f); match != nil || o.MasqueradeAll {
		return append(rules, Rule{"from the node", mark})
	}
	return append(rules,
		Rule{"from the node, by a VIP", append([]string{"-m", "set", "--match-set", VIPs.Name(f), "src"}, mark...)},
		Rule{"from the node, from wherever", append(in(Masquerade, f), mark...)},
		Rule{"from the node, to local endpoints", append(in(Local, f), mark...)})
}

// only returns the match for traffic from pods, or nil where that is not known.
func (p Pods) only(f Family) (match []string, text string) {
	for _, cidr := range p.CIDRs {
		if FamilyOf(cidr.Addr()) == f {
			return []string{"-s", cidr.String()}, "source " + cidr.String()
		}
	}
	if p.Bridge != "" {
		return []string{"-i", p.Bridge}, "through " + p.Bridge
	}
	if p.InterfacePrefix != "" {
		return []string{"-i", p.InterfacePrefix + "+"}, "through " + p.InterfacePrefix + "+"
	}
	return nil, ""
}

// postrouting masquerades what is marked, and an endpoint that was balanced to itself: it would
// take its own packet for a stranger's, and answer past the node. Not so the node itself, which is an
// endpoint where pods use its network, such as the API server: it may well connect to itself, and does
// so all the time without any Service.
func postrouting(f Family, mark string, randomFully bool) []Rule {
	masquerade := Rule{"masquerade", []string{"-j", "MASQUERADE"}}
	if randomFully {
		masquerade = Rule{"masquerade, random ports", []string{"-j", "MASQUERADE", "--random-fully"}}
	}
	return []Rule{
		{"endpoint to itself, not the node", []string{"!", "-o", "lo", "-m", "set", "--match-set", Hairpin.Name(f), "dst,src", "-j", "KUBE-MARK-MASQ"}},
		{"without mark " + mark, []string{"-m", "mark", "!", "--mark", mark + "/" + mark, "-j", "RETURN"}},
		{"clear mark " + mark, []string{"-j", "MARK", "--xor-mark", mark}},
		masquerade,
	}
}

// guard refuses what it is asked about, new traffic, to a VIP that no virtual server is for. A bound VIP is a local
// address, so a process that listens on 0.0.0.0 would answer there. Pings may be answered. The served are asked
// about first, for most of what is new is for a Service. Load balancers may ask for a Service's health at the node and at
// the VIP, for some leave the destination as it is (kubernetes/kubernetes 117621); as with kube-proxy, the node's
// firewall does not keep them from it.
func guard(f Family) []Rule {
	icmp := "icmp"
	if f == IPv6 {
		icmp = "ipv6-icmp" // neighbor discovery as well
	}
	return []Rule{
		{"for a Service", append(in(Served, f), "-j", "RETURN")},
		{"for the health of a Service", slices.Concat([]string{"-p", "tcp"}, in(Health, f), []string{"-j", "ACCEPT"})},
		{"not for a Service, to a VIP", []string{"!", "-p", icmp, "-m", "set", "--match-set", VIPs.Name(f), "dst", "-j", "REJECT"}},
	}
}
