package doctor

import (
	"errors"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/takeover"
)

const docker = `*nat
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
COMMIT
`

const kubelets = `*filter
:FORWARD ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
-A INPUT -j KUBE-FIREWALL
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -j DROP
COMMIT
`

func TestIPTables(t *testing.T) {
	legacy := func(name, save string) func(*Host, tree) {
		return func(h *Host, _ tree) { h.Tables.Value[legacy4(name)] = save }
	}
	runCases(t, "iptables", []nodeCase{
		{"one variant", func(*Host, tree) {}, []finding{{OK, "Fairlead's variant is nft", ""}}},
		{"somebody else's rules in the other", legacy("nat", docker), []finding{{Warning, "1 rules for IPv4 are in the variant legacy", "iptables-legacy -t nat -F"}}},
		{"the kubelet's in the other", legacy("filter", kubelets), []finding{{OK, "no rules", ""}}},
		{"Fairlead's in both", legacy("filter", ourFilter), []finding{{Problem, "2 of Fairlead's rules for IPv4 are in the variant legacy, too",
			`iptables-legacy-save | grep -v -e FAIRLEAD- -e '"fairlead: ' | iptables-legacy-restore`}}},
		{"the image has the other variant", func(h *Host, _ tree) {
			h.Tables.Value = map[takeover.Table]string{legacy4("filter"): ourFilter, {Variant: takeover.NFT, Family: masq.IPv6, Name: "nat"}: docker}
		}, []finding{{Warning, "variant of iptables is legacy, and 1 rules for IPv6 are in the variant nft", "ip6tables-nft -t nat -F"}}},
		{"no program", func(h *Host, _ tree) { h.Program.Err = errors.New("not found") }, []finding{{Problem, "not found", "apt-get install iptables"}}},
		{"not all can be listed", func(h *Host, _ tree) { h.Tables.Err = errors.New("its programs are not installed") }, []finding{{Unknown, "not installed", "iptables-legacy-save"}}},
	})
}

func TestForwardPolicy(t *testing.T) {
	drop := func(save string) string { return strings.Replace(save, ":FORWARD ACCEPT", ":FORWARD DROP", 1) }
	runCases(t, "forward-policy", []nodeCase{
		{"drop, with Fairlead's rule", func(h *Host, _ tree) { h.Tables.Value[nft4("filter")] = drop(ourFilter) },
			[]finding{{Note, "answers of endpoints pass", "iptables-nft -P FORWARD ACCEPT"}}},
		{"drop, without", func(h *Host, _ tree) { h.Tables.Value[nft4("filter")] = drop(kubelets) }, []finding{{Warning, "answers of endpoints, too", "fairlead run"}}},
		{"drop, in the other variant", func(h *Host, _ tree) { h.Tables.Value[legacy4("filter")] = drop(kubelets) },
			[]finding{{Problem, "in the variant nft: it does not count here", "iptables-legacy -P FORWARD ACCEPT"}}},
		{"no table", func(h *Host, _ tree) { clear(h.Tables.Value) }, []finding{{OK, "no table filter", ""}}},
		{"not known", func(h *Host, _ tree) { clear(h.Tables.Value); h.Tables.Err = errors.New("EPERM") }, []finding{{Unknown, "EPERM", "iptables -S FORWARD"}}},
	})
}

func TestInputPolicy(t *testing.T) {
	drop := func(save string) string { return strings.Replace(save, ":INPUT ACCEPT", ":INPUT DROP", 1) }
	const accepts = "-A INPUT -m set --match-set FAIRLEAD-SERVED dst,dst -j ACCEPT\nCOMMIT"
	runCases(t, "input-policy", []nodeCase{
		{"accept", func(*Host, tree) {}, []finding{{OK, "INPUT drops nothing for Services by default in any of 1 tables", ""}}},
		{"drop", func(h *Host, _ tree) { h.Tables.Value[nft4("filter")] = drop(ourFilter) },
			[]finding{{Warning, "table filter (IPv4, nft) drops by default, and IPVS comes behind it", "iptables-nft -I INPUT -m set --match-set FAIRLEAD-SERVED dst,dst -j ACCEPT"}}},
		{"drop, but for Services", func(h *Host, _ tree) {
			h.Tables.Value[nft4("filter")] = strings.Replace(drop(ourFilter), "COMMIT", accepts, 1)
		}, []finding{{OK, "drops nothing for Services", ""}}},
		{"drop, for IPv6", func(h *Host, _ tree) {
			h.Tables.Value[takeover.Table{Variant: takeover.Legacy, Family: masq.IPv6, Name: "filter"}] = drop(ourFilter)
		}, []finding{{Warning, "IPv6, legacy", "ip6tables-legacy -I INPUT -m set --match-set FAIRLEAD-6-SERVED dst,dst -j ACCEPT"}}},
		{"no table", func(h *Host, _ tree) { clear(h.Tables.Value) }, []finding{{OK, "no table filter", ""}}},
		{"not known", func(h *Host, _ tree) { clear(h.Tables.Value); h.Tables.Err = errors.New("EPERM") }, []finding{{Unknown, "EPERM", "iptables -S INPUT"}}},
	})
}

func TestOutputPolicy(t *testing.T) {
	drop := func(save string) string { return strings.Replace(save, ":OUTPUT ACCEPT", ":OUTPUT DROP", 1) }
	const accepts = "-A OUTPUT -m ipvs --ipvs -j ACCEPT\nCOMMIT"
	runCases(t, "output-policy", []nodeCase{
		{"accept", func(*Host, tree) {}, []finding{{OK, "OUTPUT drops nothing for Services by default in any of 1 tables", ""}}},
		{"drop", func(h *Host, _ tree) { h.Tables.Value[nft4("filter")] = drop(ourFilter) },
			[]finding{{Warning, "OUTPUT of table filter (IPv4, nft) drops by default, and IPVS comes before it", "iptables-nft -I OUTPUT -m ipvs --ipvs -j ACCEPT"}}},
		{"drop, but for Services", func(h *Host, _ tree) {
			h.Tables.Value[nft4("filter")] = strings.Replace(drop(ourFilter), "COMMIT", accepts, 1)
		}, []finding{{OK, "drops nothing for Services", ""}}},
	})
}

func TestConntrack(t *testing.T) {
	const dir = "proc/sys/net/netfilter/nf_conntrack_"
	count := func(n string) func(*Host, tree) { return func(_ *Host, files tree) { files.put(dir+"count", n) } }
	runCases(t, "conntrack", []nodeCase{
		{"nearly full", count("110000"), []finding{{Warning, "110000 of at most 131072 connections are tracked (83 %)", "nf_conntrack_max=262144"}}},
		{"full", count("131072"), []finding{{Problem, "(100 %)", "nf_conntrack_max=262144"}}},
		{"small table", func(_ *Host, files tree) { files.put("sys/module/nf_conntrack/parameters/hashsize", "1024") },
			[]finding{{Note, "1024 buckets", "echo 32768 > /sys/module/nf_conntrack/parameters/hashsize"}}},
		{"no limit", func(_ *Host, files tree) { files.put(dir+"max", "0") }, []finding{{OK, "without a limit", ""}}},
		{"not loaded", func(_ *Host, files tree) { delete(files, dir+"count") }, []finding{{Unknown, "cannot read", "modprobe nf_conntrack"}}},
		{"half there", func(_ *Host, files tree) { delete(files, dir+"max") }, []finding{{Unknown, "nf_conntrack_max", "as root"}}},
	})
}
