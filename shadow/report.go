package shadow

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
)

// Report is what came of a comparison.
type Report struct {
	Mode        string       `json:"mode"` // of kube-proxy
	Services    int          `json:"services"`
	Compared    int          `json:"compared"` // frontends
	Same        int          `json:"same"`
	Differences []Difference `json:"differences"`
	NotCompared []Skipped    `json:"notCompared"`
}

// Difference is a frontend that new connections fare differently at.
type Difference struct {
	Service       string           `json:"service"` // "" if Fairlead knows none that has it
	Frontend      string           `json:"frontend"`
	OnlyKubeProxy []netip.AddrPort `json:"onlyKubeProxy"`
	OnlyFairlead  []netip.AddrPort `json:"onlyFairlead"`
}

// Skipped is a frontend that was not compared.
type Skipped struct {
	Service  string `json:"service"`
	Frontend string `json:"frontend"`
	Reason   string `json:"reason"`
}

// Ours is what Fairlead would do.
type Ours struct {
	State    State
	Services map[Frontend]string // whose each is
	Skip     map[Frontend]string // why it is not to be compared
}

// Compare compares. A frontend without endpoints is the same as none: connections are refused at either.
func Compare(mode string, theirs State, ours Ours) Report {
	r := Report{Mode: mode, Differences: []Difference{}, NotCompared: []Skipped{}}
	services := make(map[string]bool)
	for _, f := range frontends(theirs, ours.State) {
		service := ours.Services[f]
		if service != "" {
			services[service] = true
		}
		if reason, skipped := ours.Skip[f]; skipped {
			r.NotCompared = append(r.NotCompared, Skipped{service, f.String(), reason})
			continue
		}
		r.Compared++
		d := Difference{service, f.String(), theirs[f].without(ours.State[f]), ours.State[f].without(theirs[f])}
		if len(d.OnlyKubeProxy)+len(d.OnlyFairlead) == 0 {
			r.Same++
			continue
		}
		r.Differences = append(r.Differences, d)
	}
	r.Services = len(services)
	slices.SortStableFunc(r.Differences, func(a, b Difference) int { return cmp.Compare(a.Service, b.Service) })
	slices.SortStableFunc(r.NotCompared, func(a, b Skipped) int { return cmp.Compare(a.Service, b.Service) })
	return r
}

// frontends lists those of both, sorted.
func frontends(states ...State) (list []Frontend) {
	for _, s := range states {
		for f := range s {
			list = append(list, f)
		}
	}
	slices.SortFunc(list, Frontend.compare)
	return slices.Compact(list)
}

// Parity reports that nothing that was compared differs.
func (r Report) Parity() bool { return len(r.Differences) == 0 }

// Write writes the report for people.
func (r Report) Write(out io.Writer) error {
	p := printer{out: out}
	p.linef("kube-proxy, mode %s: %d frontends of %d Services compared, %d the same, %d differ, %d not compared",
		r.Mode, r.Compared, r.Services, r.Same, len(r.Differences), len(r.NotCompared))
	for _, d := range r.Differences {
		p.linef("")
		p.linef("%s  %s", cmp.Or(d.Service, "(no Service that Fairlead serves)"), d.Frontend)
		for _, e := range d.OnlyKubeProxy {
			p.linef("  only kube-proxy   %s", e)
		}
		for _, e := range d.OnlyFairlead {
			p.linef("  only Fairlead     %s", e)
		}
	}
	for i, s := range r.NotCompared {
		if i == 0 {
			p.linef("")
		}
		p.linef("not compared: %s  %s: %s", s.Service, s.Frontend, s.Reason)
	}
	return p.err
}

type printer struct {
	out io.Writer
	err error
}

func (p *printer) linef(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.out, format+"\n", args...)
	}
}
