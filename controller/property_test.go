package controller

import (
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// TestIncrementalEqualsFresh is the property that protects the design: after any sequence of
// events, failures, restarts and tampering, the kernel that was kept up change by change holds
// exactly what one full sync would write into an empty one.
func TestIncrementalEqualsFresh(t *testing.T) { incrementalEqualsFresh(t, false) }

// TestIncrementalEqualsFreshByPages is the same with audits that are cut, as where there is very much.
func TestIncrementalEqualsFreshByPages(t *testing.T) { incrementalEqualsFresh(t, true) }

func incrementalEqualsFresh(t *testing.T, byPages bool) {
	rapid.Check(t, func(t *rapid.T) {
		r := emptyRig(newWorld())
		r.byPages, r.masq.Page, r.dummyif.Page = byPages, 2, 1
		r.restart()
		t.Repeat(map[string]func(*rapid.T){
			"service": func(t *rapid.T) {
				r.set(drawService(t), drawSlices(t)...)
			},
			"endpoints": func(t *rapid.T) { // of a Service that stays
				name := named(drawName(t))
				r.world.slices[name] = drawSlices(t)
				r.c.dirty.add(name)
			},
			"expose": func(t *rapid.T) { // otherwise than before
				if svc := r.world.services[named(drawName(t))]; svc != nil {
					svc = svc.DeepCopy()
					exposeAtRandom(t, svc)
					r.set(svc, r.world.slices[named(svc.Name)]...)
				}
			},
			"remove": func(t *rapid.T) { r.remove(named(drawName(t))) },
			"facts": func(t *rapid.T) {
				drawFacts(t)(r.world)
				r.c.feed.factsChanged()
			},
			"round": func(*rapid.T) { r.round() },
			"time": func(t *rapid.T) {
				r.later(time.Duration(rapid.IntRange(1, 1200).Draw(t, "s")) * time.Second)
			},
			"restart": func(*rapid.T) { r.restart() },
			"connections": func(t *rapid.T) {
				key := ipvs.Key{Addr: addrPort(drawVIP(t), 80), Protocol: ipvs.TCP}
				r.ipvs.SetConnections(key, addrPort(drawEndpoint(t), 8080), rapid.IntRange(0, 1).Draw(t, "n"))
			},
			"tamper": func(t *rapid.T) { tamper(t, r) },
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
		if got, want := renamed(r.kernel()), freshly(r.c); got != want {
			t.Fatalf("incrementally:\n%s\nfreshly:\n%s\nlog:\n%s", got, want, r.log)
		}
	})
}

// freshly returns what one full sync writes into an empty kernel, its marks renamed. It remembers what
// the given controller remembers and nobody else knows: the settings that a bad annotation leaves in
// force, and a Node that was deleted.
func freshly(after *Controller) string {
	r := emptyRig(after.objects.(*world))
	r.options = func(o *Options) { *o = after.options; o.Events = nil }
	r.start()
	maps.Copy(r.c.settings.of, after.settings.of)
	if r.world.this == nil && after.node.registered {
		r.c.node = after.node
	}
	r.round()
	return renamed(r.kernel())
}

// tamper does to the kernel what nobody should.
func tamper(t *rapid.T, r *rig) {
	key := ipvs.Key{Addr: addrPort(drawVIP(t), 80), Protocol: ipvs.TCP}
	if rapid.Bool().Draw(t, "by mark") {
		key = ipvs.MarkKey(testMarks.Nth(rapid.IntRange(1, 4).Draw(t, "mark"), false), false)
	}
	switch rapid.IntRange(0, 4).Draw(t, "where") {
	case 0:
		r.ipvs.Apply([]ipvs.Op{{Verb: ipvs.DeleteServer, Key: key}})
	case 1:
		r.dummyif.Apply([]dummyif.Op{{Verb: dummyif.Unbind, Binding: dummyif.Binding{Addr: key.Addr.Addr()}}})
	case 2:
		r.ipvs.Apply([]ipvs.Op{{Verb: ipvs.EditServer, Key: key, Server: ipvs.VirtualServer{Scheduler: "wlc"}}})
	case 3:
		r.ipvs.Apply([]ipvs.Op{{Verb: ipvs.DeleteReal, Key: key, Real: addrPort(drawEndpoint(t), 8080)}})
	case 4:
		entries, _ := r.masq.Entries()
		// Without the entries that say so, a restarted daemon does not know its own from others'.
		maps.DeleteFunc(entries, func(e masq.Entry, _ uint32) bool { return e.Set == masq.Served || e.Set == masq.VIPs })
		sorted := slices.SortedFunc(maps.Keys(entries), masq.Entry.Compare)
		if len(sorted) > 0 {
			r.masq.Apply([]masq.Op{{Delete: true, Entry: rapid.SampledFrom(sorted).Draw(t, "entry")}})
		}
	}
}

func addrPort(addr string, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(addr), port)
}
