package controller

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/controller/source"
	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/internal/fwmark"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// world is a cluster in memory: what the informers' caches would hold.
type world struct {
	services map[types.NamespacedName]*corev1.Service
	slices   map[types.NamespacedName][]*discoveryv1.EndpointSlice
	this     *corev1.Node
	others   []*corev1.Node
}

var _ objects = (*world)(nil)

func newWorld() *world {
	return &world{
		services: make(map[types.NamespacedName]*corev1.Service),
		slices:   make(map[types.NamespacedName][]*discoveryv1.EndpointSlice),
	}
}

func (w *world) service(name types.NamespacedName) *corev1.Service { return w.services[name] }
func (w *world) endpointSlices(name types.NamespacedName) []*discoveryv1.EndpointSlice {
	return w.slices[name]
}
func (w *world) node() *corev1.Node { return w.this }
func (w *world) nodes() []*corev1.Node {
	if w.this == nil {
		return w.others
	}
	return append([]*corev1.Node{w.this}, w.others...)
}
func (w *world) names() (list []types.NamespacedName) {
	for name := range w.services {
		list = append(list, name)
	}
	return list
}

// rig is a controller over Fakes, driven round by round on a clock of its own.
type rig struct {
	t        testing.TB
	world    *world
	now      time.Time
	ipvs     *ipvs.Fake
	dummyif  *dummyif.Fake
	masq     *masq.Fake
	c        *Controller
	complete bool
	log      *strings.Builder
}

const nodeName = "node-1"

func newRig(t testing.TB) *rig {
	r := &rig{
		t: t, world: newWorld(), now: time.Unix(1_700_000_000, 0), complete: true,
		ipvs: ipvs.NewFake(), dummyif: dummyif.NewFake(), masq: masq.NewFake(),
	}
	r.restart()
	return r
}

// restart replaces the controller by a new one over the same kernel and the same cluster.
func (r *rig) restart() {
	r.log = new(strings.Builder)
	r.c = newTestController(r.world, Kernel{IPVS: r.ipvs, Dummyif: r.dummyif, Masq: r.masq}, r.log,
		func() bool { return r.complete })
	r.c.settled = false
	for name := range r.world.services {
		r.c.dirty.add(name)
	}
	for name := range r.world.slices {
		r.c.dirty.add(name)
	}
	r.round()
}

func newTestController(w objects, k Kernel, log io.Writer, complete func() bool) *Controller {
	c := New(source.Source{Complete: complete}, k, Options{
		NodeName: nodeName, Scheduler: "rr", SyncPeriod: time.Hour, DrainTimeout: 15 * time.Minute,
		Host:      Host{Addresses: func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil }},
		NodePorts: NodePorts{All: true},
		Masq:      masq.Options{MasqueradeBit: 14, Marks: fwmark.Range{Base: 0x50000000, Mask: 0x0ff0307f}},
	}, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	c.objects = w
	return c
}

func (r *rig) round() { r.c.round(context.Background(), r.now) }

// later lets time pass and runs a round.
func (r *rig) later(d time.Duration) {
	r.now = r.now.Add(d)
	r.round()
}

// drained lets every drain come to its end: one round notices that it is idle, the next deletes.
func (r *rig) drained() {
	for range 3 {
		r.later(20 * time.Minute)
	}
}

func (r *rig) set(svc *corev1.Service, slices ...*discoveryv1.EndpointSlice) types.NamespacedName {
	name := types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name}
	r.world.services[name] = svc
	r.world.slices[name] = slices
	r.c.dirty.add(name)
	return name
}

func (r *rig) remove(name types.NamespacedName) {
	delete(r.world.services, name)
	delete(r.world.slices, name)
	r.c.dirty.add(name)
}

// kernel is everything the kernel holds, as text.
func (r *rig) kernel() string { return r.ipvs.Dump() + r.masq.Dump() + r.dummyif.Dump() }

func (r *rig) messages() int { return r.ipvs.Messages + r.dummyif.Messages + r.masq.Messages }

func (r *rig) mustHold(want string) {
	r.t.Helper()
	want = strings.TrimLeft(strings.ReplaceAll(want, "\t", ""), "\n")
	if got := r.kernel(); got != want {
		r.t.Fatalf("the kernel holds\n%s\nwant\n%s\nlog:\n%s", got, want, r.log)
	}
}

// service makes a Service with one TCP port 80 for each VIP, unless edited.
func service(name, vip string, edits ...func(*corev1.Service)) *corev1.Service {
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name},
		Spec: corev1.ServiceSpec{
			ClusterIP: vip, ClusterIPs: []string{vip},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}},
		},
	}
	for _, edit := range edits {
		edit(svc)
	}
	return svc
}

func udp(svc *corev1.Service) { svc.Spec.Ports[0].Protocol = corev1.ProtocolUDP }

func created(t time.Time) func(*corev1.Service) {
	return func(svc *corev1.Service) { svc.CreationTimestamp = metav1.NewTime(t) }
}

// endpoints makes one slice with these addresses, ready, at port 8080, on another node.
func endpoints(addrs ...string) *discoveryv1.EndpointSlice {
	tcp, udp, name, port, node := corev1.ProtocolTCP, corev1.ProtocolUDP, "http", int32(8080), "elsewhere"
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "ns", Name: "slice"},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{
			{Name: &name, Port: &port, Protocol: &tcp}, {Name: &name, Port: &port, Protocol: &udp},
		},
	}
	for _, addr := range addrs {
		if strings.Contains(addr, ":") {
			slice.AddressType = discoveryv1.AddressTypeIPv6
		}
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{addr}, NodeName: &node})
	}
	return slice
}

// here puts the slice's endpoints on this node.
func here(slice *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	node := nodeName
	for i := range slice.Endpoints {
		slice.Endpoints[i].NodeName = &node
	}
	return slice
}

func vip(n int) string      { return fmt.Sprintf("10.%d.%d.%d", 96+n>>16, n>>8&255, n&255) }
func endpoint(n int) string { return fmt.Sprintf("172.%d.%d.%d", 16+n>>16, n>>8&255, n&255) }
func (r *rig) key(addr string, protocol ipvs.Protocol) ipvs.Key {
	r.t.Helper()
	return ipvs.Key{Addr: r.real(addr), Protocol: protocol}
}

func (r *rig) real(addr string) netip.AddrPort {
	r.t.Helper()
	parsed, err := netip.ParseAddrPort(addr)
	if err != nil {
		r.t.Fatal(err)
	}
	return parsed
}
