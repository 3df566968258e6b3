package controller

import (
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// TestIncrementalEqualsFresh is the property that protects the design: after any sequence of
// events, failures, restarts and tampering, the kernel that was kept up change by change holds
// exactly what one full sync would write into an empty one.
func TestIncrementalEqualsFresh(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := emptyRig(newWorld())
		r.restart()
		t.Repeat(map[string]func(*rapid.T){
			"service": func(t *rapid.T) {
				r.set(drawService(t), drawSlices(t)...)
			},
			"remove": func(t *rapid.T) { r.remove(types.NamespacedName{Namespace: "ns", Name: drawName(t)}) },
			"round":  func(*rapid.T) { r.round() },
			"time": func(t *rapid.T) {
				r.later(time.Duration(rapid.IntRange(1, 1200).Draw(t, "s")) * time.Second)
			},
			"restart": func(*rapid.T) { r.restart() },
			"connections": func(t *rapid.T) {
				key := ipvs.Key{Addr: addrPort(drawVIP(t), 80), Protocol: ipvs.TCP}
				r.ipvs.SetConnections(key, addrPort(drawEndpoint(t), 8080), rapid.IntRange(0, 1).Draw(t, "n"))
			},
			"tamper": func(t *rapid.T) {
				key := ipvs.Key{Addr: addrPort(drawVIP(t), 80), Protocol: ipvs.TCP}
				switch rapid.IntRange(0, 3).Draw(t, "where") {
				case 0:
					r.ipvs.Apply([]ipvs.Op{{Verb: ipvs.DeleteServer, Key: key}})
				case 1:
					r.dummyif.Apply([]dummyif.Op{{Verb: dummyif.Unbind, Binding: dummyif.Binding{Addr: key.Addr.Addr()}}})
				case 3:
					r.ipvs.Apply([]ipvs.Op{{Verb: ipvs.DeleteReal, Key: key, Real: addrPort(drawEndpoint(t), 8080)}})
				case 2:
					r.ipvs.Apply([]ipvs.Op{{Verb: ipvs.EditServer, Key: key, Server: ipvs.VirtualServer{Scheduler: "wlc"}}})
				}
			},
			"fail": func(t *rapid.T) {
				salt := rapid.Byte().Draw(t, "salt")
				refuse := func(op fmt.Stringer) error {
					if (crc32.ChecksumIEEE([]byte(op.String()))^uint32(salt))%3 == 0 {
						return errors.New("refused")
					}
					return nil
				}
				r.ipvs.Fail = func(op ipvs.Op) error { return refuse(op) }
				r.masq.Fail = func(op masq.Op) error { return refuse(op) }
				r.dummyif.Fail = func(op dummyif.Op) error { return refuse(op) }
				r.round()
				r.ipvs.Fail, r.masq.Fail, r.dummyif.Fail = nil, nil, nil
			},
			"": func(*rapid.T) {},
		})
		r.audited() // finds the tampering
		if got, want := r.kernel(), freshly(r.world); got != want {
			t.Fatalf("incrementally:\n%s\nfreshly:\n%s\nlog:\n%s", got, want, r.log)
		}
	})
}

// freshly returns what one full sync writes into an empty kernel.
func freshly(w *world) string {
	r := emptyRig(w)
	r.restart()
	return r.kernel()
}

func addrPort(addr string, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(addr), port)
}

// A universe small enough for every kind of collision: four names, three VIPs, five endpoints.

func drawName(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "name")
}

func drawVIP(t *rapid.T) string {
	return rapid.SampledFrom([]string{"10.96.0.1", "10.96.0.2", "fd00:96::1"}).Draw(t, "vip")
}

func drawEndpoint(t *rapid.T) string {
	return rapid.SampledFrom([]string{"10.1.0.1", "10.1.0.2", "10.1.0.3", "fd00:1::1", "fd00:1::2"}).Draw(t, "endpoint")
}

func drawService(t *rapid.T) *corev1.Service {
	svc := service(drawName(t), drawVIP(t), created(time.Unix(int64(rapid.IntRange(1, 3).Draw(t, "age")), 0)))
	if rapid.Bool().Draw(t, "two VIPs") {
		svc.Spec.ClusterIPs = append(svc.Spec.ClusterIPs, drawVIP(t))
	}
	if rapid.Bool().Draw(t, "udp") {
		svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: "http", Port: 80, Protocol: corev1.ProtocolUDP})
	}
	if rapid.Bool().Draw(t, "port 81") {
		svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: "http", Port: 81, Protocol: corev1.ProtocolTCP})
	}
	if rapid.Bool().Draw(t, "sticky") {
		sticky(svc)
	}
	if rapid.IntRange(0, 9).Draw(t, "headless") == 0 {
		svc.Spec.ClusterIP, svc.Spec.ClusterIPs = corev1.ClusterIPNone, []string{corev1.ClusterIPNone}
	}
	return svc
}

func drawSlices(t *rapid.T) []*discoveryv1.EndpointSlice {
	addrs := rapid.SliceOfNDistinct(rapid.Custom(drawEndpoint), 0, 5, rapid.ID).Draw(t, "endpoints")
	is6 := func(a string) bool { return strings.Contains(a, ":") }
	var v4, v6 []string
	for _, a := range addrs {
		if is6(a) {
			v6 = append(v6, a)
		} else {
			v4 = append(v4, a)
		}
	}
	slices := []*discoveryv1.EndpointSlice{endpoints(v4...), endpoints(v6...)}
	if rapid.Bool().Draw(t, "here") {
		here(slices[0])
		here(slices[1])
	}
	return slices
}

// TestEveryKernelCallMayFailOnce fails the first, the second, ... call of a run and shows that the
// rest goes through and that the next rounds put everything right.
func TestEveryKernelCallMayFailOnce(t *testing.T) {
	script := func(r *rig) {
		a := r.set(service("a", "10.96.0.1"), here(endpoints("10.1.0.1", "10.1.0.2")))
		r.set(service("b", "10.96.0.2"), endpoints("10.1.0.1"))
		r.round()
		r.set(service("b", "10.96.0.2", sticky), endpoints("10.1.0.2"))
		r.remove(a)
		r.round()
		r.drained()
	}
	for failing := 1; ; failing++ {
		r := newRig(t)
		calls := 0
		fail := func() error {
			if calls++; calls == failing {
				return fmt.Errorf("call %d refused", calls)
			}
			return nil
		}
		r.ipvs.Fail = func(ipvs.Op) error { return fail() }
		r.masq.Fail = func(masq.Op) error { return fail() }
		r.dummyif.Fail = func(dummyif.Op) error { return fail() }
		script(r)
		r.drained()
		if got, want := r.kernel(), freshly(r.world); got != want {
			t.Fatalf("call %d failed; in the end\n%s\nwant\n%s\nlog:\n%s", failing, got, want, r.log)
		}
		if calls < failing {
			if failing < 15 {
				t.Fatalf("only %d calls: the script does not test what it should", calls)
			}
			return
		}
		if !strings.Contains(r.log.String(), "refused") {
			t.Errorf("the failure of call %d is not in the log:\n%s", failing, r.log)
		}
	}
}
