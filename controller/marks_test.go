package controller

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairlead-lb/fairlead/internal/fwmark"
	"github.com/fairlead-lb/fairlead/ipvs"
)

// localService makes a load balancer Service with externalTrafficPolicy Local and a UDP port beside.
func localService(n int, edits ...func(*corev1.Service)) *corev1.Service {
	svc := service(fmt.Sprint("local", n), vip(n), append([]func(*corev1.Service){
		loadBalancer(lbIP(n)), nodePort(int32(30000 + n)), externalLocal, dualStack(fmt.Sprintf("fd00:96::%x", n+1)),
	}, edits...)...)
	svc.Status.LoadBalancer.Ingress = append(svc.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: fmt.Sprintf("2001:db8::%x", n+1)})
	svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: "http", Port: 80, Protocol: corev1.ProtocolUDP, NodePort: int32(30000 + n)})
	return svc
}

func lbIP(n int) string { return fmt.Sprintf("203.0.%d.%d", n/250, n%250+1) }

func bothFamilies() []*discoveryv1.EndpointSlice {
	return []*discoveryv1.EndpointSlice{here(endpoints("10.1.0.1")), endpoints("10.1.0.2"), here(endpoints("fd00:1::1"))}
}

// marksOf returns the mark that the kernel has for each frontend.
func (r *rig) marksOf() map[string]uint32 {
	marks := make(map[string]uint32)
	entries, _ := r.masq.Entries()
	for e, mark := range entries {
		if mark != 0 {
			marks[strings.TrimPrefix(e.String(), "add ")] = mark
		}
	}
	return marks
}

// mustWriteNothing checks that no message that writes comes from what is done.
func (r *rig) mustWriteNothing(what string, do func()) {
	r.t.Helper()
	r.traced()
	rules := r.masq.Writes
	do()
	if len(r.trace) > 0 || r.masq.Writes != rules {
		r.t.Errorf("%s wrote (%d to rules or sets):\n%s", what, r.masq.Writes-rules, strings.Join(r.trace, "\n"))
	}
}

func TestARestartWithEverythingInPlaceWritesNothing(t *testing.T) {
	r := newRig(t)
	for n := range 20 {
		r.set(localService(n, sources("198.51.100.0/24", "192.0.2.0/24"), externalIPs("198.51.100.200")), bothFamilies()...)
	}
	r.set(service("cluster", "10.97.0.1", nodePort(31000), internalLocal), endpoints("10.1.0.2"))
	r.set(service("weighted", "10.97.0.2", annotated("fairlead.io/scheduler", "sh")), endpoints("10.1.0.2"))
	r.round()
	held := r.kernel()
	for range 3 {
		r.mustWriteNothing("a restart", r.restart)
		if r.kernel() != held {
			t.Fatalf("a restart left\n%s\ninstead of\n%s", r.kernel(), held)
		}
	}
	r.mustWriteNothing("an audit", func() { r.later(2 * time.Hour) })
}

func TestMarksStayWithTheirPorts(t *testing.T) {
	r := newRig(t)
	for n := range 3 {
		r.set(localService(n), bothFamilies()...)
	}
	r.round()
	marks := r.marksOf()
	stay := func(what string) {
		t.Helper()
		if now := r.marksOf(); !maps.Equal(now, marks) {
			t.Errorf("after %s the marks are\n%v\nbefore\n%v", what, now, marks)
		}
	}
	r.set(localService(1), here(endpoints("10.1.0.7", "10.1.0.8")), here(endpoints("fd00:1::7")))
	r.round()
	stay("all endpoints changed")
	r.set(localService(1, annotated("fairlead.io/scheduler", "wlc"), sticky, sources("198.51.100.0/24")), bothFamilies()...)
	r.round()
	stay("scheduler, affinity and sources changed")
	r.drained()
	stay("the drains ended")

	r.set(renamedTo("web", localService(1)), withPortName("web", bothFamilies()...)...)
	r.restart()
	stay("the ports got another name while Fairlead was down")
	r.set(renamedTo("www", localService(1)), withPortName("www", bothFamilies()...)...)
	r.mustNotTouchServersByMark("a port got another name", r.round)
	stay("the ports got another name")
	r.drained()
	stay("the drains ended")
}

func renamedTo(name string, svc *corev1.Service) *corev1.Service {
	for i := range svc.Spec.Ports {
		svc.Spec.Ports[i].Name = name
	}
	return svc
}

func withPortName(name string, slices ...*discoveryv1.EndpointSlice) []*discoveryv1.EndpointSlice {
	for _, slice := range slices {
		for i := range slice.Ports {
			slice.Ports[i].Name = &name
		}
	}
	return slices
}

func (r *rig) mustNotTouchServersByMark(what string, do func()) {
	r.t.Helper()
	r.traced()
	do()
	for _, op := range r.trace {
		if strings.Contains(op, " -f ") || strings.Contains(op, "FAIRLEAD-LOCAL") || strings.Contains(op, "FAIRLEAD-6-LOCAL") {
			r.t.Errorf("%s: %s", what, op)
		}
	}
}

// TestMarksNeverCollide: each port of each Service has its own, UDP and others apart, none is the one to
// drop by, and none of a Service that has gone is given to another as long as the kernel has it.
func TestMarksNeverCollide(t *testing.T) {
	r := newRig(t)
	of := make(map[string]string) // the Service that a frontend is of, or was
	add := func(n int) {
		svc := localService(n)
		r.set(svc, bothFamilies()...)
		of[lbIP(n)], of[svc.Status.LoadBalancer.Ingress[1].IP], of[fmt.Sprint("192.0.2.1 ", 30000+n)] = svc.Name, svc.Name, svc.Name
	}
	for n := range 200 {
		add(n)
	}
	r.round()
	check := func() {
		t.Helper()
		owners := make(map[uint32]string)
		for at, mark := range r.marksOf() {
			service, port := ownerOf(of, at)
			owner := service + " " + port
			if other, taken := owners[mark]; taken && other != owner {
				t.Fatalf("mark %#x is both %s and %s", mark, owner, other)
			}
			owners[mark] = owner
			if !testMarks.Contains(mark) || mark == testMarks.Drop() || mark&(1<<14) != 0 || testMarks.Datagram(mark) != (port == "udp") {
				t.Fatalf("%s has mark %#x", owner, mark)
			}
		}
	}
	check()
	for n := range 100 { // half of them go, and drain; others come
		r.ipvs.SetConnections(ipvs.MarkKey(r.marksOf()[fmt.Sprintf("FAIRLEAD-LOCAL %s,tcp:80", lbIP(n))], false), r.real("10.1.0.1:8080"), 1)
		r.remove(named(fmt.Sprint("local", n)))
		add(n + 200)
	}
	r.round()
	check()
	r.restart()
	check()
	r.drained()
	check()
}

// ownerOf returns which Service a frontend "SET ADDRESS,PROTOCOL:PORT" is of, and the protocol.
func ownerOf(of map[string]string, at string) (service, protocol string) {
	_, at, _ = strings.Cut(at, " ")
	addr, port, _ := strings.Cut(at, ",")
	protocol, number, _ := strings.Cut(port, ":")
	if name, ok := of[addr]; ok {
		return name, protocol
	}
	return of[addr+" "+number], protocol
}

// TestWithoutAFreeMarkClientsFromOutsideAreDropped, the Service says so, and gets a mark when there is
// one.
func TestWithoutAFreeMarkClientsFromOutsideAreDropped(t *testing.T) {
	few := fwmark.Range{Base: 0x50000000, Mask: 0x7} // a bit for UDP, and numbers 1 to 3
	r := newRig(t, func(o *Options) { o.Masq.Marks = few })
	for n := range 4 {
		r.set(service(fmt.Sprint("web", n), vip(n), loadBalancer(lbIP(n)), externalLocal), here(endpoints("10.1.0.1")), endpoints("10.1.0.2"))
		r.round()
	}
	without := func() (list []string) {
		for at, mark := range r.marksOf() {
			if mark == few.Drop() {
				list = append(list, at)
			}
		}
		return list
	}
	if got := without(); len(got) != 1 || got[0] != "FAIRLEAD-LOCAL "+lbIP(3)+",tcp:80" {
		t.Fatalf("dropped: %v", got)
	}
	if got, want := r.told(), "web3 NoFirewallMark: "; !strings.HasPrefix(got, want) || strings.Contains(got, "\n") {
		t.Errorf("events:\n%s\nwant one: %s", got, want)
	}
	if !strings.Contains(r.ipvs.Dump(), "-t "+lbIP(3)+":80 -s rr\n-a -t "+lbIP(3)+":80 -r 10.1.0.1:8080 -m -w 1\n-a -t "+lbIP(3)+":80 -r 10.1.0.2:8080 -m -w 1") {
		t.Errorf("pods and the node do not reach it:\n%s", r.ipvs.Dump())
	}
	r.audited()
	if got := r.told(); got != "" {
		t.Errorf("told again: %s", got)
	}
	r.remove(named("web1"))
	r.round()
	r.audited()
	if got := without(); len(got) != 0 {
		t.Errorf("a mark is free, and still dropped: %v", got)
	}
}

// TestAMarkLeadsOnlyWhereItsServerIs: traffic with a mark that no virtual server is for falls through to
// the plain one, un-masqueraded.
func TestAMarkLeadsOnlyWhereItsServerIs(t *testing.T) {
	r := newRig(t)
	r.refuse(withMarks("-A -f M1 -6 -s rr"))
	svc := service("web", "10.96.0.10", loadBalancer("203.0.113.1", "2001:db8::7"), externalLocal, dualStack("fd00:96::10"))
	r.set(svc, bothFamilies()...)
	r.round()
	if text := r.masq.Dump(); !strings.Contains(text, "FAIRLEAD-LOCAL") || strings.Contains(text, "FAIRLEAD-6-LOCAL") {
		t.Errorf("only the server for IPv4 is there; the sets:\n%s", text)
	}
	if text := r.kernel(); strings.Contains(text, "-t [2001:db8::7]:80") || strings.Contains(text, "inet6 2001:db8::7") {
		t.Errorf("a virtual server is there before its entries:\n%s", text)
	}
	r.refuse("")
	r.later(time.Minute)
	if text := r.kernel(); !strings.Contains(text, "FAIRLEAD-6-LOCAL 2001:db8::7,tcp:80") || !strings.Contains(text, "inet6 2001:db8::7") {
		t.Errorf("after the retry:\n%s", text)
	}
}

// TestOneFamilyOfALocalServiceGoes while the other one still has the mark.
func TestOneFamilyOfALocalServiceGoes(t *testing.T) {
	r := newRig(t)
	svc := service("web", "10.96.0.10", loadBalancer("203.0.113.1", "2001:db8::7"), externalLocal, dualStack("fd00:96::10"))
	r.set(svc, bothFamilies()...)
	r.round()
	r.set(svc, here(endpoints("10.1.0.1")), endpoints("10.1.0.2"), endpoints("fd00:1::2"))
	r.round()
	r.drained()
	if text := r.ipvs.Dump(); strings.Contains(text, " -6 ") || !strings.Contains(text, withMarks("-A -f M1 -s rr")) {
		t.Errorf("no endpoint of IPv6 is here any more, and the kernel holds\n%s", text)
	}
	r.mustBeFresh("in the end")
}

// TestForeignServersByMarkAreLeftAlone, also when they are not even far from ours.
func TestForeignServersByMarkAreLeftAlone(t *testing.T) {
	r := newRig(t)
	foreign := []ipvs.Key{ipvs.MarkKey(1, false), ipvs.MarkKey(0x50004002, true), ipvs.MarkKey(0x51000000|1<<31, false)}
	for _, k := range foreign {
		r.ipvs.Apply([]ipvs.Op{
			{Verb: ipvs.AddServer, Key: k, Server: ipvs.VirtualServer{Scheduler: "lc"}},
			{Verb: ipvs.AddReal, Key: k, Real: r.real("192.0.2.99:1"), Value: ipvs.RealServer{Weight: 5}},
		})
	}
	held := r.kernel()
	r.set(localService(0), bothFamilies()...)
	r.restart()
	r.remove(named("local0"))
	r.restart()
	r.later(2 * time.Hour)
	r.drained()
	if r.kernel() != held {
		t.Errorf("the kernel holds\n%s\nwant\n%s", r.kernel(), held)
	}
}

// TestAServerLeftByAnEarlierRangeGoes: the entry that leads there says that it is Fairlead's.
func TestAServerLeftByAnEarlierRangeGoes(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Masq.Marks = fwmark.Range{Base: 0x60000000, Mask: 0xff} })
	r.set(localService(0), bothFamilies()...)
	r.round()
	r.options = func(*Options) {}
	r.restart()
	r.drained()
	r.mustBeFresh("in the end")
}

// TestAFullSetIsAnErrorThatIsSeen, and what should be behind it is not there without it.
func TestAFullSetIsAnErrorThatIsSeen(t *testing.T) {
	for _, set := range []string{"LOCAL", "MASQ", "RESTRICTED", "ALLOWED", "SERVED", "VIP", "DROP"} {
		r := newRig(t)
		r.refuse("add FAIRLEAD-" + set + " ")
		edits := []func(*corev1.Service){loadBalancer("203.0.113.1"), sources("198.51.100.0/24"), internalLocal}
		if set == "LOCAL" {
			edits = append(edits, externalLocal)
		}
		at := "203.0.113.1"
		if set == "DROP" {
			at = "10.96.0.10"
		}
		r.set(service("web", "10.96.0.10", edits...), endpoints("10.1.0.2"))
		r.round()
		r.later(time.Minute)
		if text := r.ipvs.Dump(); set != "VIP" && strings.Contains(text, at) {
			t.Errorf("the set %s is full, and yet:\n%s", set, text)
		}
		if text := r.dummyif.Dump(); strings.Contains(text, at) {
			t.Errorf("the set %s is full, and bound: %s", set, text)
		}
		if !strings.Contains(r.log.String(), "add FAIRLEAD-"+set+" "+at) || !strings.Contains(r.log.String(), "level=ERROR") {
			t.Errorf("the set %s is full, and the log says\n%s", set, r.log)
		}
		if n := r.c.masq.Pending(); n == 0 {
			t.Errorf("the set %s is full, and nothing is pending", set)
		}
		r.refuse("")
		r.later(time.Minute)
		if got, want := renamed(r.kernel()), freshly(r.c); got != want {
			t.Errorf("when there is room in %s again, the kernel holds\n%s\nwant\n%s", set, got, want)
		}
	}
}

// TestTheHeirOfAnAddressGetsAMarkOfItsOwn as long as anything else of the one that has gone still leads to
// that one's mark: it would lead to the heir's endpoints.
func TestTheHeirOfAnAddressGetsAMarkOfItsOwn(t *testing.T) {
	r := newRig(t)
	old := service("old", "10.96.0.1", loadBalancer("203.0.113.1", "203.0.113.2"), externalLocal)
	r.set(old, here(endpoints("10.1.0.1")), endpoints("10.1.0.9"))
	r.round()
	mark := r.marksOf()["FAIRLEAD-LOCAL 203.0.113.2,tcp:80"]
	for _, at := range []string{"203.0.113.1:80", "203.0.113.2:80"} {
		r.ipvs.SetConnections(r.key(at, ipvs.TCP), r.real("10.1.0.1:8080"), 1)
	}
	r.remove(named("old"))
	r.round()
	heir := service("heir", "10.96.0.2", loadBalancer("203.0.113.1"), externalLocal)
	r.set(heir, here(endpoints("10.1.0.2")), endpoints("10.1.0.9"))
	r.round()
	r.later(time.Minute)
	marks := r.marksOf()
	if got := marks["FAIRLEAD-LOCAL 203.0.113.1,tcp:80"]; got == mark || got == 0 {
		t.Errorf("the heir has mark %#x; that of the old one, %#x, is still led to by 203.0.113.2", got, marks["FAIRLEAD-LOCAL 203.0.113.2,tcp:80"])
	}
	if text := r.ipvs.Dump(); strings.Contains(text, fmt.Sprintf("-a -f %d -r 10.1.0.2:8080", mark)) {
		t.Errorf("the heir's endpoint is behind the old mark:\n%s", text)
	}
	r.drained()
	r.mustBeFresh("in the end")
}
