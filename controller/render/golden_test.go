package render_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairlead-lb/fairlead/controller/render"
	"github.com/fairlead-lb/fairlead/ipvs"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestServicesRenderToWhatAnOperatorWouldSee renders every Service in testdata/NAME.yaml and
// compares with testdata/NAME.golden, which reads like `ipvsadm -Sn`.
func TestServicesRenderToWhatAnOperatorWouldSee(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no inputs: %v", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			in := read(t, path)
			got := in.render(func([]*discoveryv1.EndpointSlice) {})
			golden := strings.TrimSuffix(path, ".yaml") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("differs from %s (-want +got):\n%s", golden, diff)
			}
		})
	}
}

// TestTheOrderOfSlicesAndEndpointsMakesNoDifference renders the golden cases backwards and shuffled.
func TestTheOrderOfSlicesAndEndpointsMakesNoDifference(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no inputs: %v", err)
	}
	for _, path := range files {
		in := read(t, path)
		want := in.render(func([]*discoveryv1.EndpointSlice) {})
		for seed := range uint64(8) {
			random := rand.New(rand.NewPCG(seed, 1))
			got := in.render(func(list []*discoveryv1.EndpointSlice) {
				if seed == 0 {
					reverse(list)
				} else {
					shuffle(list, random)
				}
			})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%s, order %d (-want +got):\n%s", path, seed, diff)
			}
		}
	}
}

func reverse(list []*discoveryv1.EndpointSlice) {
	slices.Reverse(list)
	for _, slice := range list {
		slices.Reverse(slice.Endpoints)
		slices.Reverse(slice.Ports)
	}
}

func shuffle(list []*discoveryv1.EndpointSlice, random *rand.Rand) {
	random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	for _, s := range list {
		random.Shuffle(len(s.Endpoints), func(i, j int) { s.Endpoints[i], s.Endpoints[j] = s.Endpoints[j], s.Endpoints[i] })
		random.Shuffle(len(s.Ports), func(i, j int) { s.Ports[i], s.Ports[j] = s.Ports[j], s.Ports[i] })
	}
}

func format(r render.Rendered) string {
	var out strings.Builder
	for _, s := range r.Servers {
		fmt.Fprint(&out, ipvs.FormatServer(s.Key, s.Config))
		fmt.Fprintln(&out, notes(s))
		for _, real := range s.Reals {
			fmt.Fprintln(&out, ipvs.FormatReal(s.Key, real.Addr, real.RealServer))
		}
	}
	for i, l := range r.Locals {
		config := ipvs.FormatServer(ipvs.MarkKey(1, l.IPv6), l.Config)
		_, config, _ = strings.Cut(config, "-s ")
		fmt.Fprintf(&out, "local %d: %s port %q, IPv6 %v, -s %s\n", i, l.Protocol, l.Port, l.IPv6, config)
		for _, real := range l.Reals {
			fmt.Fprintf(&out, "-a local %d -r %s -m -w %d\n", i, real.Addr, real.Weight)
		}
	}
	for _, relay := range r.Relays {
		fmt.Fprintln(&out, "relay:", relay.Listen, relay.Targets, "sticky", relay.Sticky)
	}
	if r.Health.Port != 0 {
		fmt.Fprintf(&out, "health: port %d, %d local, asked at %v\n", r.Health.Port, r.Health.Local, r.Health.At)
	}
	if r.NoLocalInternal || r.NoLocalExternal {
		fmt.Fprintf(&out, "no local endpoint: internal %v, external %v\n", r.NoLocalInternal, r.NoLocalExternal)
	}
	if d := r.Settings.DrainTimeout; d != nil {
		fmt.Fprintln(&out, "drain timeout:", *d)
	}
	for _, addr := range r.Hairpin {
		fmt.Fprintln(&out, "hairpin:", addr)
	}
	for _, addr := range r.External {
		fmt.Fprintln(&out, "might be another's:", addr)
	}
	if r.Reason != "" {
		fmt.Fprintln(&out, "reason:", r.Reason)
	}
	for _, problem := range r.Problems {
		fmt.Fprintf(&out, "problem: %s: %s\n", problem.Reason, problem.Text)
	}
	return out.String()
}

// notes says what the sets say about a virtual server.
func notes(s render.Server) (text string) {
	if s.Kind != render.ClusterIP {
		text += " # " + s.Kind.String()
	}
	if s.Masquerade {
		text += " masquerade"
	}
	if s.Drop {
		text += " # drop"
	}
	switch s.Outside {
	case render.OutsideLocal:
		text += fmt.Sprintf(" outside: local %d", s.Local)
	case render.OutsideDrop:
		text += " outside: drop"
	}
	if s.Restricted {
		text += fmt.Sprint(" from ", s.Sources)
	}
	return text
}
