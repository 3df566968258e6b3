package shadow

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// text is a state, one line for each frontend.
func (s State) text() string {
	var out strings.Builder
	for _, f := range frontends(s) {
		out.WriteString(f.String())
		for _, e := range s[f].without(nil) {
			out.WriteString(" " + e.String())
		}
		out.WriteString("\n")
	}
	return out.String()
}

// TestModeIPTablesIsRead reads what kube-proxy 1.37 has written.
func TestModeIPTablesIsRead(t *testing.T) {
	save, err := os.ReadFile("../takeover/testdata/iptables-nat.txt")
	if err != nil {
		t.Fatal(err)
	}
	state := make(State)
	FromIPTables(string(save), false, state)
	golden, err := os.ReadFile("testdata/iptables.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), state.text()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestLocalAndRestrictedServicesAreRead has a Service with internalTrafficPolicy Local, and one with source ranges.
func TestLocalAndRestrictedServicesAreRead(t *testing.T) {
	state := make(State)
	FromIPTables(`*nat
-A KUBE-EXT-BBBBBBBBBBBBBBBB -j KUBE-SVC-BBBBBBBBBBBBBBBB
-A KUBE-FW-BBBBBBBBBBBBBBBB -s 192.168.77.0/24 -m comment --comment "ns/ranges loadbalancer IP" -j KUBE-EXT-BBBBBBBBBBBBBBBB
-A KUBE-FW-BBBBBBBBBBBBBBBB -m comment --comment "other traffic to ns/ranges will be dropped by KUBE-PROXY-FIREWALL"
-A KUBE-SEP-AAAAAAAAAAAAAAAA -p tcp -m tcp -j DNAT --to-destination 10.1.0.1:8080
-A KUBE-SEP-BBBBBBBBBBBBBBBB -p tcp -m tcp -j DNAT --to-destination 10.1.0.2:8080
-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m comment --comment "ns/local cluster IP" -m tcp --dport 80 -j KUBE-SVL-AAAAAAAAAAAAAAAA
-A KUBE-SERVICES -d 203.0.113.1/32 -p tcp -m comment --comment "ns/ranges loadbalancer IP" -m tcp --dport 80 -j KUBE-FW-BBBBBBBBBBBBBBBB
-A KUBE-SVC-BBBBBBBBBBBBBBBB -j KUBE-SEP-BBBBBBBBBBBBBBBB
-A KUBE-SVL-AAAAAAAAAAAAAAAA -j KUBE-SEP-AAAAAAAAAAAAAAAA
`, false, state)
	want := "tcp 10.96.0.10:80 10.1.0.1:8080\ntcp 203.0.113.1:80 10.1.0.2:8080\n"
	if diff := cmp.Diff(want, state.text()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// nft is what kube-proxy 1.37 writes for a Service with session affinity, which has a chain for each endpoint, one
// without, which has a map, and one with a single endpoint.
const nft = `{"nftables": [
 {"metainfo": {"version": "1.0.6"}},
 {"map": {"family": "ip", "name": "service-ips", "table": "kube-proxy", "elem": [
   [{"concat": ["10.96.0.10", "tcp", 80]}, {"goto": {"target": "service-ABC-ns/web/tcp/http"}}],
   [{"concat": ["10.96.0.12", "tcp", 80]}, {"goto": {"target": "service-MAP-ns/map/tcp/http"}}],
   [{"concat": ["10.96.0.13", "tcp", 80]}, {"goto": {"target": "service-ONE-ns/one/tcp/http"}}],
   [{"concat": ["203.0.113.1", "tcp", 80]}, {"goto": {"target": "external-ABC-ns/web/tcp/http"}}]]}},
 {"map": {"family": "ip", "name": "service-nodeports", "table": "kube-proxy", "elem": [
   [{"concat": ["tcp", 30080]}, {"goto": {"target": "external-ABC-ns/web/tcp/http"}}]]}},
 {"map": {"family": "ip", "name": "no-endpoint-services", "elem": [[{"concat": ["10.96.0.11", "udp", 53]}, {"drop": null}]]}},
 {"rule": {"chain": "external-ABC-ns/web/tcp/http", "expr": [{"jump": {"target": "mark-for-masquerade"}}]}},
 {"rule": {"chain": "external-ABC-ns/web/tcp/http", "expr": [{"goto": {"target": "service-ABC-ns/web/tcp/http"}}]}},
 {"rule": {"chain": "service-ABC-ns/web/tcp/http", "expr": [{"vmap": {"key": {"numgen": {"mode": "random", "mod": 2, "offset": 0}},
   "data": {"set": [[0, {"goto": {"target": "endpoint-D-ns/web/tcp/http__10.1.0.1/8080"}}], [1, {"goto": {"target": "endpoint-E-ns/web/tcp/http__10.1.0.2/8080"}}]]}}}]}},
 {"rule": {"chain": "endpoint-D-ns/web/tcp/http__10.1.0.1/8080", "expr": [{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "10.1.0.1"}}, {"jump": {"target": "mark-for-masquerade"}}]}},
 {"rule": {"chain": "endpoint-D-ns/web/tcp/http__10.1.0.1/8080", "expr": [{"dnat": {"addr": "10.1.0.1", "port": 8080}}]}},
 {"rule": {"chain": "endpoint-E-ns/web/tcp/http__10.1.0.2/8080", "expr": [{"dnat": {"addr": "10.1.0.2", "port": 8080}}]}},
 {"rule": {"chain": "service-MAP-ns/map/tcp/http", "expr": [{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "tcp"}},
   {"dnat": {"family": "ip", "addr": {"map": {"key": {"numgen": {"mode": "random", "mod": 2, "offset": 0}}, "data": {"set": [[0, {"concat": ["10.1.0.1", 8080]}], [1, {"concat": ["10.1.0.2", 8081]}]]}}}}}]}},
 {"rule": {"chain": "service-ONE-ns/one/tcp/http", "expr": [{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "tcp"}}, {"dnat": {"addr": "10.1.0.3", "port": 8080}}]}}
]}`

func TestModeNFTablesIsRead(t *testing.T) {
	state := make(State)
	if err := FromNFTables([]byte(nft), false, state); err != nil {
		t.Fatal(err)
	}
	want := `tcp node port 30080 (IPv4) 10.1.0.1:8080 10.1.0.2:8080
tcp 10.96.0.10:80 10.1.0.1:8080 10.1.0.2:8080
tcp 10.96.0.12:80 10.1.0.1:8080 10.1.0.2:8081
tcp 10.96.0.13:80 10.1.0.3:8080
tcp 203.0.113.1:80 10.1.0.1:8080 10.1.0.2:8080
`
	if diff := cmp.Diff(want, state.text()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, bad := range []string{"", "{", `{"nftables": [{"map": {"name": "service-ips", "elem": [[1, 2]]}}]}`,
		`{"nftables": [{"map": {"name": "service-ips", "elem": [[{"concat": ["x", 1]}, {}]]}}]}`} {
		if err := FromNFTables([]byte(bad), false, make(State)); err == nil {
			t.Errorf("%q is read without an error", bad)
		}
	}
}

func FuzzFromIPTables(f *testing.F) {
	f.Add("*nat\n-A KUBE-SERVICES -d 10.0.0.1/32 -p tcp -m comment --comment \"a \\\" b\" -m tcp --dport 80 -j KUBE-SVC-A\n-A KUBE-SVC-A -j KUBE-SVC-A")
	f.Fuzz(func(t *testing.T, save string) {
		state := make(State)
		FromIPTables(save, false, state)
		for frontend := range state {
			if frontend.Protocol == 0 || !frontend.Addr.IsValid() {
				t.Errorf("%v is no frontend", frontend)
			}
		}
	})
}

func FuzzFromNFTables(f *testing.F) {
	f.Add([]byte(nft))
	f.Fuzz(func(_ *testing.T, text []byte) { _ = FromNFTables(text, true, make(State)) })
}

func TestCompare(t *testing.T) {
	at := func(addr string, port uint16) Frontend { return Frontend{netip.MustParseAddr(addr), port, ipvs.TCP} }
	one, two, three := netip.MustParseAddrPort("10.1.0.1:80"), netip.MustParseAddrPort("10.1.0.2:80"), netip.MustParseAddrPort("10.1.0.3:80")
	theirs, ours := make(State), Ours{make(State), make(map[Frontend]string), make(map[Frontend]string)}
	for _, c := range []struct {
		frontend      Frontend
		service       string
		theirs, ours  []netip.AddrPort
		skipped, none bool // none: Fairlead has no such frontend
	}{
		{frontend: at("10.96.0.1", 80), service: "ns/same", theirs: []netip.AddrPort{two, one}, ours: []netip.AddrPort{one, two}},
		{frontend: at("10.96.0.2", 80), service: "ns/other", theirs: []netip.AddrPort{one, three}, ours: []netip.AddrPort{one, two}},
		{frontend: at("10.96.0.3", 80), service: "ns/none"},
		{frontend: at("10.96.0.4", 80), theirs: []netip.AddrPort{one}, none: true},
		{frontend: at("0.0.0.0", 30080), service: "ns/local", theirs: []netip.AddrPort{one}, ours: []netip.AddrPort{two}, skipped: true},
	} {
		if c.theirs != nil {
			theirs.Add(c.frontend, c.theirs...)
		}
		if !c.none {
			ours.State.Add(c.frontend, c.ours...)
			ours.Services[c.frontend] = c.service
		}
		if c.skipped {
			ours.Skip[c.frontend] = "by mark"
		}
	}
	r := Compare("ipvs", theirs, ours)
	var out strings.Builder
	if err := r.Write(&out); err != nil {
		t.Fatal(err)
	}
	want := `kube-proxy, mode ipvs: 4 frontends of 4 Services compared, 2 the same, 2 differ, 1 not compared

(no Service that Fairlead serves)  tcp 10.96.0.4:80
  only kube-proxy   10.1.0.1:80

ns/other  tcp 10.96.0.2:80
  only kube-proxy   10.1.0.3:80
  only Fairlead     10.1.0.2:80

not compared: ns/local  tcp node port 30080 (IPv4): by mark
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r.Parity() {
		t.Error("parity, with two differences")
	}
}
