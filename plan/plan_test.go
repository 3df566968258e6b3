package plan

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

var (
	vip = netip.MustParseAddr("10.96.0.10")
	key = ipvs.Key{Addr: netip.AddrPortFrom(vip, 80), Protocol: ipvs.TCP}
	pod = netip.MustParseAddrPort("10.1.0.1:8080")
)

// recorder returns one over copies of these.
func recorder(t *testing.T, servers *ipvs.Fake, device string) *Recorder {
	t.Helper()
	state, err := Read(servers, dummyif.NewFake(), masq.NewFake())
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRecorder(state, device, func(scheduler string) error { return errors.New("no " + scheduler) })
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func text(t *testing.T, p *Plan) string {
	t.Helper()
	var out strings.Builder
	if err := p.Text(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestWhatSucceedsIsTakenDown, in an order that is the same each time, and on the copy alone.
func TestWhatSucceedsIsTakenDown(t *testing.T) {
	there := ipvs.NewFake()
	other := ipvs.Key{Addr: netip.AddrPortFrom(vip, 79), Protocol: ipvs.TCP}
	there.Apply([]ipvs.Op{{Verb: ipvs.AddServer, Key: other, Server: server("rr")}})
	before := there.Dump()
	r := recorder(t, there, "odd;name")
	if err := r.IPVS().ProbeScheduler("mh"); err == nil || err.Error() != "no mh" {
		t.Errorf("probe: %v", err)
	}
	errs := r.IPVS().Apply([]ipvs.Op{
		{Verb: ipvs.AddServer, Key: key, Server: server("rr")},
		{Verb: ipvs.AddReal, Key: key, Real: pod, Value: ipvs.RealServer{Weight: 1}},
		{Verb: ipvs.DeleteReal, Key: key, Real: netip.MustParseAddrPort("10.1.0.9:8080")}, // is not there
		{Verb: ipvs.DeleteServer, Key: other},
	})
	if errs[2] == nil || errs[0] != nil || errs[1] != nil || errs[3] != nil {
		t.Errorf("errors: %v", errs)
	}
	if _, err := r.Dummyif().Ensure(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Dummyif().Ensure(); err != nil {
		t.Fatal(err)
	}
	r.Dummyif().Apply([]dummyif.Op{
		{Verb: dummyif.Bind, Binding: dummyif.Binding{Addr: netip.MustParseAddr("fd00::a")}},
		{Verb: dummyif.Bind, Binding: dummyif.Binding{Addr: vip}},
	})
	p, err := r.Plan()
	if err != nil {
		t.Fatal(err)
	}
	p.Name(func(k ipvs.Key) string {
		if k == key {
			return "ns/web\nreboot"
		}
		return ""
	})
	want := `# ipvs: virtual servers and their real servers
ipvsadm -D -t 10.96.0.10:79
ipvsadm -A -t 10.96.0.10:80 -s rr # ns/web?reboot
ipvsadm -a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1 # ns/web?reboot
# dummyif: VIPs
ip link add 'odd;name' type dummy
ip link set dev 'odd;name' alias fairlead
ip link set dev 'odd;name' addrgenmode none
ip link set dev 'odd;name' up
ip addr replace 10.96.0.10/32 dev 'odd;name' scope host
ip -6 addr replace fd00::a/128 dev 'odd;name' nodad preferred_lft 0 valid_lft forever
# 9 writes: 1 ipvs delete-server, 1 ipvs add-server, 1 ipvs add-real, 4 dummyif ensure-device, 2 dummyif bind
`
	if diff := cmp.Diff(want, text(t, p)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if there.Dump() != before {
		t.Errorf("what was copied has changed:\n%s", there.Dump())
	}
}

func TestSetsAreTakenDown(t *testing.T) {
	r := recorder(t, ipvs.NewFake(), "kube-ipvs0")
	if _, err := r.Masq().EnsureSets(); err != nil {
		t.Fatal(err)
	}
	local := masq.Entry{Set: masq.Local, Addr: vip, Port: 80, Protocol: 6}
	r.Masq().Apply([]masq.Op{{Entry: local, Mark: 0xfa000002}, {Delete: true, Entry: local}})
	if _, err := r.Masq().EnsureRules(map[masq.Family][]masq.Chain{masq.IPv6: {{Table: "nat", Name: "FAIRLEAD-X"}}}); err != nil {
		t.Fatal(err)
	}
	p, err := r.Plan()
	if err != nil {
		t.Fatal(err)
	}
	got := text(t, p)
	for _, want := range []string{
		"\nipset create FAIRLEAD-LOCAL hash:ip,port family inet maxelem 1048576 skbinfo\n",
		"\nipset create FAIRLEAD-6-VIP hash:ip family inet6 maxelem 1048576\n",
		"\nipset -exist add FAIRLEAD-LOCAL 10.96.0.10,tcp:80 skbmark 0xfa000002\n",
		"\nipset del FAIRLEAD-LOCAL 10.96.0.10,tcp:80\n",
		"\nip6tables-restore --noflush <<'EOF'\n*nat\n-N FAIRLEAD-X\nCOMMIT\nEOF\n",
		"# 19 writes: 16 masq create-set, 1 masq add-entry, 1 masq delete-entry, 1 masq restore-rules\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// TestRemarksTellWhatNoCommandDoes: each is a comment, and only what would be written makes a plan not empty.
func TestRemarksTellWhatNoCommandDoes(t *testing.T) {
	for _, c := range []struct {
		plan  Plan
		empty bool
		want  string
	}{
		{Plan{}, true, "# Nothing to do: the kernel is as it should be.\n"},
		{
			Plan{Later: Later{RealServers: 2, When: "when their connections end"}}, true,
			"# then, when their connections end: 0 virtual servers and 2 real servers would be deleted, with what belongs to them\n" +
				"# Nothing to do: the kernel is as it should be.\n",
		},
		{
			Plan{KubeProxy: KubeProxy{Remove: []string{"iptables nat (IPv4, nft)", "9 ipsets"}}}, false,
			"# then, when everything is in force and no kube-proxy runs: what kube-proxy left would be removed: iptables nat (IPv4, nft), 9 ipsets\n",
		},
		{
			Plan{KubeProxy: KubeProxy{Remove: []string{"9 ipsets"}, Running: []string{"kube-proxy (process 7)"}}}, true,
			"# then, when everything is in force and no kube-proxy runs: what kube-proxy left would be removed: 9 ipsets\n" +
				"# which is left alone now, for there is kube-proxy (process 7)\n" +
				"# Nothing to do: the kernel is as it should be.\n",
		},
		{
			Plan{
				Writes: []Write{{Package: "host", Verb: "set-sysctl", Line: "sysctl -w a.b=1", Why: "because"}},
				Moved: []Moved{
					{Server: "tcp 10.96.0.10:80", Service: "ns/web", From: "mh", To: "mh", Share: 0.251},
					{Server: "tcp 10.96.0.11:80", From: "rr", To: "mh", Share: 0.001},
				},
			}, false,
			"# host: timeouts and sysctls\nsysctl -w a.b=1 # because\n" +
				"# at tcp 10.96.0.10:80 of ns/web (mh), about 25 % of the clients would meet another real server when they come again\n" +
				"# at tcp 10.96.0.11:80 (rr before, mh then), less than 1 % of the clients would meet another real server when they come again\n" +
				"# 1 write: 1 host set-sysctl\n",
		},
	} {
		if got := text(t, &c.plan); got != c.want || c.plan.Empty() != c.empty {
			t.Errorf("empty: %v\n%s", c.plan.Empty(), cmp.Diff(c.want, got))
		}
	}
}
