package controller

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"

	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/internal/nlbatch"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// TestWritesOfUnknownFateLeaveNoOrphans: every write is carried out, and the answer to one of them is
// lost. The Service goes before the next round.
func TestWritesOfUnknownFateLeaveNoOrphans(t *testing.T) {
	for losing := 1; ; losing++ {
		r := newRig(t)
		r.c.log = slog.New(slog.NewTextHandler(io.Discard, nil))
		empty := r.kernel()
		writes := 0
		lost := func(carryOut func()) error {
			if writes++; writes != losing {
				return nil
			}
			carryOut()
			return fmt.Errorf("%w: overrun", nlbatch.ErrUnknown)
		}
		r.ipvs.Fail = func(op ipvs.Op) error {
			return lost(func() { fail := r.ipvs.Fail; r.ipvs.Fail = nil; r.ipvs.Apply([]ipvs.Op{op}); r.ipvs.Fail = fail })
		}
		r.masq.Fail = func(op masq.Op) error {
			return lost(func() { fail := r.masq.Fail; r.masq.Fail = nil; r.masq.Apply([]masq.Op{op}); r.masq.Fail = fail })
		}
		r.dummyif.Fail = func(op dummyif.Op) error {
			return lost(func() {
				fail := r.dummyif.Fail
				r.dummyif.Fail = nil
				r.dummyif.Apply([]dummyif.Op{op})
				r.dummyif.Fail = fail
			})
		}
		name := r.set(service("web", "10.96.0.10"), here(endpoints("10.1.0.1")))
		r.round()
		r.remove(name)
		r.round()
		r.drained()
		if got := r.kernel(); got != empty {
			t.Fatalf("write %d: left\n%s", losing, got)
		}
		if writes < losing {
			return
		}
	}
}

// TestAnEntryStaysWhileTheKernelCannotBeRead: what it is for may be there.
func TestAnEntryStaysWhileTheKernelCannotBeRead(t *testing.T) {
	r := newRig(t)
	kernel := &unreadableServers{Fake: r.ipvs}
	r.c = newTestController(r.world, Kernel{IPVS: kernel, Dummyif: r.dummyif, Masq: r.masq}, r.log, func() bool { return true })
	r.round()
	empty := r.kernel()
	r.ipvs.Fail = func(op ipvs.Op) error {
		if op.Verb != ipvs.AddServer {
			return nil
		}
		r.ipvs.Fail = nil
		r.ipvs.Apply([]ipvs.Op{op})
		return nlbatch.ErrUnknown
	}
	name := r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1"))
	r.round()
	kernel.fails = true
	r.remove(name)
	r.round()
	kernel.fails = false
	r.round()
	r.drained()
	r.mustHold(empty)
}

// unreadableServers is a kernel that may not tell its virtual servers.
type unreadableServers struct {
	*ipvs.Fake
	fails bool
}

func (u *unreadableServers) Servers() (map[ipvs.Key]ipvs.VirtualServer, error) {
	if u.fails {
		return nil, errors.New("cannot be read")
	}
	return u.Fake.Servers()
}
