//go:build linux

package e2e

import (
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
	"github.com/fairlead-lb/fairlead/test/lab"
)

// The scene of the original note: Service myproject/golang-ex, and around it what the note does not
// show: a second node, a client that is no pod, and IPv6.
const (
	vip4 = "172.30.15.111"
	vip6 = "fd00:172:30::111"
	web4 = vip4 + ":8080"
	dns4 = vip4 + ":53"
	web6 = "[" + vip6 + "]:8080"
	dns6 = "[" + vip6 + "]:53"
)

type scene struct {
	t      testing.TB
	lab    *lab.Lab
	api    *api
	node   *lab.Node // where the daemon runs
	far    *lab.Node
	a, b   *lab.Pod
	c      *lab.Pod // a, b and c are the note's endpoints
	caller *lab.Pod // on the node, no endpoint
	remote *lab.Pod // on the far node
	client *lab.Client
	relay  *lab.RelayServer // the node's way to the API server
}

func newScene(t testing.TB) *scene {
	t.Helper()
	kerneltest.Want(t)
	lab.NeedIPVS(t)
	s := &scene{t: t, api: newAPI(t), lab: lab.New(t)}
	var err error
	s.node, err = s.lab.AddNode("node1", "172.17.0.0/24", "fd00:17::/64")
	must(t, err)
	s.far, err = s.lab.AddNode("node2", "172.17.1.0/24", "fd00:17:1::/64")
	must(t, err)
	s.client, err = s.lab.AddClient("client")
	must(t, err)
	for _, prefix := range []string{"172.30.0.0/16", "fd00:172:30::/108"} {
		must(t, s.client.AddRoute(prefix, s.node))
	}
	s.a = s.pod(s.node, "a", "172.17.0.2", "fd00:17::2")
	s.b = s.pod(s.node, "b", "172.17.0.5", "fd00:17::5")
	s.c = s.pod(s.node, "c", "172.17.0.6", "fd00:17::6")
	s.caller = s.pod(s.node, "caller", "172.17.0.9", "fd00:17::9")
	s.remote = s.pod(s.far, "remote", "172.17.1.7", "fd00:17:1::7")
	s.relay = s.api.relay(s.node.Namespace)
	s.api.node(s.node, "node1", inZone("zone-1", s.node))
	return s
}

// inZone completes a Node object as the kubelet and the cloud's controller do.
func inZone(zone string, n *lab.Node) func(*corev1.Node) {
	return func(object *corev1.Node) {
		object.Labels = map[string]string{corev1.LabelTopologyZone: zone}
		for _, cidr := range n.PodCIDRs {
			object.Spec.PodCIDRs = append(object.Spec.PodCIDRs, cidr.String())
		}
		object.Spec.PodCIDR = object.Spec.PodCIDRs[0]
	}
}

// pod adds a pod that says its name on TCP 8080 and UDP 5353.
func (s *scene) pod(n *lab.Node, name string, addrs ...string) *lab.Pod {
	s.t.Helper()
	pod, err := n.AddPod(name, addrs...)
	must(s.t, err)
	for _, addr := range pod.Addrs {
		_, err = pod.ServeTCP(addrPort(addr, 8080).String(), name)
		must(s.t, err)
		_, err = pod.ServeUDP(addrPort(addr, 5353).String(), name)
		must(s.t, err)
	}
	return pod
}

// config writes a configuration for the scene's node, with further lines.
func (s *scene) config(lines ...string) string {
	s.t.Helper()
	return writeConfig(s.t, append([]string{
		"hostnameOverride: node1",
		"clientConnection: {kubeconfig: " + s.api.kubeconfig + ", qps: 100, burst: 200}",
		"clusterCIDR: 172.17.0.0/16,fd00:17::/32",
	}, lines...)...)
}

// golang makes the note's Service, dual stack, with these endpoints.
func (s *scene) golang(pods ...*lab.Pod) {
	s.t.Helper()
	s.api.service("golang-ex", []string{vip4, vip6})
	s.api.endpoints("golang-ex", pods...)
}

// spread asks n times from one place and returns who answered how often; no request may fail.
func (s *scene) spread(from *lab.Namespace, network, addr string, n int) map[string]int {
	s.t.Helper()
	counts, errs := lab.AskMany(s.t.Context(), from, network, addr, n)
	for _, err := range errs {
		s.t.Errorf("ask %s %s from %s: %v", network, addr, from.Name, err)
	}
	return counts
}

// evenly fails unless each of the names answered exactly n times, and nobody else did.
func (s *scene) evenly(counts map[string]int, n int, names ...string) {
	s.t.Helper()
	want := make(map[string]int)
	for _, name := range names {
		want[name] = n
	}
	if !maps.Equal(counts, want) {
		s.t.Errorf("answers: %v, want %v", counts, want)
	}
}

// onlyFrom fails unless all answers came from these names, and there were any.
func (s *scene) onlyFrom(counts map[string]int, names ...string) {
	s.t.Helper()
	for name := range counts {
		if !slices.Contains(names, name) {
			s.t.Errorf("%s answered: %v, want only %v", name, counts, names)
		}
	}
	if len(counts) == 0 {
		s.t.Error("nobody answered")
	}
}

// refused fails unless a connection is refused at once.
func (s *scene) refused(from *lab.Namespace, network, addr string) {
	s.t.Helper()
	answer, err := lab.Ask(s.t.Context(), from, network, addr)
	if !lab.Refused(err) {
		s.t.Errorf("%s %s from %s: %+v, %v; want a refusal", network, addr, from.Name, answer, err)
	}
}

// nodeNameOf returns the Node that a pod is on, as its slice says.
func nodeNameOf(pod *lab.Pod) string {
	if pod.Addr4().As4()[2] == 0 {
		return "node1"
	}
	return "node2"
}
