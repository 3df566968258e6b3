package main

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/meter"
	"github.com/fairlead-lb/fairlead/view"
)

// rates are counters for each second.
type rates struct {
	Connections float64 `json:"connectionsPerSecond"`
	InPackets   float64 `json:"inPacketsPerSecond"`
	OutPackets  float64 `json:"outPacketsPerSecond"`
	InBytes     float64 `json:"inBytesPerSecond"`
	OutBytes    float64 `json:"outBytesPerSecond"`
}

func ratesOf(before, after ipvs.Counters, took time.Duration) rates {
	each := func(before, after uint64) float64 { return float64(after-before) / took.Seconds() }
	return rates{
		each(before.Connections, after.Connections), each(before.InPackets, after.InPackets), each(before.OutPackets, after.OutPackets),
		each(before.InBytes, after.InBytes), each(before.OutBytes, after.OutBytes),
	}
}

// topRow is a virtual server, or one of its endpoints.
type topRow struct {
	key       ipvs.Key
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Kind      string `json:"kind"`
	Server    string `json:"server"`
	Endpoint  string `json:"endpoint,omitempty"`
	rates

	Endpoints []topRow `json:"endpoints,omitempty"`
}

// topSample is what went through virtual servers in a time.
type topSample struct {
	At      time.Time `json:"at"`
	Seconds float64   `json:"seconds"`
	Total   rates     `json:"total"`
	Busy    int       `json:"busy"` // virtual servers with any traffic
	All     int       `json:"all"`
	Rows    []topRow  `json:"rows"`
	Unnamed string    `json:"unnamed,omitempty"` // why there are no names
	Still   string    `json:"still,omitempty"`   // why all rates are zero, whatever the traffic
}

// sampler takes samples.
type sampler struct {
	flags  topFlags
	meter  *meter.Meter
	owners func(context.Context) ([]view.Owner, error)
	still  func() string

	at     time.Time
	before map[ipvs.Key]ipvs.Counters
	reals  map[ipvs.Key]map[netip.AddrPort]ipvs.Counters // of those that were shown last
}

func newSampler(f topFlags, m *meter.Meter, owners func(context.Context) ([]view.Owner, error), still func() string) *sampler {
	return &sampler{flags: f, meter: m, owners: owners, still: still, reals: make(map[ipvs.Key]map[netip.AddrPort]ipvs.Counters)}
}

func (s *sampler) begin() (err error) {
	s.before, err = s.meter.Read()
	s.at = time.Now()
	return err
}

func (s *sampler) next(ctx context.Context) (sample topSample, err error) {
	now, err := s.meter.Read()
	if err != nil {
		return sample, err
	}
	at := time.Now()
	took := at.Sub(s.at)
	sample = topSample{At: at, Seconds: took.Seconds(), All: len(now), Rows: []topRow{}, Still: s.still()}
	names, err := s.names(ctx)
	if err != nil {
		sample.Unnamed = err.Error()
	}
	for k, c := range now {
		row := topRow{key: k, Server: k.String()}
		if before, known := s.before[k]; known { // one made meanwhile has counted nobody knows since when
			row.rates = ratesOf(before, c, took)
		}
		sample.count(row.rates)
		if o, known := names[row.Server]; known {
			row.Namespace, row.Name, row.Kind = o.Namespace, o.Name, o.Kind
		}
		if s.flags.namespace == "" || s.flags.namespace == row.Namespace {
			sample.Rows = append(sample.Rows, row)
		}
	}
	sample.first(s.flags.limit, s.flags.by())
	s.before, s.at = now, at
	if s.flags.endpoints {
		return sample, s.addEndpoints(sample.Rows, took)
	}
	return sample, nil
}

// count adds a virtual server to the sums.
func (t *topSample) count(r rates) {
	t.Total = t.Total.add(r)
	if r != (rates{}) {
		t.Busy++
	}
}

// first leaves the busiest rows, sorted.
func (t *topSample) first(limit int, by func(rates) float64) {
	slices.SortFunc(t.Rows, func(a, b topRow) int { return cmp.Or(cmp.Compare(by(b.rates), by(a.rates)), a.key.Compare(b.key)) })
	if limit > 0 && len(t.Rows) > limit {
		t.Rows = t.Rows[:limit]
	}
}

func (r rates) add(o rates) rates {
	return rates{r.Connections + o.Connections, r.InPackets + o.InPackets, r.OutPackets + o.OutPackets, r.InBytes + o.InBytes, r.OutBytes + o.OutBytes}
}

func (s *sampler) names(ctx context.Context) (map[string]view.Owner, error) {
	list, err := s.owners(ctx)
	names := make(map[string]view.Owner, len(list))
	for _, o := range list {
		names[o.Server] = o
	}
	return names, err
}

// addEndpoints asks about the real servers of the rows that are shown, and no others. One that was not shown the last
// time has no rates yet.
func (s *sampler) addEndpoints(rows []topRow, took time.Duration) error {
	shown := make(map[ipvs.Key]map[netip.AddrPort]ipvs.Counters)
	for i := range rows {
		k := rows[i].key
		now, err := s.meter.Reals(k)
		if err != nil {
			return err
		}
		shown[k] = now
		for addr, c := range sorted(now) {
			row := topRow{Namespace: rows[i].Namespace, Name: rows[i].Name, Kind: rows[i].Kind, Server: rows[i].Server, Endpoint: addr.String()}
			if before, known := s.reals[k][addr]; known {
				row.rates = ratesOf(before, c, took)
			}
			rows[i].Endpoints = append(rows[i].Endpoints, row)
		}
	}
	s.reals = shown
	return nil
}
