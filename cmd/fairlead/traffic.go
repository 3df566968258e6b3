package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-lb/fairlead/controller"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/meter"
	"github.com/fairlead-lb/fairlead/view"
)

// ownersOf tells who has each virtual server, unless that is what is known already: see controller.Owners.
type ownersOf func(ctx context.Context, known uint64) (map[ipvs.Key]controller.Owner, uint64, error)

// traffic is what has gone through the virtual servers that Services have. It is safe for concurrent use.
type traffic struct {
	meter *meter.Meter
	ask   ownersOf

	mu         sync.Mutex
	owners     map[ipvs.Key]controller.Owner
	generation uint64
	last       []owned // see recent
	at         time.Time
}

var _ view.Meter = (*traffic)(nil)

// owned is a virtual server, who has it and what it has counted.
type owned struct {
	key      ipvs.Key
	owner    controller.Owner
	counters ipvs.Counters
}

// read returns the virtual servers that Services have, those with most traffic first. It is one request to the kernel
// and one question to the controller.
func (t *traffic) read(ctx context.Context) (list []owned, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.readLocked(ctx)
}

func (t *traffic) readLocked(ctx context.Context) (list []owned, err error) {
	owners, generation, err := t.ask(ctx, t.generation)
	if err != nil {
		return nil, err
	}
	if owners != nil {
		t.owners, t.generation = owners, generation
	}
	counted, err := t.meter.Read()
	if err != nil {
		return nil, err
	}
	list = make([]owned, 0, len(t.owners))
	for k, c := range counted {
		if owner, known := t.owners[k]; known {
			list = append(list, owned{k, owner, c})
		}
	}
	slices.SortFunc(list, func(a, b owned) int {
		return cmp.Or(cmp.Compare(b.counters.Connections, a.counters.Connections), cmp.Compare(b.counters.InPackets, a.counters.InPackets), a.key.Compare(b.key))
	})
	return list, nil
}

// fresh is how old an answer may be for those who ask every second: all who look at the status page share it.
const fresh = 500 * time.Millisecond

// recent is read, or what it returned just now.
func (t *traffic) recent(ctx context.Context) ([]owned, time.Time, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.at) < fresh {
		return t.last, t.at, nil
	}
	list, err := t.readLocked(ctx)
	if err == nil {
		t.last, t.at = list, time.Now()
	}
	return list, t.at, err
}

// Traffic implements view.Meter: of one Service from its virtual servers, and otherwise from the kernel's sums over all.
func (t *traffic) Traffic(ctx context.Context, f view.Filter) (view.Traffic, error) {
	if f.Namespace == "" && f.Name == "" {
		return nodeTraffic()
	}
	list, at, err := t.recent(ctx)
	if err != nil {
		return view.Traffic{}, err
	}
	var sum ipvs.Counters
	for _, s := range list {
		if s.owner.Service.Namespace == f.Namespace && s.owner.Service.Name == f.Name {
			sum = sum.Add(s.counters)
		}
	}
	return trafficOf(at, sum), nil
}

func trafficOf(at time.Time, c ipvs.Counters) view.Traffic {
	return view.Traffic{
		At: at, Services: true, Connections: c.Connections,
		InPackets: c.InPackets, OutPackets: c.OutPackets, InBytes: c.InBytes, OutBytes: c.OutBytes,
	}
}

// nodeTraffic reads what has gone through all virtual servers together.
func nodeTraffic() (view.Traffic, error) {
	file, err := os.Open(ipvs.TotalsFile)
	if err != nil {
		return view.Traffic{}, fmt.Errorf("read the kernel's counters: %w", err)
	}
	defer file.Close()
	c, err := ipvs.ReadTotals(file)
	if err != nil {
		return view.Traffic{}, fmt.Errorf("read the kernel's counters from %s: %w", ipvs.TotalsFile, err)
	}
	return trafficOf(time.Now(), c), nil
}
