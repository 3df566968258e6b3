package doctor

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/takeover"
)

// rules is who has how many rules in one table.
type rules struct{ ours, others int }

// countRules leaves out what has a check of its own, kube-proxy's, and what does no harm twice: the kubelet's.
func countRules(save string) (n rules) {
	for line := range strings.Lines(save) {
		switch {
		case !strings.HasPrefix(line, "-A "):
		case strings.Contains(line, masq.CommentPrefix):
			n.ours++
		case !strings.HasPrefix(line, "-A KUBE-") && !strings.Contains(line, "-j KUBE-"):
			n.others++
		}
	}
	return n
}

// programName is what to call on the command line, such as ip6tables-legacy.
func programName(v takeover.Variant, f masq.Family) string {
	if f == masq.IPv6 {
		return "ip6tables-" + string(v)
	}
	return "iptables-" + string(v)
}

func other(v takeover.Variant) takeover.Variant {
	if v == takeover.NFT {
		return takeover.Legacy
	}
	return takeover.NFT
}

// sorted lists the tables that were listed.
func (h *Host) sorted() []takeover.Table {
	return slices.SortedFunc(maps.Keys(h.Tables.Value), func(a, b takeover.Table) int { return strings.Compare(a.String(), b.String()) })
}

// variant returns the one that Fairlead uses: its rules tell, or else the program iptables. The image that the
// daemon runs in has another program than the host. Both is true where its rules are in both variants.
func (h *Host) variant() (v takeover.Variant, both bool) {
	ours := make(map[takeover.Variant]int)
	for t, save := range h.Tables.Value {
		ours[t.Variant] += countRules(save).ours
	}
	v = takeover.Legacy
	if strings.Contains(h.Program.Value, "nf_tables") {
		v = takeover.NFT
	}
	if ours[v] == 0 && ours[other(v)] > 0 {
		v = other(v)
	}
	return v, ours[takeover.NFT] > 0 && ours[takeover.Legacy] > 0
}

func lookIPTables(h *Host) []Finding {
	var found []Finding
	if h.Program.Err != nil {
		found = one(Problem, "install iptables (apt-get install iptables, dnf install iptables-nft)", "the program iptables is needed: %v", h.Program.Err)
	}
	if h.Tables.Err != nil {
		found = append(found, unknown("iptables-save; iptables-legacy-save", "cannot list all rules: %v", h.Tables.Err)...)
	}
	used, both := h.variant()
	for _, f := range []masq.Family{masq.IPv4, masq.IPv6} {
		found = append(found, h.otherVariant(used, both, f)...)
	}
	if len(found) > 0 {
		return found
	}
	return ok("%s; Fairlead's variant is %s, and the other one has no rules", h.Program.Value, used)
}

// otherVariant finds the rules of one family that are in the variant that is not used.
func (h *Host) otherVariant(used takeover.Variant, both bool, f masq.Family) (found []Finding) {
	var sum rules
	var flush []string
	program := programName(other(used), f)
	for _, t := range h.sorted() {
		if t.Variant == used || t.Family != f {
			continue
		}
		n := countRules(h.Tables.Value[t])
		sum.ours, sum.others = sum.ours+n.ours, sum.others+n.others
		if n.others > 0 {
			flush = append(flush, fmt.Sprintf("%s -t %s -F", program, t.Name))
		}
	}
	if both && sum.ours > 0 {
		do := fmt.Sprintf("%s-save | grep -v -e FAIRLEAD- -e '\"%s' | %s-restore", program, masq.CommentPrefix, program)
		found = append(found, one(Problem, do, "%d of Fairlead's rules for %s are in the variant %s, too, and those are in force with their old sets and marks",
			sum.ours, f, other(used))...)
	}
	if sum.others > 0 {
		do := fmt.Sprintf("look at them: %s-save; let who made them use the variant %s, and then: %s", program, used, strings.Join(flush, "; "))
		found = append(found, one(Warning, do, "Fairlead's variant of iptables is %s, and %d rules for %s are in the variant %s: both are in force, and what one accepts the other can drop",
			used, sum.others, f, other(used))...)
	}
	return found
}

// lookPolicy looks at each table filter in which a chain drops by default.
func (h *Host) lookPolicy(chain string, look func(t takeover.Table, save string) []Finding) []Finding {
	var found []Finding
	filters := 0
	for _, t := range h.sorted() {
		save := h.Tables.Value[t]
		if t.Name != "filter" {
			continue
		}
		filters++
		if strings.Contains(save, ":"+chain+" DROP ") {
			found = append(found, look(t, save)...)
		}
	}
	switch {
	case len(found) > 0:
		return found
	case filters == 0 && h.Tables.Err != nil:
		return unknown("iptables -S "+chain, "cannot list the rules: %v", h.Tables.Err)
	case filters == 0:
		return ok("there is no table filter")
	}
	return ok("%s drops nothing for Services by default in any of %d tables", chain, filters)
}

func lookForwardPolicy(h *Host) []Finding {
	used, _ := h.variant()
	return h.lookPolicy("FORWARD", func(t takeover.Table, save string) []Finding {
		accept := programName(t.Variant, t.Family) + " -P FORWARD ACCEPT"
		switch {
		case strings.Contains(save, "-j FAIRLEAD-FORWARD"):
			return one(Note, "where pods cannot connect: "+accept,
				"FORWARD of table %s drops by default; answers of endpoints pass, by FAIRLEAD-FORWARD", t)
		case t.Variant != used:
			return one(Problem, accept,
				"FORWARD of table %s drops by default, and Fairlead's rule that lets answers pass is in the variant %s: it does not count here", t, used)
		}
		return one(Warning, "fairlead run, which lets answers of endpoints pass; or "+accept,
			"FORWARD of table %s drops by default: answers of endpoints, too", t)
	})
}

// lookInputPolicy finds firewalls of the node itself. In kube-proxy's modes iptables and nftables nothing for a Service comes
// to INPUT; with IPVS everything does, and before IPVS.
func lookInputPolicy(h *Host) []Finding {
	return h.lookFirewall("INPUT", "IPVS comes behind it: what no rule of yours accepts reaches no Service",
		func(f masq.Family) string { return "-m set --match-set " + masq.Served.Name(f) + " dst,dst" })
}

// lookOutputPolicy finds them on the other side: what IPVS has balanced leaves through OUTPUT, whoever sent it.
func lookOutputPolicy(h *Host) []Finding {
	return h.lookFirewall("OUTPUT", "IPVS comes before it: what no rule of yours accepts reaches no endpoint",
		func(masq.Family) string { return "-m ipvs --ipvs" })
}

// lookFirewall looks at the tables in which a chain drops by default and has no rule for Services.
func (h *Host) lookFirewall(chain, why string, services func(masq.Family) string) []Finding {
	return h.lookPolicy(chain, func(t takeover.Table, save string) []Finding {
		accept := fmt.Sprintf("%s %s -j ACCEPT", chain, services(t.Family))
		if strings.Contains(save, "-A "+accept+"\n") {
			return nil
		}
		do := fmt.Sprintf("let what is for Services pass, while the daemon runs: %s -I %s", programName(t.Variant, t.Family), accept)
		return one(Warning, do, "%s of table %s drops by default, and %s", chain, t, why)
	})
}
