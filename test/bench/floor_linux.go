package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiwatch "k8s.io/apimachinery/pkg/watch"

	"github.com/fairlead-lb/fairlead/test/bench/dataset"
	"github.com/fairlead-lb/fairlead/test/bench/floor"
	"github.com/fairlead-lb/fairlead/test/bench/result"
)

// floorSite is a network with the floor in it.
type floorSite struct {
	*measurement
	site    *site
	floor   *floor.Floor
	servers []floor.Server
	row     string
}

// floor measures what the kernel itself needs, several times, each in a fresh network: what was deleted in the last one
// would slow the kernel down.
func (m *measurement) floor(ctx context.Context) error {
	for run := range m.effort.floor {
		for _, bind := range []string{"route", "address"} {
			if bind == "address" && m.services > addressesUpTo {
				continue
			}
			m.record.say("floor, %d Services, %s: run %d of %d", m.services, bind, run+1, m.effort.floor)
			if err := m.floorRun(ctx, bind, run == 0 && bind == "route"); err != nil {
				return err
			}
		}
	}
	return nil
}

// floorRun programs one network; the first one does the other rows, too.
func (m *measurement) floorRun(ctx context.Context, bind string, first bool) (err error) {
	f, err := m.openFloor(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	if err := f.cold(bind); err != nil {
		return err
	}
	if !first {
		return nil
	}
	for _, row := range []struct {
		name string
		run  func(context.Context) error
	}{{"restart", f.restart}, {"change", f.change}, {"burst", f.burst}, {"datapath", f.datapath}, {"estimation", f.estimation}} {
		if !m.wants(row.name) {
			continue
		}
		f.row = row.name
		if err := row.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", row.name, err)
		}
	}
	return nil
}

func (m *measurement) openFloor(ctx context.Context) (f *floorSite, err error) {
	f = &floorSite{measurement: m, row: "cold"}
	if f.servers, err = m.servers(ctx); err != nil {
		return nil, err
	}
	if f.site, err = newSite(ctx, m.cluster); err != nil {
		return nil, err
	}
	err = f.site.near.Do(func() error {
		f.floor, err = floor.Open()
		return err
	})
	if err != nil {
		return nil, errors.Join(err, f.site.close())
	}
	return f, nil
}

func (f *floorSite) close() error { return errors.Join(f.floor.Close(), f.site.close()) }

// servers is the dataset as the kernel should hold it, at the beginning.
func (m *measurement) servers(ctx context.Context) ([]floor.Server, error) {
	api, err := m.cluster.advertised(ctx)
	if err != nil {
		return nil, err
	}
	reals := func(addrs []netip.Addr) (list []netip.AddrPort) {
		for _, addr := range addrs {
			list = append(list, netip.AddrPortFrom(addr, dataset.EndpointPort))
		}
		return list
	}
	list := []floor.Server{
		{VIP: dataset.APIServer, Reals: []netip.AddrPort{api}},
		{VIP: dataset.DNS, Reals: reals(dataset.DNSEndpoints())},
	}
	for i := range m.services {
		list = append(list, floor.Server{VIP: dataset.VIP(i), Reals: reals(dataset.Endpoints(i))})
	}
	if m.wide > 0 {
		list = append(list, floor.Server{VIP: dataset.WideVIP, Reals: reals(dataset.Wide(m.wide))})
	}
	return list, nil
}

// cold writes everything, in the order of a proxy: what masquerades and lets in, what balances, what binds.
func (f *floorSite) cold(bind string) error {
	sets, err := f.floor.Sets(f.servers)
	if err != nil {
		return err
	}
	servers, err := f.floor.Servers(f.servers)
	if err != nil {
		return err
	}
	var bound time.Duration
	if bind == "route" {
		bound, err = f.floor.Routes(f.servers, f.site.near.Addr4)
	} else {
		bound, err = f.floor.Addresses(f.servers)
	}
	if err != nil {
		return err
	}
	return f.add("s", map[string]time.Duration{
		"sets": sets, "servers": servers, bind: bound, "programming-" + bind: sets + servers + bound,
	})
}

// restart reads what was written, and lists what the API server has: no daemon that starts can do without either.
func (f *floorSite) restart(ctx context.Context) error {
	read, err := f.floor.Read(f.servers)
	if err != nil {
		return err
	}
	list, err := f.cluster.list(ctx)
	if err != nil {
		return err
	}
	return f.add("s", map[string]time.Duration{"read": read, "list": list})
}

// change is what no subject can do without: a client that does nothing but watch hears of each change, and writes it. Its
// latency is measured as theirs is.
func (f *floorSite) change(ctx context.Context) error {
	version, err := f.cluster.version(ctx)
	if err != nil {
		return err
	}
	w, err := f.cluster.watchSince(ctx, version)
	if err != nil {
		return err
	}
	defer w.Stop()
	group, ctx := errgroup.WithContext(ctx)
	ctx, done := context.WithCancel(ctx)
	group.Go(func() error { return f.follow(ctx, w.ResultChan()) })
	group.Go(func() error {
		defer done()
		s := &session{measurement: f.measurement, subject: Subject{Name: floorName}, site: f.site, row: f.row}
		_, _, err := s.changeMany(ctx)
		return err
	})
	return group.Wait()
}

// follow writes what has changed, until ctx ends. The new endpoint is the last one.
func (f *floorSite) follow(ctx context.Context, events <-chan apiwatch.Event) error {
	servers := make(map[string]*floor.Server)
	for i := range f.services {
		servers[dataset.Name(i)] = &f.servers[2+i] // behind the API server and the DNS
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case event := <-events:
			slice, ok := event.Object.(*discoveryv1.EndpointSlice)
			if !ok {
				return fmt.Errorf("watch the EndpointSlices: ended early: %v", event.Object)
			}
			addr, err := netip.ParseAddr(slice.Endpoints[len(slice.Endpoints)-1].Addresses[0])
			if err != nil {
				return fmt.Errorf("an endpoint of %s: %w", slice.Name, err)
			}
			server, added := servers[slice.Name], netip.AddrPortFrom(addr, dataset.EndpointPort)
			if server == nil {
				continue // the wide Service's
			}
			if _, err := f.floor.Replace([]floor.Server{*server}, []netip.AddrPort{added}); err != nil {
				return err
			}
			server.Reals = []netip.AddrPort{server.Reals[0], added}
		}
	}
}

// burst writes as many changed endpoints as Fairlead has to, and as often, and deletes what they took the place of, as after a
// drain: for minutes the kernel keeps what has been deleted, and looks through it for each real server that is added.
func (f *floorSite) burst(context.Context) error {
	n := min(f.effort.burst, f.services)
	changed := f.servers[2 : 2+n] // behind the API server and the DNS
	for range f.effort.times {
		added := make([]netip.AddrPort, n)
		for i := range added {
			added[i] = netip.AddrPortFrom(dataset.Fresh(f.cluster.fresh), dataset.EndpointPort)
			f.cluster.fresh++
		}
		took, err := f.floor.Replace(changed, added)
		if err != nil {
			return err
		}
		if err := f.add("s", map[string]time.Duration{"programming": took}); err != nil {
			return err
		}
		if err := f.floor.DeleteLast(changed); err != nil {
			return err
		}
		for i := range changed {
			changed[i].Reals = []netip.AddrPort{changed[i].Reals[0], added[i]}
		}
	}
	return nil
}

// datapath is IPVS and no rules at all.
func (f *floorSite) datapath(ctx context.Context) error {
	if err := f.site.near.SetSysctl("ipv4/vs/conntrack", "1"); err != nil {
		return err
	}
	s := &session{measurement: f.measurement, subject: Subject{Name: floorName}, site: f.site, row: f.row}
	for range f.effort.windows {
		if err := s.window(ctx, "rate"); err != nil {
			return err
		}
	}
	return nil
}

func (f *floorSite) add(unit string, values map[string]time.Duration) error {
	for metric, value := range values {
		err := f.record.add(result.Sample{
			Row: f.row, Subject: floorName, Services: f.services, Metric: metric, Unit: unit, Value: value.Seconds(),
		})
		if err != nil {
			return err
		}
	}
	return nil
}
