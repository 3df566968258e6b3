package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/controller"
	"github.com/fairlead-lb/fairlead/internal/sysctl"
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
	had        map[ipvs.Key]types.NamespacedName // who had it last, be it long ago
	generation uint64
	last       []owned // see read
	at         time.Time
}

var _ view.Meter = (*traffic)(nil)

// owned is a virtual server, who has it and what it has counted.
type owned struct {
	key      ipvs.Key
	owner    controller.Owner
	counters ipvs.Counters
}

const (
	// fresh is how old an answer may be: all who ask at once share one.
	fresh = 500 * time.Millisecond
	// patience is how long the controller is waited for. Without its answer whoever had the virtual servers last has
	// them: metrics must come above all when the controller is in trouble.
	patience = time.Second
)

// read returns the virtual servers that Services have, those with most traffic first, and when that was read. It is one
// request to the kernel and one question to the controller, or what these said just now.
func (t *traffic) read(ctx context.Context) ([]owned, time.Time, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Since(t.at) < fresh {
		return t.last, t.at, nil
	}
	if err := t.followOwners(ctx); err != nil && t.owners == nil {
		return nil, time.Time{}, err
	}
	counted, err := t.meter.Read()
	if err != nil {
		return nil, time.Time{}, err
	}
	list := make([]owned, 0, len(t.owners))
	for k, c := range counted {
		if owner, known := t.owners[k]; known {
			list = append(list, owned{k, owner, c})
		}
	}
	slices.SortFunc(list, func(a, b owned) int {
		return cmp.Or(cmp.Compare(b.counters.Connections, a.counters.Connections), cmp.Compare(b.counters.InPackets, a.counters.InPackets), a.key.Compare(b.key))
	})
	t.last, t.at = list, time.Now()
	return list, t.at, nil
}

// followOwners takes over who has which virtual server. One that goes from one Service to another begins to count anew:
// what a tenant's traffic was is not told to the next.
func (t *traffic) followOwners(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	owners, generation, err := t.ask(ctx, t.generation)
	if err != nil || owners == nil {
		return err
	}
	if t.had == nil {
		t.had = make(map[ipvs.Key]types.NamespacedName)
	}
	for k, owner := range owners {
		if before, known := t.had[k]; known && before != owner.Service {
			t.meter.Drop(k)
		}
		t.had[k] = owner.Service
	}
	if len(t.had) > 2*len(owners)+1000 { // most are long gone
		maps.DeleteFunc(t.had, func(k ipvs.Key, _ types.NamespacedName) bool {
			_, has := owners[k]
			if !has {
				t.meter.Drop(k)
			}
			return !has
		})
	}
	t.owners, t.generation = owners, generation
	return nil
}

// Traffic implements view.Meter: of one Service from its virtual servers, and otherwise from the kernel's sums over all.
func (t *traffic) Traffic(ctx context.Context, f view.Filter) (view.Traffic, error) {
	if f.Namespace == "" && f.Name == "" {
		return nodeTraffic()
	}
	list, at, err := t.read(ctx)
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

// sysctlEstimation is whether the kernel's rate estimators run.
const sysctlEstimation = "net/ipv4/vs/run_estimation"

// countersStandStill says why the counters of single virtual and real servers do not move, or nothing where they do. The
// kernel tells what its rate estimators have last summed up over the CPUs. A kernel that cannot stop them has them running.
func countersStandStill() string {
	if runs, err := sysctl.Read(sysctlEstimation); err != nil || runs != "0" {
		return ""
	}
	return "the kernel's counters stand still, for its rate estimators are stopped (net.ipv4.vs.run_estimation is 0: see ipvs.estimation)"
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
