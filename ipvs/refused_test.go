package ipvs

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

const oneServer = `
	-A -t 10.96.0.20:443 -s rr
	-a -t 10.96.0.20:443 -r 10.1.0.5:443 -m -w 1
	-a -t 10.96.0.20:443 -r 10.1.0.6:443 -m -w 1`

// TestARefusedVirtualServerIsOneErrorAndNoContradiction: that its real servers find no virtual server
// says nothing new. Taken for a contradiction, it would have the whole kernel read at every change.
func TestARefusedVirtualServerIsOneErrorAndNoContradiction(t *testing.T) {
	r := newRig(t, drainTimeout)
	r.want(oneServer)
	r.fake.Fail = func(op Op) error {
		if op.Verb == AddServer {
			return syscall.ENOMEM
		}
		return nil
	}
	err := r.sync()
	if !errors.Is(err, syscall.ENOMEM) || errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
	r.fake.Fail = nil
	r.mustSync()
	r.holds(sortedDump(t, oneServer))
}

// TestRealServersInSomebodyElsesVirtualServerAreNotCountedOn: it came after the last Resync, took the
// real servers, and goes before the next one.
func TestRealServersInSomebodyElsesVirtualServerAreNotCountedOn(t *testing.T) {
	r := newRig(t, drainTimeout)
	r.resync(always)
	r.outside("-A -t 10.96.0.20:443 -s wlc")
	r.want(oneServer)
	if err := r.sync(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	r.outside("-D -t 10.96.0.20:443")
	r.resync(always)
	r.mustSync()
	r.holds(sortedDump(t, oneServer))
}

// TestAnAdditionThatIsRefusedKeepsNothingThere: of one virtual server, an endpoint cannot be added, and another one goes all
// the same.
func TestAnAdditionThatIsRefusedKeepsNothingThere(t *testing.T) {
	r := newRig(t, drainTimeout)
	r.want(oneServer)
	r.mustSync()
	r.fake.Fail = func(op Op) error {
		if op.Verb == AddReal {
			return syscall.ENOMEM
		}
		return nil
	}
	r.want(strings.ReplaceAll(oneServer, "10.1.0.6", "10.1.0.7"))
	if err := r.sync(); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("got %v", err)
	}
	r.holds(sortedDump(t, strings.ReplaceAll(oneServer, "10.1.0.6:443 -m -w 1", "10.1.0.6:443 -m -w 0")))
}
