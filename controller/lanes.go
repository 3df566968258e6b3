package controller

import (
	"net/netip"
	"sync"
	"time"

	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// lanes are what is written to: of each, how long its writes have taken in this round, and how many were refused.
type lanes struct{ servers, entries, addresses, rules lane }

type lane struct {
	took   time.Duration
	failed int
}

func (l *lane) wrote(took time.Duration, errs ...error) {
	l.took += took
	for _, err := range errs {
		if err != nil {
			l.failed++
		}
	}
}

// timed applies operations, and takes the time.
func timed[Op any](l *lane, apply func([]Op) []error, ops []Op) []error {
	started := time.Now()
	errs := apply(ops)
	l.wrote(time.Since(started), errs...)
	return errs
}

// on puts a kernel behind lanes: the tables write as before, and the time is taken.
func (l *lanes) on(k Kernel) Kernel {
	k.IPVS, k.Masq, k.Dummyif = ipvsLane{k.IPVS, l, new(sync.Mutex)}, masqLane{k.Masq, l}, dummyifLane{k.Dummyif, l}
	return k
}

type ipvsLane struct {
	ipvs.Kernel
	*lanes
	mu *sync.Mutex // who renders ahead may ask for a scheduler while virtual servers are written or read
}

func (l ipvsLane) Apply(ops []ipvs.Op) []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return timed(&l.servers, l.Kernel.Apply, ops)
}

func (l ipvsLane) RealServers(k ipvs.Key) (map[netip.AddrPort]ipvs.RealStatus, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Kernel.RealServers(k)
}

func (l ipvsLane) ProbeScheduler(scheduler string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Kernel.ProbeScheduler(scheduler)
}

type masqLane struct {
	masq.Kernel
	*lanes
}

func (l masqLane) Apply(ops []masq.Op) []error { return timed(&l.entries, l.Kernel.Apply, ops) }

type dummyifLane struct {
	dummyif.Kernel
	*lanes
}

func (l dummyifLane) Apply(ops []dummyif.Op) []error { return timed(&l.addresses, l.Kernel.Apply, ops) }
