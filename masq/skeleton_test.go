package masq

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/fwmark"
	"github.com/fairlead-lb/fairlead/internal/kerneltest"
)

var marks = fwmark.Range{Base: 0x50000000, Mask: 0x0ff0307f}

var cidrs = Options{MasqueradeBit: 14, Marks: marks, Pods: Pods{CIDRs: []netip.Prefix{
	netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/64"),
}}}

var optionsByName = map[string]Options{
	"none":            {MasqueradeBit: 14, Marks: marks},
	"bit0":            {MasqueradeBit: 0, Marks: marks},
	"bit31":           {MasqueradeBit: 31, Marks: marks},
	"cidr":            cidrs,
	"cidr-ipv4-only":  {MasqueradeBit: 14, Marks: marks, Pods: Pods{CIDRs: cidrs.Pods.CIDRs[:1]}},
	"bridge":          {MasqueradeBit: 14, Marks: marks, Pods: Pods{Bridge: "cni0"}},
	"prefix":          {MasqueradeBit: 14, Marks: marks, Pods: Pods{InterfacePrefix: "veth"}},
	"masqueradeall":   {MasqueradeBit: 14, Marks: marks, MasqueradeAll: true},
	"other-marks":     {MasqueradeBit: 14, Marks: fwmark.Range{Base: 0x100, Mask: 0xff}},
	"no-marks":        {MasqueradeBit: 14},
	"no-random-fully": {MasqueradeBit: 14, Marks: marks},
}

func TestSkeleton(t *testing.T) {
	for name, o := range optionsByName {
		for _, f := range []Family{IPv4, IPv6} {
			t.Run(fmt.Sprint(name, "-", f), func(t *testing.T) {
				kerneltest.Golden(t, fmt.Sprintf("skeleton/%s-%s.txt", name, f), saved(Skeleton(f, o, name != "no-random-fully")))
			})
		}
	}
}

// saved returns chains much as iptables-save would.
func saved(chains []Chain) string {
	var out strings.Builder
	for _, table := range []string{"mangle", "nat", "filter"} {
		fmt.Fprintf(&out, "*%s\n", table)
		for _, c := range chains {
			if c.Table != table {
				continue
			}
			if !c.BuiltIn {
				fmt.Fprintf(&out, ":%s\n", c.Name)
			}
			for _, rule := range c.Rules {
				fmt.Fprintf(&out, "-A %s %s\n", c.Name, quoted(rule.Spec()))
			}
		}
	}
	return out.String()
}

// TestACommentTellsEverythingThatVaries: a rule is known by its comment alone, so two rules for the
// same place with one comment must be the same rule.
func TestACommentTellsEverythingThatVaries(t *testing.T) {
	type place struct {
		family                Family
		table, chain, comment string
	}
	seen := map[place]string{}
	for name, o := range optionsByName {
		for _, f := range []Family{IPv4, IPv6} {
			for _, c := range Skeleton(f, o, name != "no-random-fully") {
				for _, rule := range c.Rules {
					at, args := place{f, c.Table, c.Name, rule.Comment}, strings.Join(rule.Args, " ")
					if before, ok := seen[at]; ok && before != args {
						t.Errorf("%+v is both\n%s and\n%s", at, before, args)
					}
					seen[at] = args
				}
			}
		}
	}
}

func TestChainsComeBeforeTheRulesThatLeadThere(t *testing.T) {
	known := map[string]bool{}
	for _, c := range Skeleton(IPv4, cidrs, true) {
		known[c.Table+" "+c.Name] = true
		for _, rule := range c.Rules {
			target := rule.Args[len(rule.Args)-1]
			if (strings.HasPrefix(target, "FAIRLEAD-") || strings.HasPrefix(target, "KUBE-")) && !known[c.Table+" "+target] {
				t.Errorf("%s %s leads to %s, which comes later", c.Table, c.Name, target)
			}
		}
	}
}
