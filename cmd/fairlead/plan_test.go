package main

import (
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/internal/kerneltest"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/plan"
)

const planned = `apiVersion: v1
kind: Service
metadata: {name: web, namespace: ns}
spec: {type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 31999, clusterIP: 10.96.0.10, ports: [{port: 80}]}
status: {loadBalancer: {ingress: [{ip: 203.0.113.1}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web, namespace: ns, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.1.0.1], nodeName: here}, {addresses: [10.1.0.2], nodeName: there}, {addresses: [10.1.0.3], nodeName: there}]
`

// planner plans from a directory of manifests over a kernel in memory.
type planner struct {
	t      *testing.T
	dir    string
	kernel plan.State // what there is
	next   plan.State // what there would be after the last plan
}

func newPlanner(t *testing.T) *planner {
	p := &planner{t: t, dir: t.TempDir(), kernel: plan.State{IPVS: ipvs.NewFake(), Dummyif: dummyif.NewFake(), Masq: masq.NewFake()}}
	p.write("web.yaml", planned)
	return p
}

func (p *planner) write(name, content string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// plan plans with these variables in the environment.
func (p *planner) plan(environ ...string) *plan.Plan {
	p.t.Helper()
	cfg, _, err := loadConfig("", nil, append(environ,
		"FAIRLEAD_SOURCE_KIND=directory", "FAIRLEAD_SOURCE_DIRECTORY="+p.dir, "FAIRLEAD_HOSTNAMEOVERRIDE=here", "FAIRLEAD_CLUSTERCIDR=10.1.0.0/16",
		"FAIRLEAD_NODEPORTADDRESSES=240.0.0.0/8")) // which no host has, whatever machine this is
	if err != nil {
		p.t.Fatal(err)
	}
	if p.next, err = plan.Read(p.kernel.IPVS, p.kernel.Dummyif, p.kernel.Masq); err != nil {
		p.t.Fatal(err)
	}
	found, err := makePlan(p.t.Context(), cfg, present{state: p.next, probe: ipvs.NewFake().ProbeScheduler}, slog.New(slog.DiscardHandler))
	if err != nil {
		p.t.Fatal(err)
	}
	return found
}

// apply makes what was planned the present.
func (p *planner) apply() { p.kernel = p.next }

// lines lists the commands of a plan without what is known about them; rules are their first line.
func linesOf(found *plan.Plan) (lines []string) {
	for _, w := range found.Writes {
		first, _, _ := strings.Cut(w.Line, "\n")
		lines = append(lines, first)
	}
	return lines
}

func (p *planner) wantLines(found *plan.Plan, want ...string) {
	p.t.Helper()
	if diff := cmp.Diff(want, linesOf(found)); diff != "" {
		p.t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestThePlanForAnEmptyKernelIsEverything, and when that is there nothing.
func TestThePlanForAnEmptyKernelIsEverything(t *testing.T) {
	p := newPlanner(t)
	found := p.plan()
	var text strings.Builder
	if err := found.Text(&text); err != nil {
		t.Fatal(err)
	}
	kerneltest.Golden(t, "plan.txt", text.String())
	if again := p.plan(); cmp.Diff(linesOf(found), linesOf(again)) != "" {
		t.Errorf("another time it is another plan:\n%s", cmp.Diff(linesOf(found), linesOf(again)))
	}
	for _, w := range found.Writes {
		if (w.Package == "ipvs" || strings.Contains(w.Line, "tcp:80")) && w.Service != "ns/web" {
			t.Errorf("%s is of %q", w.Line, w.Service)
		}
	}
	p.apply()
	if rest := p.plan(); !rest.Empty() || len(rest.Moved) > 0 || rest.Later != (plan.Later{}) {
		t.Errorf("then there is still %+v", rest)
	}
}

// TestAChangedSchedulerIsPlannedAsEdits, with the share of clients that move.
func TestAChangedSchedulerIsPlannedAsEdits(t *testing.T) {
	p := newPlanner(t)
	p.plan()
	p.apply()
	mark := markOf(t, p.kernel.IPVS)
	found := p.plan("FAIRLEAD_IPVS_SCHEDULER=mh", "FAIRLEAD_IPVS_SCHEDULERFLAGS=mh-port")
	const hold, release = "ipset add FAIRLEAD-RESTRICTED ", "ipset del FAIRLEAD-RESTRICTED " // who connects meanwhile
	p.wantLines(found,
		hold+"10.96.0.10,tcp:80", "ipvsadm -E -t 10.96.0.10:80 -s mh -b mh-port", release+"10.96.0.10,tcp:80",
		hold+"203.0.113.1,tcp:80", "ipvsadm -E -t 203.0.113.1:80 -s mh -b mh-port", release+"203.0.113.1,tcp:80",
		hold+"203.0.113.1,tcp:80", "ipvsadm -E "+mark+" -s mh -b mh-port", release+"203.0.113.1,tcp:80")
	var shares []float64
	for _, m := range found.Moved {
		if m.From != "rr" || m.To != "mh" || m.Service != "ns/web" {
			t.Errorf("%+v", m)
		}
		shares = append(shares, m.Share)
	}
	// By mark there is one local endpoint, and nobody can move. Elsewhere two thirds do.
	if diff := cmp.Diff([]int{67, 67, 0}, percents(shares)); diff != "" {
		t.Errorf("shares (-want +got):\n%s", diff)
	}
}

func percents(shares []float64) (list []int) {
	for _, share := range shares {
		list = append(list, int(share*100+0.5))
	}
	return list
}

// markOf returns ipvsadm's option for the one virtual server by mark.
func markOf(t *testing.T, servers *ipvs.Fake) string {
	t.Helper()
	_, after, _ := strings.Cut(servers.Dump(), "-A -f ")
	number, _, found := strings.Cut(after, " ")
	if !found {
		t.Fatalf("no virtual server by mark:\n%s", servers.Dump())
	}
	return "-f " + number
}

// TestWhatIsAnothersIsInvisibleToThePlan, unless it is just where a Service wants to be.
func TestWhatIsAnothersIsInvisibleToThePlan(t *testing.T) {
	p := newPlanner(t)
	foreign := []ipvs.Op{
		{Verb: ipvs.AddServer, Key: tcp("198.51.100.1:443"), Server: ipvs.VirtualServer{Scheduler: "sh"}},
		{Verb: ipvs.AddReal, Key: tcp("198.51.100.1:443"), Real: netip.MustParseAddrPort("198.51.100.2:443"), Value: ipvs.RealServer{Weight: 1}},
		{Verb: ipvs.AddServer, Key: ipvs.MarkKey(7, false), Server: ipvs.VirtualServer{Scheduler: "rr"}},
	}
	p.kernel.IPVS.Apply(foreign)
	for _, line := range linesOf(p.plan()) {
		if strings.Contains(line, "198.51.100") || strings.Contains(line, "-f 7 ") {
			t.Errorf("planned: %s", line)
		}
	}
	taken := tcp("203.0.113.1:80")
	p.kernel.IPVS.Apply([]ipvs.Op{
		{Verb: ipvs.AddServer, Key: taken, Server: ipvs.VirtualServer{Scheduler: "wlc"}},
		{Verb: ipvs.AddReal, Key: taken, Real: netip.MustParseAddrPort("10.1.0.1:8080"), Value: ipvs.RealServer{Weight: 1}},
		{Verb: ipvs.AddReal, Key: taken, Real: netip.MustParseAddrPort("10.9.9.9:1"), Value: ipvs.RealServer{Weight: 1}},
	})
	found := p.plan()
	var at []string
	for _, line := range linesOf(found) {
		if strings.HasPrefix(line, "ipvsadm") && strings.Contains(line, "203.0.113.1") {
			at = append(at, line)
		}
	}
	if diff := cmp.Diff([]string{
		"ipvsadm -a -t 203.0.113.1:80 -r 10.1.0.2:8080 -m -w 1",
		"ipvsadm -a -t 203.0.113.1:80 -r 10.1.0.3:8080 -m -w 1",
		"ipvsadm -e -t 203.0.113.1:80 -r 10.9.9.9:1 -m -w 0",
		"ipvsadm -E -t 203.0.113.1:80 -s rr", // when it has been read: to add it was refused
	}, at); diff != "" {
		t.Errorf("what is taken over is edited (-want +got):\n%s", diff)
	}
}

func tcp(addr string) ipvs.Key {
	return ipvs.Key{Addr: netip.MustParseAddrPort(addr), Protocol: ipvs.TCP}
}

// TestWhatWouldDrainIsPlannedAsThat: weight 0 now, and a word about the rest.
func TestWhatWouldDrainIsPlannedAsThat(t *testing.T) {
	p := newPlanner(t)
	p.plan("FAIRLEAD_IPVS_SCHEDULER=mh")
	p.apply()
	mark := markOf(t, p.kernel.IPVS)
	p.write("web.yaml", strings.Replace(planned, ", {addresses: [10.1.0.3], nodeName: there}", "", 1))
	found := p.plan("FAIRLEAD_IPVS_SCHEDULER=mh")
	p.wantLines(found,
		"ipvsadm -e -t 10.96.0.10:80 -r 10.1.0.3:8080 -m -w 0",
		"ipvsadm -e -t 203.0.113.1:80 -r 10.1.0.3:8080 -m -w 0")
	if len(found.Moved) != 2 || found.Moved[0].Share < 0.33 || found.Moved[0].Share > 0.45 || found.Moved[0].From != "mh" {
		t.Errorf("moved: %+v", found.Moved)
	}
	later := plan.Later{RealServers: 2, When: "when their connections end, at the latest after 15m0s"}
	if diff := cmp.Diff(later, found.Later); diff != "" {
		t.Errorf("later (-want +got):\n%s", diff)
	}

	p.write("web.yaml", "") // a file that becomes empty withdraws all at a start: it has never said anything
	found = p.plan("FAIRLEAD_IPVS_SCHEDULER=mh", "FAIRLEAD_IPVS_DRAINTIMEOUT=0")
	if later = (plan.Later{VirtualServers: 3, RealServers: 7, When: "when their connections end"}); found.Later != later {
		t.Errorf("%+v, want %+v", found.Later, later)
	}
	if lines := strings.Join(linesOf(found), "\n"); !strings.Contains(lines, "ipvsadm -e "+mark+" -r 10.1.0.1:8080 -m -w 0") || strings.Contains(lines, " -D ") {
		t.Errorf("planned:\n%s", lines)
	}

	p.write("web.yaml", "{")
	found = p.plan("FAIRLEAD_IPVS_SCHEDULER=mh")
	if later = (plan.Later{VirtualServers: 3, RealServers: 7, When: "when the source knows all objects"}); found.Later != later || !found.Empty() {
		t.Errorf("with a file that nobody can read: %+v", found)
	}
}

func TestAPlanAsJSON(t *testing.T) {
	p := newPlanner(t)
	text, err := json.Marshal(p.plan())
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Writes []map[string]string `json:"writes"`
		Moved  []any               `json:"moved"`
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"package": "ipvs", "verb": "add-real", "line": "ipvsadm -a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1", "service": "ns/web"}
	for _, w := range got.Writes {
		if w["line"] == want["line"] {
			if diff := cmp.Diff(want, w); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			want = nil
		}
	}
	if want != nil || got.Moved == nil {
		t.Errorf("in %s", text)
	}
}

// TestThePlanSaysWhatIsWrong where there is no plan.
func TestThePlanSaysWhatIsWrong(t *testing.T) {
	cfg, _, err := loadConfig("", nil, []string{"FAIRLEAD_SOURCE_KIND=directory", "FAIRLEAD_SOURCE_DIRECTORY=/nonexistent", "FAIRLEAD_IPVS_SCHEDULER=mh"})
	if err != nil {
		t.Fatal(err)
	}
	for want, probe := range map[string]func(string) error{
		"ipvs.scheduler: the kernel has no such scheduler":       func(string) error { return ipvs.ErrNoScheduler },
		"read source.directory: open /nonexistent: no such file": func(string) error { return nil },
	} {
		now := present{state: plan.State{IPVS: ipvs.NewFake(), Dummyif: dummyif.NewFake(), Masq: masq.NewFake()}, probe: probe}
		if _, err := makePlan(t.Context(), cfg, now, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
