package controller

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/conntrack"
	"github.com/fairlead-lb/fairlead/controller/render"
	"github.com/fairlead-lb/fairlead/controller/source"
	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// world is a cluster in memory: what the reflectors would have brought.
type world struct {
	services map[types.NamespacedName]*corev1.Service
	slices   map[types.NamespacedName][]*discoveryv1.EndpointSlice
	read     map[*discoveryv1.EndpointSlice]*render.Slice // as the store has them
	this     *corev1.Node
	others   []*corev1.Node
	host     []netip.Addr // the host's own addresses
}

var _ objects = (*world)(nil)

func newWorld() *world {
	return &world{
		services: make(map[types.NamespacedName]*corev1.Service),
		slices:   make(map[types.NamespacedName][]*discoveryv1.EndpointSlice),
		read:     make(map[*discoveryv1.EndpointSlice]*render.Slice),
		host:     []netip.Addr{netip.MustParseAddr("192.0.2.1")},
	}
}

func (w *world) service(name types.NamespacedName) *corev1.Service { return w.services[name] }
func (w *world) endpointSlices(name types.NamespacedName) (list []*render.Slice) {
	for _, object := range w.slices[name] {
		if w.read[object] == nil {
			w.read[object] = render.NewSlice(object)
		}
		list = append(list, w.read[object])
	}
	return list
}
func (w *world) node() *corev1.Node { return w.this }
func (w *world) nodes() []*corev1.Node {
	if w.this == nil {
		return w.others
	}
	return append([]*corev1.Node{w.this}, w.others...)
}
func (w *world) changedLast() []types.NamespacedName {
	var list []sliceChange
	for name, slices := range w.slices {
		for _, slice := range slices {
			list = append(list, changedAt(name, slice.ResourceVersion))
		}
	}
	return latestFirst(list)
}

func (w *world) count() int { return len(w.services) }

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
	flows    *conntrack.Fake
	events   []string // "Service reason: text"
	trace    []string // see traced
	options  func(*Options)
	c        *Controller
	complete bool
	byPages  bool // audits are cut
	log      *strings.Builder
	asking   context.Context // see answering
}

const nodeName = "node-1"

func newRig(t testing.TB, edits ...func(*Options)) *rig {
	r := emptyRig(newWorld())
	r.t = t
	r.options = func(o *Options) {
		for _, edit := range edits {
			edit(o)
		}
	}
	r.restart()
	return r
}

// emptyRig is a rig over an empty kernel before its first start.
func emptyRig(w *world) *rig {
	return &rig{
		world: w, now: time.Unix(1_700_000_000, 0), complete: true,
		ipvs: ipvs.NewFake(), dummyif: dummyif.NewFake(), masq: masq.NewFake(), flows: conntrack.NewFake(),
		options: func(*Options) {}, log: new(strings.Builder),
	}
}

// restart replaces the controller by a new one over the same kernel and the same cluster.
func (r *rig) restart() {
	r.start()
	r.round()
}

// start is restart up to the first round.
func (r *rig) start() {
	kernel := Kernel{IPVS: r.ipvs, Dummyif: r.dummyif, Masq: r.masq, Flows: r.flows}
	r.c = newTestController(r.world, kernel, r.log, func() bool { return r.complete }, r.mine, r.options)
	r.c.longest = time.Hour // however slow the machine is
	if r.byPages {
		r.c.auditWhole = -1
	}
	for name := range r.world.services {
		r.c.dirty.add(name)
	}
	for name := range r.world.slices {
		r.c.dirty.add(name)
	}
}

// mine makes the options those of this rig.
func (r *rig) mine(o *Options) {
	o.Events = (*recorder)(r)
}

// recorder keeps the events that a rig's controller puts on Services.
type recorder rig

func (r *recorder) Warning(svc *corev1.Service, reason, text string) {
	r.events = append(r.events, fmt.Sprintf("%s %s: %s", svc.Name, reason, text))
}

// told returns the events since the last call, sorted, one line each.
func (r *rig) told() string {
	slices.Sort(r.events)
	text := strings.Join(r.events, "\n")
	r.events = nil
	return text
}

func newTestController(w *world, k Kernel, log io.Writer, complete func() bool, edits ...func(*Options)) *Controller {
	o := Options{
		NodeName: nodeName, Scheduler: "rr", SyncPeriod: time.Hour, DrainTimeout: 15 * time.Minute,
		Host:      Host{Addresses: func() ([]netip.Addr, error) { return w.host, nil }},
		NodePorts: NodePorts{All: true},
		Masq:      masq.Options{MasqueradeBit: 14, Marks: testMarks},
	}
	for _, edit := range edits {
		edit(&o)
	}
	c := New(source.Source{Complete: complete}, k, o, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	c.objects = w
	c.beside = atOnce
	return c
}

// atOnce is in place of the Controller's beside: what a round has begun has ended when the round has.
func atOnce(f func()) { f() }

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

// audited lets at least one whole audit go by, step by step, and all drains.
func (r *rig) audited() {
	for range 2 { // one may have begun before
		r.c.Metrics.audited.Store(0)
		for n := 0; r.byPages && r.c.Metrics.audited.Load() == 0 && n < 1000; n++ {
			r.later(time.Minute)
		}
	}
	for range 20 {
		r.later(10 * time.Minute)
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
	if got := renamed(r.kernel()); got != want {
		r.t.Fatalf("the kernel holds\n%s\nwant\n%s\nlog:\n%s", got, want, r.log)
	}
}

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
