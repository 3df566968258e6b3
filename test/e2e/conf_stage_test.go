//go:build linux

package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// stage is the scene of the conformance tests. Beside the note's scene it has zones, networks of LoadBalancer and
// external addresses that the client reaches through the node, and pods with a second port. Nothing in it looks into the
// kernel: any proxy can stand on it.
type stage struct {
	*scene

	proxy *daemon
	count *int         // Services so far, and their numbers in every range of addresses
	turn  *int         // settles so far
	shown *atomic.Bool // the row's evidence
}

// Where the frontends of Services are, by the Service's number.
const (
	clusterNet4, clusterNet6 = "172.30.200.%d", "fd00:172:30::2:%x"
	balancer4, balancer6     = "172.31.0.%d", "fd00:172:31::%x"
	external4, external6     = "172.32.0.%d", "fd00:172:32::%x"
)

// beyond is who answers at Services' addresses that the proxy does not serve: a server behind the fabric's gateway.
const beyond = "beyond"

func newStage(t testing.TB) *stage {
	t.Helper()
	s := &stage{scene: newScene(t), count: new(int), turn: new(int), shown: new(atomic.Bool)}
	s.api.node(s.far, "node2", inZone("zone-2", s.far))
	s.api.relay(s.far.Namespace)
	for _, prefix := range []string{"172.31.0.0/16", "172.32.0.0/16", "fd00:172:31::/64", "fd00:172:32::/64"} {
		must(t, s.client.AddRoute(prefix, s.node))
	}
	must(t, s.lab.Beyond(beyond, 8080, "172.30.0.0/16", "172.31.0.0/16", "172.32.0.0/16", "fd00:172:30::/64", "fd00:172:31::/64", "fd00:172:32::/64"))
	// What reaches a remote pod, or who is beyond, with the client's own address has to go back the way it came: a node that
	// sees one direction only may drop it as invalid.
	for _, client := range []string{s.client.Addr4.String() + "/32", s.client.Addr6.String() + "/128"} {
		must(t, s.far.AddRoute(client, s.node))
		must(t, s.lab.AddRoute(client, s.node))
	}
	for _, pod := range []*lab.Pod{s.a, s.b, s.remote} {
		for _, addr := range pod.Addrs {
			_, err := pod.ServeTCP(addrPort(addr, 8081).String(), nameOf(pod))
			must(t, err)
		}
	}
	return s
}

// newConformance is a stage whose first node runs the proxy under test.
func newConformance(t testing.TB) *stage {
	t.Helper()
	s := newStage(t)
	s.run(setup{})
	return s
}

// run starts the proxy on the first node, in place of the one that runs there.
func (s *stage) run(c setup) {
	s.t.Helper()
	if s.proxy != nil {
		s.proxy.stop()
	}
	s.proxy = c.proxy(s.t, s.node, "node1", s.api.kubeconfig)
	s.settle()
}

// row runs one row of the contract on the stage. The row's Services go with it.
func (s *stage) row(name string, test func(*stage)) {
	t, ok := s.t.(*testing.T)
	if !ok {
		s.t.Fatal("rows belong to a test")
	}
	t.Run(name, func(t *testing.T) {
		sub := *s
		sub.scene, sub.shown = s.in(t), new(atomic.Bool)
		test(&sub)
	})
}

// nameOf is the name that a pod's servers answer with.
func nameOf(pod *lab.Pod) string {
	for name, addr := range map[string]string{"a": "172.17.0.2", "b": "172.17.0.5", "c": "172.17.0.6", "remote": "172.17.1.7", "caller": "172.17.0.9"} {
		if pod.Addr4() == netip.MustParseAddr(addr) {
			return name
		}
	}
	return "?"
}

// The Service by which it is seen how far a proxy has come.
const (
	settleName         = "settle"
	settle4, settle6   = "172.30.201.1", "fd00:172:30::3:1"
	settlePort         = 20000 // and up
	settleTargetsFirst = 8080  // and one more
)

// settle waits until the proxy has heard of everything so far. It moves a Service of its own to another port, and its
// endpoints, too, and asks there until the new endpoint port answers: a proxy that has done both has done what came before.
// It asks in both families, for kube-proxy programs each by itself.
func (s *stage) settle() {
	s.t.Helper()
	s.settled(s.proxy, s.caller)
}

// settled is settle for the proxy of the node that a pod is on.
func (s *stage) settled(proxy *daemon, from *lab.Pod) {
	s.t.Helper()
	*s.turn++
	port, target := int32(settlePort+*s.turn), int32(settleTargetsFirst+*s.turn%2)
	s.moveSettle(port, target)
	d := *proxy
	d.t, d.limit = s.t, proxyLimit // kube-proxy starts dozens of processes for every change in mode ipvs
	for _, vip := range []string{settle4, settle6} {
		d.eventually("done with all changes", func() error {
			answer, err := lab.Ask(s.t.Context(), from.Namespace, "tcp", addrPort(netip.MustParseAddr(vip), uint16(port)).String())
			if err == nil && int32(answer.Local.Port()) != target {
				err = fmt.Errorf("port %d answers, want %d", answer.Local.Port(), target)
			}
			return err
		})
	}
}

// moveSettle moves the Service and its endpoints to other ports. The first call makes them.
func (s *stage) moveSettle(port, target int32) {
	s.t.Helper()
	services, slices := s.api.client.CoreV1().Services(namespace), s.api.client.DiscoveryV1().EndpointSlices(namespace)
	svc, err := services.Get(s.t.Context(), settleName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		s.api.service(settleName, []string{settle4, settle6}, func(svc *corev1.Service) { svc.Spec.Ports = svc.Spec.Ports[:1] })
		svc, err = services.Get(s.t.Context(), settleName, metav1.GetOptions{})
	}
	must(s.t, err)
	svc.Spec.Ports[0].Port = port
	_, err = services.Update(s.t.Context(), svc, metav1.UpdateOptions{})
	must(s.t, err)
	for family, addr := range map[discoveryv1.AddressType]netip.Addr{discoveryv1.AddressTypeIPv4: s.a.Addr4(), discoveryv1.AddressTypeIPv6: s.a.Addr6()} {
		slice := sliceOf(settleName, family)
		slice.Ports = slice.Ports[:1]
		slice.Ports[0].Port = &target
		slice.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{addr.String()}}}
		_, err = slices.Update(s.t.Context(), slice, metav1.UpdateOptions{})
		if apierrors.IsNotFound(err) {
			_, err = slices.Create(s.t.Context(), slice, metav1.CreateOptions{})
		}
		must(s.t, err)
	}
}

// patience is how long a row may take to become true after the proxy has settled. Emulated machines are slow. Kube-proxy
// has rows that never become true, and waiting for each of them costs.
func patience() time.Duration {
	if _, peer := peerMode(); peer {
		return 6 * time.Second
	}
	return 15 * time.Second
}

// soon fails unless check succeeds within the patience.
func (s *stage) soon(what string, check func() error) bool {
	s.t.Helper()
	return s.within(patience(), what, check)
}

// within is soon with a limit of its own.
func (s *stage) within(limit time.Duration, what string, check func() error) bool {
	s.t.Helper()
	var err error
	for deadline := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		if err = check(); err == nil {
			return true
		}
		if time.Now().After(deadline) {
			s.t.Errorf("%s: %v", what, err)
			s.evidence()
			return false
		}
	}
}

// evidence logs, once a row, what Fairlead has made of the node when something failed there.
func (s *stage) evidence() {
	if _, peer := peerMode(); peer || !s.shown.CompareAndSwap(false, true) {
		return
	}
	for _, command := range [][]string{
		{"ipvsadm", "-Ln", "--stats"}, {"ipvsadm", "-Lnc"}, {"ipset", "save"}, {"iptables-save", "-c"}, {"ip", "-o", "addr", "show", "dev", "kube-ipvs0"},
	} {
		out, err := s.node.Run(context.Background(), command[0], command[1:]...)
		s.t.Logf("%v: %v\n%s", command, err, out)
	}
}
