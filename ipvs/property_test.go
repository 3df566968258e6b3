package ipvs

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestTheTableConverges takes random steps on the desired state and, behind the table's back, in
// the kernel. After one Resync and the time of one drain the kernel must hold exactly what is
// desired, and whatever somebody else has.
func TestTheTableConverges(t *testing.T) { converges(t, tooManyServers) }

// TestTheTableConvergesFromUnseen is the same where whatever is met is read step by step.
func TestTheTableConvergesFromUnseen(t *testing.T) { converges(t, 0) }

// TestTheTableConvergesBySweeps is the same where in the end, too, virtual servers are read page by page, and some are in no
// page.
func TestTheTableConvergesBySweeps(t *testing.T) { converges(t, -1) }

func converges(t *testing.T, tooMany int) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.tooMany = tooMany
		rt.Repeat(map[string]func(*rapid.T){
			"":        func(t *rapid.T) { w.checkCommon(t); w.checkWork(t) },
			"set":     w.set,
			"unset":   w.unset,
			"outside": w.outsideStep,
			"busy": func(t *rapid.T) {
				w.fake.SetConnections(w.ours.Draw(t, "key"), w.real.Draw(t, "real"), rapid.IntRange(0, 1).Draw(t, "connections"))
			},
			"resync": func(t *rapid.T) {
				if _, err := w.Resync(w.owned); err != nil {
					t.Fatal(err)
				}
			},
			"restart": func(t *rapid.T) {
				w.Table = NewTable(w.fake, drainTimeout)
				w.tooMany = tooMany
				if _, err := w.Resync(w.owned); err != nil {
					t.Fatal(err)
				}
				for k, v := range w.configs {
					w.Set(k, v, realsOf(w.desired[k]))
				}
			},
			"step": func(t *rapid.T) { w.step(t) },
			"sweep": func(t *rapid.T) {
				w.fake.Page = rapid.IntRange(1, 3).Draw(t, "page")
				if _, err := w.BeginServers(w.owned); err != nil {
					t.Fatal(err)
				}
			},
			"sync": func(t *rapid.T) {
				failing := rapid.IntRange(0, 20).Draw(t, "failing")
				w.fake.Fail = func(op Op) error {
					if !w.Known(op.Key) {
						t.Fatalf("%s is written, though nobody has read what is there", op)
					}
					if failing--; failing == 0 {
						return syscall.ENOMEM
					}
					return nil
				}
				_ = w.sync() // what fails is made up for in the end
				w.fake.Fail = nil
				w.checkReads(t)
			},
			"time": func(t *rapid.T) { w.now = w.now.Add(time.Duration(rapid.IntRange(0, 600).Draw(t, "s")) * time.Second) },
		})
		w.converge(rt)
	})
}

// world is a rig, a model of what is desired, and a foreign part of the kernel's table.
type world struct {
	*rig
	desired map[Key]map[netip.AddrPort]RealServer
	configs map[Key]VirtualServer
	ever    map[Key]bool // desired at some time: what masq's sets remember
	foreign *Fake

	ours, theirs *rapid.Generator[Key]
	real         *rapid.Generator[netip.AddrPort]
}

func newWorld(t *testing.T) *world {
	keys := func(addr string) *rapid.Generator[Key] {
		return rapid.Custom(func(t *rapid.T) Key {
			protocol := rapid.SampledFrom([]Protocol{TCP, UDP, SCTP}).Draw(t, "protocol")
			return Key{Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), uint16(rapid.IntRange(1, 2).Draw(t, "port"))), Protocol: protocol}
		})
	}
	w := &world{
		rig:     newRig(t, drainTimeout),
		desired: map[Key]map[netip.AddrPort]RealServer{}, configs: map[Key]VirtualServer{}, ever: map[Key]bool{},
		foreign: NewFake(),
		ours:    keys("10.96.0.10"), theirs: keys("fd00::99"),
		real: rapid.Custom(func(t *rapid.T) netip.AddrPort {
			return netip.MustParseAddrPort(fmt.Sprintf("10.1.0.%d:80", rapid.IntRange(1, 6).Draw(t, "real")))
		}),
	}
	w.fake.Record = false
	return w
}

// sync is that of the rig, behind what the controller does before it.
func (w *world) sync() error { return errors.Join(w.ReadAwaited(), w.rig.sync()) }

func (w *world) owned(k Key) bool { return w.ever[k] }

func (w *world) set(t *rapid.T) {
	k := w.ours.Draw(t, "key")
	v := VirtualServer{Scheduler: rapid.SampledFrom([]string{"rr", "lc", "sh"}).Draw(t, "scheduler")}
	reals := rapid.MapOfN(w.real, rapid.Custom(func(t *rapid.T) RealServer {
		return RealServer{Weight: uint16(rapid.IntRange(0, 2).Draw(t, "weight"))}
	}), 0, 6).Draw(t, "reals")
	w.Set(k, v, realsOf(reals))
	w.desired[k], w.configs[k], w.ever[k] = reals, v.drainSafe(), true
}

func (w *world) unset(t *rapid.T) {
	k := w.ours.Draw(t, "key")
	w.Unset(k)
	delete(w.desired, k)
	delete(w.configs, k)
}

// outsideStep is one ipvsadm command of somebody else's: on servers of ours that were made at some
// time, or on servers that never were.
func (w *world) outsideStep(t *rapid.T) {
	op := Op{
		Verb:   Verb(rapid.IntRange(int(AddServer), int(DeleteReal)).Draw(t, "verb")),
		Server: VirtualServer{Scheduler: rapid.SampledFrom([]string{"rr", "wlc"}).Draw(t, "scheduler")},
		Real:   w.real.Draw(t, "real"),
		Value:  RealServer{Weight: uint16(rapid.IntRange(0, 3).Draw(t, "weight")), Foreign: rapid.Bool().Draw(t, "foreign")},
	}
	if rapid.Bool().Draw(t, "on theirs") {
		op.Key = w.theirs.Draw(t, "key")
		w.foreign.Apply([]Op{op})
	} else if op.Key = w.ours.Draw(t, "key"); !w.ever[op.Key] {
		return
	}
	w.fake.Apply([]Op{op})
}

// checkCommon: what is passed over on both sides is the same there.
func (w *world) checkCommon(t *rapid.T) {
	for k, s := range w.servers {
		want, have := s.wantReals, s.thereReals
		if s.shared() {
			continue
		}
		head, tail := int(s.common.head), int(s.common.tail)
		if head+tail > min(len(want), len(have)) || !want[:head].Equal(have[:head]) || !want[len(want)-tail:].Equal(have[len(have)-tail:]) {
			t.Fatalf("%s: %v and %v begin and end alike with %v", k, want, have, s.common)
		}
	}
}

// checkWork: what is not as desired is known, what only waits is nowhere else, and each drain has its next look.
func (w *world) checkWork(t *rapid.T) {
	for k, s := range w.servers {
		_, dirty := w.dirty[k]
		_, waits := w.waiting[k]
		unsettled := w.Known(k) && !s.settled()
		if dirty && waits || (dirty || waits) != unsettled || waits && !w.waits(k, s) {
			t.Fatalf("%s: dirty %t, waits %t, %+v", k, dirty, waits, s)
		}
	}
	for _, work := range []map[Key]*server{w.dirty, w.waiting} {
		for k, s := range work {
			if w.servers[k] != s {
				t.Fatalf("%s has work, and is forgotten", k)
			}
		}
	}
	for key, d := range w.drains {
		if !d.over() && !slices.Contains(w.polls.list, appointment{d.poll, key}) {
			t.Fatalf("nobody will look at %v", key)
		}
	}
}

// checkReads: a sync at rest costs nothing.
func (w *world) checkReads(t *rapid.T) {
	if w.Pending() > 0 {
		return
	}
	before := w.fake.Messages
	if err := w.sync(); err != nil || w.fake.Messages != before {
		t.Fatalf("a sync with nothing pending: %v, %d messages", err, w.fake.Messages-before)
	}
}

// step is a step of an audit.
func (w *world) step(t *rapid.T) {
	hidden := make(map[Key]bool)
	w.fake.Hidden = func(k Key) bool {
		if !w.Has(k) {
			return false // who could know
		}
		if _, drawn := hidden[k]; !drawn {
			hidden[k] = rapid.IntRange(0, 4).Draw(t, "hidden") == 0
		}
		return hidden[k]
	}
	defer func() { w.fake.Hidden = nil }()
	read := func() (int, error) { return w.ResyncReals(1) }
	if w.PageDue() {
		read = w.NextPage
	}
	if _, err := read(); err != nil {
		t.Fatal(err)
	}
}

func (w *world) converge(t *rapid.T) {
	begin := w.Resync
	if w.tooMany < 0 {
		begin = w.BeginServers
	}
	if _, err := begin(w.owned); err != nil {
		t.Fatal(err)
	}
	for w.Unread() > 0 {
		w.step(t)
	}
	for range 2 { // the first may start drains
		if err := w.sync(); err != nil {
			t.Fatalf("after a Resync nothing may be refused: %v", err)
		}
		w.now = w.now.Add(drainTimeout)
	}
	var want strings.Builder
	want.WriteString(w.foreign.Dump())
	for k, v := range w.configs {
		fmt.Fprintln(&want, FormatServer(k, v))
		for addr, real := range w.desired[k] {
			fmt.Fprintln(&want, FormatReal(k, addr, real))
		}
	}
	if got := sorted(w.fake.Dump()); got != sorted(want.String()) {
		t.Fatalf("converged to\n%s\nwant\n%s", got, sorted(want.String()))
	}
	if w.Pending() != 0 || w.Draining() != 0 {
		t.Fatalf("%d pending, %d draining", w.Pending(), w.Draining())
	}
	if drift, err := w.Resync(w.owned); drift != 0 || err != nil {
		t.Fatalf("drift %d at rest, %v", drift, err)
	}
}
