package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// web is a load balancer Service with externalTrafficPolicy Local.
func (r *rig) web(slices ...*discoveryv1.EndpointSlice) {
	r.set(service("web", "10.96.0.10", loadBalancer("203.0.113.1"), nodePort(30080), externalLocal), slices...)
}

const (
	webLocal = `
		-A -t 10.96.0.10:80 -s rr
		-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1
		-a -t 10.96.0.10:80 -r 10.1.0.2:8080 -m -w 1
		-A -t 192.0.2.1:30080 -s rr
		-a -t 192.0.2.1:30080 -r 10.1.0.1:8080 -m -w 1
		-a -t 192.0.2.1:30080 -r 10.1.0.2:8080 -m -w 1
		-A -t 203.0.113.1:80 -s rr
		-a -t 203.0.113.1:80 -r 10.1.0.1:8080 -m -w 1
		-a -t 203.0.113.1:80 -r 10.1.0.2:8080 -m -w 1
		-A -f M1 -s rr
		-a -f M1 -r 10.1.0.1:8080 -m -w 1
		add FAIRLEAD-VIP 10.96.0.10
		add FAIRLEAD-VIP 203.0.113.1
		add FAIRLEAD-SERVED 10.96.0.10,tcp:80
		add FAIRLEAD-SERVED 192.0.2.1,tcp:30080
		add FAIRLEAD-SERVED 203.0.113.1,tcp:80
		add FAIRLEAD-HAIRPIN 10.1.0.1,10.1.0.1
		add FAIRLEAD-LOCAL 192.0.2.1,tcp:30080 skbmark M1
		add FAIRLEAD-LOCAL 203.0.113.1,tcp:80 skbmark M1
		inet 10.96.0.10/32 scope host
		inet 203.0.113.1/32 scope host
	`
	webDropped = `
		-A -t 10.96.0.10:80 -s rr
		-a -t 10.96.0.10:80 -r 10.1.0.2:8080 -m -w 1
		-A -t 192.0.2.1:30080 -s rr
		-a -t 192.0.2.1:30080 -r 10.1.0.2:8080 -m -w 1
		-A -t 203.0.113.1:80 -s rr
		-a -t 203.0.113.1:80 -r 10.1.0.2:8080 -m -w 1
		add FAIRLEAD-VIP 10.96.0.10
		add FAIRLEAD-VIP 203.0.113.1
		add FAIRLEAD-SERVED 10.96.0.10,tcp:80
		add FAIRLEAD-SERVED 192.0.2.1,tcp:30080
		add FAIRLEAD-SERVED 203.0.113.1,tcp:80
		add FAIRLEAD-LOCAL 192.0.2.1,tcp:30080 skbmark DROP
		add FAIRLEAD-LOCAL 203.0.113.1,tcp:80 skbmark DROP
		inet 10.96.0.10/32 scope host
		inet 203.0.113.1/32 scope host
	`
	webCluster = `
		-A -t 10.96.0.10:80 -s rr
		-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1
		-a -t 10.96.0.10:80 -r 10.1.0.2:8080 -m -w 1
		-A -t 192.0.2.1:30080 -s rr
		-a -t 192.0.2.1:30080 -r 10.1.0.1:8080 -m -w 1
		-a -t 192.0.2.1:30080 -r 10.1.0.2:8080 -m -w 1
		-A -t 203.0.113.1:80 -s rr
		-a -t 203.0.113.1:80 -r 10.1.0.1:8080 -m -w 1
		-a -t 203.0.113.1:80 -r 10.1.0.2:8080 -m -w 1
		add FAIRLEAD-VIP 10.96.0.10
		add FAIRLEAD-VIP 203.0.113.1
		add FAIRLEAD-SERVED 10.96.0.10,tcp:80
		add FAIRLEAD-SERVED 192.0.2.1,tcp:30080
		add FAIRLEAD-SERVED 203.0.113.1,tcp:80
		add FAIRLEAD-HAIRPIN 10.1.0.1,10.1.0.1
		add FAIRLEAD-MASQ 192.0.2.1,tcp:30080
		add FAIRLEAD-MASQ 203.0.113.1,tcp:80
		inet 10.96.0.10/32 scope host
		inet 203.0.113.1/32 scope host
	`
)

func TestTheLastLocalEndpointGoesAndComesBack(t *testing.T) {
	r := newRig(t)
	empty := r.kernel()
	for range 3 {
		r.web(here(endpoints("10.1.0.1")), endpoints("10.1.0.2"))
		r.round()
		r.drained()
		r.mustHold(webLocal)
		r.noLocal(0, 0)
		r.web(endpoints("10.1.0.2"))
		r.round()
		r.drained()
		r.mustHold(webDropped)
		r.noLocal(0, 1)
	}
	r.remove(named("web"))
	r.round()
	r.drained()
	r.mustHold(empty)
	r.noLocal(0, 0)
}

// noLocal checks the metric of Services whose Local policy finds no endpoint here.
func (r *rig) noLocal(internal, external float64) {
	r.t.Helper()
	for policy, want := range map[string]float64{"internal": internal, "external": external} {
		if got := testutil.ToFloat64(r.c.Metrics.kubeProxy.noLocal.WithLabelValues(policy, "IPv4")); got != want {
			r.t.Errorf("%v Services without local endpoints by %s policy, want %v", got, policy, want)
		}
	}
}

func TestThePolicyIsSwitchedAtRunTime(t *testing.T) {
	r := newRig(t)
	slices := []*discoveryv1.EndpointSlice{here(endpoints("10.1.0.1")), endpoints("10.1.0.2")}
	for range 3 {
		r.set(service("web", "10.96.0.10", loadBalancer("203.0.113.1"), nodePort(30080)), slices...)
		r.round()
		r.drained()
		r.mustHold(webCluster)
		r.web(slices...)
		r.round()
		r.drained()
		r.mustHold(webLocal)
	}
}

// TestNobodyMeetsAnEmptyServerWhileThePolicyIsSwitched: clients from outside are led to the local
// endpoints until their entry has gone, so those must not be at weight 0 before.
func TestNobodyMeetsAnEmptyServerWhileThePolicyIsSwitched(t *testing.T) {
	r := newRig(t)
	slices := []*discoveryv1.EndpointSlice{here(endpoints("10.1.0.1")), endpoints("10.1.0.2")}
	r.web(slices...)
	r.round()
	r.traced()
	r.set(service("web", "10.96.0.10", loadBalancer("203.0.113.1"), nodePort(30080)), slices...)
	r.round()
	r.inOrder(
		"add FAIRLEAD-MASQ 203.0.113.1,tcp:80",
		"del FAIRLEAD-LOCAL 203.0.113.1,tcp:80",
		"-e -f M1 -r 10.1.0.1:8080 -m -w 0",
	)
	r.inOrder(
		"add FAIRLEAD-MASQ 192.0.2.1,tcp:30080",
		"del FAIRLEAD-LOCAL 192.0.2.1,tcp:30080",
		"-e -f M1 -r 10.1.0.1:8080 -m -w 0",
	)
	r.drained()
	r.traced()
	r.web(slices...)
	r.round()
	r.inOrder(
		"-A -f M2 -s rr",
		"-a -f M2 -r 10.1.0.1:8080 -m -w 1",
		"add FAIRLEAD-LOCAL 203.0.113.1,tcp:80 skbmark M2",
		"del FAIRLEAD-MASQ 203.0.113.1,tcp:80",
	)
}

// TestAFailedSwitchLeavesTheOldPolicy: without its mark, traffic from outside would go to remote
// endpoints with its source, and the answers past this node.
func TestAFailedSwitchLeavesTheOldPolicy(t *testing.T) {
	r := newRig(t)
	slices := []*discoveryv1.EndpointSlice{here(endpoints("10.1.0.1")), endpoints("10.1.0.2")}
	r.set(service("web", "10.96.0.10", loadBalancer("203.0.113.1"), nodePort(30080)), slices...)
	r.round()
	for _, refused := range []string{"-A -f ", "add FAIRLEAD-LOCAL"} {
		r.refuse(refused)
		r.web(slices...)
		r.round()
		r.later(time.Minute)
		for _, entry := range []string{"add FAIRLEAD-MASQ 203.0.113.1,tcp:80\n", "add FAIRLEAD-MASQ 192.0.2.1,tcp:30080\n"} {
			if !strings.Contains(r.kernel(), entry) {
				t.Errorf("%s refused, and %s has gone", refused, entry)
			}
		}
	}
	r.refuse("")
	r.later(time.Minute)
	r.drained()
	r.mustHold(webLocal)
}

func TestInternalLocalDropsOnlyAtTheClusterIP(t *testing.T) {
	r := newRig(t)
	set := func(slices ...*discoveryv1.EndpointSlice) {
		r.set(service("web", "10.96.0.10", nodePort(30080), internalLocal), slices...)
		r.round()
		r.drained()
	}
	const entries = `
		add FAIRLEAD-VIP 10.96.0.10
		add FAIRLEAD-SERVED 10.96.0.10,tcp:80
		add FAIRLEAD-SERVED 192.0.2.1,tcp:30080
		%sadd FAIRLEAD-MASQ 192.0.2.1,tcp:30080
		%sinet 10.96.0.10/32 scope host
	`
	for range 2 {
		set(endpoints("10.1.0.2"))
		r.mustHold(`
			-A -t 10.96.0.10:80 -s rr
			-A -t 192.0.2.1:30080 -s rr
			-a -t 192.0.2.1:30080 -r 10.1.0.2:8080 -m -w 1` + fmt.Sprintf(entries, "", "add FAIRLEAD-RESTRICTED 10.96.0.10,tcp:80\n"))
		r.noLocal(1, 0)
		set(endpoints("10.1.0.2"), here(endpoints("10.1.0.1")))
		r.mustHold(`
			-A -t 10.96.0.10:80 -s rr
			-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1
			-A -t 192.0.2.1:30080 -s rr
			-a -t 192.0.2.1:30080 -r 10.1.0.1:8080 -m -w 1
			-a -t 192.0.2.1:30080 -r 10.1.0.2:8080 -m -w 1` + fmt.Sprintf(entries, "add FAIRLEAD-HAIRPIN 10.1.0.1,10.1.0.1\n", ""))
		r.noLocal(0, 0)
		set() // refused, not dropped
		r.mustHold(`
			-A -t 10.96.0.10:80 -s rr
			-A -t 192.0.2.1:30080 -s rr` + fmt.Sprintf(entries, "", ""))
		r.noLocal(0, 0)
	}
}

// TestALocalEndpointOfSeveralGoes, also where there are no connections to wait for.
func TestALocalEndpointOfSeveralGoes(t *testing.T) {
	r := newRig(t)
	for _, protocol := range []func(*corev1.Service){func(*corev1.Service) {}, udp} {
		svc := service("web", "10.96.0.10", protocol, loadBalancer("203.0.113.1"), nodePort(30080), externalLocal)
		r.set(svc, here(endpoints("10.1.0.1", "10.1.0.2")))
		r.round()
		r.set(svc, here(endpoints("10.1.0.1")))
		r.round()
		if text := r.ipvs.Dump(); strings.Contains(text, "10.1.0.2:8080 -m -w 1") {
			t.Errorf("new connections go to an endpoint that has gone:\n%s", text)
		}
		r.drained()
		r.mustBeFresh("an endpoint has gone")
	}
}

// TestLoadBalancersMayAskForHealth at the node and at the VIP, which the guard would otherwise refuse them.
func TestLoadBalancersMayAskForHealth(t *testing.T) {
	r := newRig(t)
	const at = "add FAIRLEAD-HEALTH 192.0.2.1,tcp:31000\nadd FAIRLEAD-HEALTH 203.0.113.1,tcp:31000\n"
	health := func() string {
		var found strings.Builder
		for line := range strings.Lines(r.masq.Dump()) {
			if strings.Contains(line, "HEALTH") {
				found.WriteString(line)
			}
		}
		return found.String()
	}
	asked := func(svc *corev1.Service) { svc.Spec.HealthCheckNodePort = 31000 }
	for _, step := range []struct {
		edits []func(*corev1.Service)
		want  string
	}{
		{[]func(*corev1.Service){loadBalancer("203.0.113.1"), externalLocal}, ""},
		{[]func(*corev1.Service){loadBalancer("203.0.113.1"), externalLocal, asked}, at},
		{[]func(*corev1.Service){loadBalancer("203.0.113.1"), asked}, ""},
	} {
		r.set(service("web", "10.96.0.10", step.edits...), here(endpoints("10.1.0.1")))
		r.round()
		if got := health(); got != step.want {
			t.Errorf("asked at\n%s\nwant\n%s", got, step.want)
		}
	}
	r.set(service("web", "10.96.0.10", loadBalancer("203.0.113.1"), externalLocal, asked), here(endpoints("10.1.0.1")))
	r.round()
	r.remove(named("web"))
	r.round()
	if got := health(); got != "" {
		t.Errorf("the Service is gone, and asked at\n%s", got)
	}
	r.drained()
	r.mustBeFresh("in the end")
}
