package doctor

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/takeover"
)

// tree is the files of a made-up node, by path.
type tree fstest.MapFS

func (t tree) put(name, text string) { t[name] = &fstest.MapFile{Data: []byte(text + "\n")} }

// node is a made-up node that nothing is wrong with: 6.1, IPVS loaded, a daemon that is content.
func node() (*Host, tree) {
	files := make(tree)
	for name, text := range map[string]string{
		"proc/thread-self/net/ip_vs":                  "",
		"sys/module/ip_vs/parameters/conn_tab_bits":   "12",
		"proc/sys/net/ipv4/vs/run_estimation":         "1",
		"proc/sys/net/ipv4/vs/conntrack":              "1",
		"proc/sys/net/ipv4/vs/conn_reuse_mode":        "1",
		"proc/sys/net/ipv4/ip_forward":                "1",
		"proc/sys/net/ipv6/conf/all/forwarding":       "1",
		"proc/sys/net/ipv4/conf/all/rp_filter":        "0",
		"proc/sys/net/ipv4/conf/eth0/rp_filter":       "0",
		"proc/sys/net/ipv4/conf/eth1.5/rp_filter":     "2",
		"proc/sys/net/ipv4/conf/cali1/rp_filter":      "1",
		"proc/sys/net/ipv4/conf/all/arp_ignore":       "0",
		"proc/sys/net/ipv4/conf/all/arp_announce":     "0",
		"proc/sys/net/netfilter/nf_conntrack_count":   "1000",
		"proc/sys/net/netfilter/nf_conntrack_max":     "131072",
		"sys/module/nf_conntrack/parameters/hashsize": "32768",
		"proc/modules":                                "ip_vs 200704 2 ip_vs_rr, Live 0x0\nip_vs_rr 16384 1 - Live 0x0\nip_set 61440 0 - Live 0x0\nxt_set 16384 2 - Live 0x0",
		"lib/modules/6.1.0-1/modules.builtin":         "kernel/net/netfilter/nf_conntrack.ko",
		"lib/modules/6.1.0-1/modules.dep":             "kernel/drivers/net/dummy.ko:\nkernel/net/netfilter/ipset/ip_set_hash_ip.ko.xz: kernel/x.ko\nkernel/ip_set_hash_ipport.ko:\nkernel/ip_set_hash_netnet.ko:\nkernel/ip_set_hash_ipportnet.ko:",
		"proc/2/comm":                                 "kthreadd",
		"proc/7/comm":                                 "fairlead",
		"proc/7/cmdline":                              "fairlead\x00run\x00",
		"proc/sys/net/bridge/bridge-nf-call-iptables": "1",
		"proc/sys/net/ipv4/conf/kube-ipvs0/rp_filter": "1",
		"proc/sys/net/ipv4/conf/br0/rp_filter":        "0",
	} {
		files.put(name, text)
	}
	return &Host{
		Files: fstest.MapFS(files), Release: "6.1.0-1",
		Want: Want{Scheduler: "rr", Device: "kube-ipvs0", Estimation: "auto", RemoveKubeProxy: true, Sysctls: []Sysctl{
			{"net/ipv4/vs/conntrack", "1", "balanced connections are masqueraded"}, {"net/ipv4/ip_forward", "1", "packets go on to pods"},
		}},
		Servers: Answer[[]Server]{Value: []Server{{Key: key("tcp 10.96.0.10:53"), Scheduler: "rr", Ours: true, Reals: 2, Connections: 10}}},
		Devices: Answer[[]Device]{Value: []Device{
			{Name: "lo", Type: "device"}, {Name: "eth0", Type: "device"}, {Name: "eth1.5", Type: "vlan"}, {Name: "cali1", Type: "veth"},
			{Name: "br0", Type: "bridge"}, {Name: "veth9", Type: "veth", Port: true}, {Name: "kube-ipvs0", Type: "dummy"},
		}},
		Program: Answer[string]{Value: "iptables v1.8.9 (nf_tables)"},
		Tables:  Answer[map[takeover.Table]string]{Value: map[takeover.Table]string{nft4("filter"): ourFilter}},
		Source:  Source{Name: "API server https://192.0.2.1:6443", API: true, Configured: true},
		Daemon:  func() error { return nil },
	}, files
}

const ourFilter = `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:FAIRLEAD-FORWARD - [0:0]
-A FORWARD -m comment --comment "fairlead: FAIRLEAD-FORWARD" -j FAIRLEAD-FORWARD
-A FAIRLEAD-FORWARD -m comment --comment "fairlead: answers of endpoints" -j ACCEPT
COMMIT
`

func nft4(name string) takeover.Table {
	return takeover.Table{Variant: takeover.NFT, Family: masq.IPv4, Name: name}
}

func legacy4(name string) takeover.Table {
	return takeover.Table{Variant: takeover.Legacy, Family: masq.IPv4, Name: name}
}

// key reads a virtual server's name.
func key(text string) ipvs.Key {
	_, addr, _ := strings.Cut(text, " ")
	return ipvs.Key{Addr: addrPort(addr), Protocol: ipvs.TCP}
}

// finding is what a check is to find: its verdict, with these words in the evidence and in what to do.
type finding struct {
	verdict      Verdict
	evidence, do string
}

// nodeCase is a node that differs from the good one.
type nodeCase struct {
	name string
	edit func(*Host, tree)
	want []finding
}

// runCases makes one check of each node, and compares all that it finds.
func runCases(t *testing.T, check string, cases []nodeCase) {
	t.Helper()
	at := slices.IndexFunc(Checks(), func(c Check) bool { return c.Name == check })
	for _, c := range cases {
		t.Run(check+" "+c.name, func(t *testing.T) {
			h, files := node()
			c.edit(h, files)
			got := Checks()[at].look(h)
			if len(got) != len(c.want) {
				t.Fatalf("found %+v, want %d findings", got, len(c.want))
			}
			for i, want := range c.want {
				f := got[i]
				if f.Verdict != want.verdict || !strings.Contains(f.Evidence, want.evidence) || !strings.Contains(f.Do, want.do) {
					t.Errorf("found %+v, want %+v", f, want)
				}
				if (f.Do == "") != (f.Verdict == OK) {
					t.Errorf("%s, and to do is %q", f.Verdict, f.Do)
				}
			}
		})
	}
}

func TestANodeThatNothingIsWrongWith(t *testing.T) {
	h, _ := node()
	got := Examine(h)
	if len(got) != len(Checks()) {
		t.Errorf("%d findings of %d checks", len(got), len(Checks()))
	}
	for _, f := range got {
		if f.Verdict != OK || f.Evidence == "" || f.Do != "" {
			t.Errorf("%+v", f)
		}
	}
}

// TestNothingCanBeRead makes sure that no check takes what it could not see for good, or falls over it.
func TestNothingCanBeRead(t *testing.T) {
	none := errors.New("not for you")
	h := &Host{
		Files: fstest.MapFS{}, Privileges: none, Servers: Answer[[]Server]{Err: none}, Devices: Answer[[]Device]{Err: none}, Program: Answer[string]{Err: none},
		Tables: Answer[map[takeover.Table]string]{Err: none}, KubeProxy: Answer[KubeProxy]{Err: none}, Source: Source{API: true, Err: none}, Want: Want{Scheduler: "rr"},
	}
	h.Clock.Err = none
	seen := make(map[string]Verdict)
	for _, f := range Examine(h) {
		seen[f.Check] = max(seen[f.Check], f.Verdict) // "unknown" comes behind "problem"
		if f.Do == "" {
			t.Errorf("nothing to do: %+v", f)
		}
	}
	for _, c := range Checks() {
		if seen[c.Name] != Unknown {
			t.Errorf("%s is %q", c.Name, seen[c.Name])
		}
	}
}

func TestTheWorstComesFirst(t *testing.T) {
	h, files := node()
	files.put("proc/sys/net/ipv4/ip_forward", "0")
	files.put("proc/sys/net/ipv4/vs/conn_reuse_mode", "0")
	h.Clock.Err = errors.New("no Date")
	var order []Verdict
	for _, f := range Examine(h) {
		order = append(order, f.Verdict)
	}
	order = slices.Compact(order)
	if diff := cmp.Diff([]Verdict{Problem, Warning, Unknown, OK}, order); diff != "" {
		t.Error(diff)
	}
}

func TestFindingsForPeople(t *testing.T) {
	all := []Finding{{"forwarding", Problem, "it is 0", "sysctl -w a=1"}, {"kernel", OK, "Linux 6.1", ""}}
	var plain, colored strings.Builder
	if err := errors.Join(Write(&plain, all, false), Write(&colored, all, true)); err != nil {
		t.Fatal(err)
	}
	want := `problem  forwarding  it is 0
                     do: sysctl -w a=1
ok       kernel      Linux 6.1

1 problem, 0 warnings, 0 unknown, 0 notes, 1 ok
`
	if diff := cmp.Diff(want, plain.String()); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(colored.String(), "\x1b[1;31mproblem\x1b[0m  forwarding") {
		t.Errorf("%q", colored.String())
	}
}

func TestChecksHaveNamesOfTheirOwn(t *testing.T) {
	names := make(map[string]bool)
	for _, c := range Checks() {
		names[c.Name] = true
		if c.About == "" || strings.Contains(c.Name, " ") {
			t.Errorf("%+v", c)
		}
	}
	if len(names) != len(Checks()) {
		t.Errorf("names: %v", slices.Sorted(maps.Keys(names)))
	}
}
