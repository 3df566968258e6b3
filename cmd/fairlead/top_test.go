package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/meter"
	"github.com/fairlead-lb/fairlead/view"
)

// rising is a kernel in which every virtual server counts on with each reading: the n-th one n times as fast.
type rising struct {
	meter.Fake
	reads uint64
	keys  []ipvs.Key
}

func newRising(n int) *rising {
	r := &rising{}
	for i := range n {
		r.keys = append(r.keys, ipvs.Key{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}), 80), Protocol: ipvs.TCP})
	}
	return r
}

func (r *rising) Counters() (map[ipvs.Key]ipvs.Counters, error) {
	r.reads++
	r.Requests++
	all := make(map[ipvs.Key]ipvs.Counters)
	for i, k := range r.keys {
		all[k] = ipvs.Counters{Connections: r.reads * uint64(i), OutBytes: r.reads * uint64(len(r.keys)-i) * 1000}
	}
	return all, nil
}

func (r *rising) RealCounters(ipvs.Key) (map[netip.AddrPort]ipvs.Counters, error) {
	r.Requests++
	return map[netip.AddrPort]ipvs.Counters{netip.MustParseAddrPort("10.1.0.1:8080"): {Connections: r.reads * 5}}, nil
}

func (r *rising) owners(context.Context) (list []view.Owner, err error) {
	for i, k := range r.keys {
		namespace := "shop"
		if i%2 == 1 {
			namespace = "bank"
		}
		list = append(list, view.Owner{Server: k.String(), Namespace: namespace, Name: "web", Kind: "ClusterIP"})
	}
	return list, nil
}

func flagsOfTop(output string) topFlags {
	socket := ""
	return topFlags{interval: 100 * time.Millisecond, count: 2, limit: 2, sort: "connections", output: &output, socket: &socket}
}

func TestTopShowsTheBusiestFirst(t *testing.T) {
	r := newRising(10_000)
	f := flagsOfTop("json")
	f.endpoints, f.namespace = true, "shop"
	var out strings.Builder
	if err := runTop(t.Context(), newSampler(f, meter.New(r), r.owners, func() string { return "" }), &out); err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(strings.NewReader(out.String()))
	var samples []topSample
	for decoder.More() {
		var s topSample
		if err := decoder.Decode(&s); err != nil {
			t.Fatal(err)
		}
		samples = append(samples, s)
	}
	if len(samples) != 2 {
		t.Fatalf("%d samples", len(samples))
	}
	last := samples[1]
	if len(last.Rows) != 2 || last.All != 10_000 || last.Busy != 10_000 || last.Rows[0].Server != r.keys[9998].String() || last.Rows[0].Namespace != "shop" || last.Rows[1].Server != r.keys[9996].String() {
		t.Errorf("%+v", last)
	}
	if got, want := last.Rows[0].Connections*last.Seconds, 9998.; got < want*0.99 || got > want*1.01 {
		t.Errorf("%v connections, want %v", got, want)
	}
	if e := last.Rows[0].Endpoints; len(e) != 1 || e[0].Endpoint != "10.1.0.1:8080" || e[0].Connections <= 0 {
		t.Errorf("endpoints %+v", e)
	}
	if r.Requests != 3+2*2 {
		t.Errorf("%d requests to the kernel: one for each sample, and one for each row that is shown", r.Requests)
	}
}

func TestTopForPeople(t *testing.T) {
	r := newRising(3)
	f := flagsOfTop("text")
	f.sort, f.count = "out-bytes", 1
	var out strings.Builder
	nobody := func(context.Context) ([]view.Owner, error) { return nil, errors.New("no daemon answers") }
	if err := runTop(t.Context(), newSampler(f, meter.New(r), nobody, func() string { return "they stand still" }), &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	for i, want := range []string{"3 of 3 virtual servers with traffic", "without the names of Services: no daemon answers", "they stand still", "VIRTUAL SERVER", "tcp 10.96.0.0:80", "tcp 10.96.0.1:80"} {
		if !strings.Contains(lines[i], want) {
			t.Errorf("line %d is %q, without %q", i, lines[i], want)
		}
	}
}

func TestShortNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.25: "0.2", 7: "7", 9.96: "10.0", 999.4: "999", 999.6: "1.0k", 1234: "1.2k", 12345: "12k", 5e6: "5M", 1.5e9: "1.5G", 3e12: "3T"} {
		if got := short(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}

func TestTopRefusesNonsense(t *testing.T) {
	for line, want := range map[string]string{
		"top --sort luck":              `--sort: "luck" is not`,
		"top --interval 1s --limit -1": "--count and --limit",
		"top --interval 0s":            "--interval: 0s is less",
	} {
		status, _, stderr := command(strings.Fields(line)...)
		if status != 1 || !strings.Contains(stderr, want) {
			t.Errorf("%s: %d %s", line, status, stderr)
		}
	}
}
