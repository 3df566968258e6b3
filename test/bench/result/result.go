// Package result is what a benchmark run leaves behind: one JSON file with every sample and enough
// about the surroundings to judge them. docs/benchmarks.md is made of such a file and nothing else.
package result

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"
)

// Sample is one measured value.
type Sample struct {
	Row      string  `json:"row"`      // what was done: cold, change, ...
	Subject  string  `json:"subject"`  // who did it: fairlead-route, kube-proxy-ipvs, floor, ...
	Services int     `json:"services"` // among how many
	Metric   string  `json:"metric"`
	Unit     string  `json:"unit"`
	Value    float64 `json:"value"`
	More     bool    `json:"more,omitempty"` // the time limit came first: it is more than Value
	Note     string  `json:"note,omitempty"`
}

// String is how a run prints a sample while it goes on.
func (s Sample) String() string {
	more := ""
	if s.More {
		more = "more than "
	}
	text := fmt.Sprintf("%s, %d Services, %s: %s %s%.4g %s", s.Subject, s.Services, s.Row, s.Metric, more, s.Value, s.Unit)
	if s.Note != "" {
		text += " (" + s.Note + ")"
	}
	return text
}

// Setup is what was measured, and on what.
type Setup struct {
	Date      time.Time         `json:"date"`
	Commit    string            `json:"commit"`
	Kernel    string            `json:"kernel"`    // of the VM
	Processor string            `json:"processor"` // as the VM sees it
	CPUs      int               `json:"cpus"`
	Emulated  bool              `json:"emulated"`
	Versions  map[string]string `json:"versions"` // of the programs
	Endpoints int               `json:"endpointsPerService"`
	Quick     bool              `json:"quick,omitempty"` // a try of the tools: the numbers say nothing
	Load      []Load            `json:"hostLoad"`        // what else the machine did
}

// Load is the host's load average before a part of the run.
type Load struct {
	Services int       `json:"services"`
	At       time.Time `json:"at"`
	Average  string    `json:"average"`
}

// Result is one run.
type Result struct {
	Setup   Setup    `json:"setup"`
	Samples []Sample `json:"samples"`
}

// Read reads a result file.
func Read(file string) (r Result, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return r, fmt.Errorf("read the result: %w", err)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("read the result %s: %w", file, err)
	}
	return r, nil
}

// Write writes a result file, one sample to a line, so that two files can be compared by line.
func (r Result) Write(file string) error {
	setup, err := json.MarshalIndent(r.Setup, "  ", "  ")
	if err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	out := fmt.Appendf(nil, "{\n  \"setup\": %s,\n  \"samples\": [", setup)
	for i, s := range r.Samples {
		line, err := json.Marshal(s)
		if err != nil {
			return fmt.Errorf("write the result: %w", err)
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, "\n    %s", line)
	}
	out = append(out, "\n  ]\n}\n"...)
	if err := os.WriteFile(file, out, 0o644); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// Replace adds samples, in the place of those of the same row, subject and number of Services.
func (r *Result) Replace(fresh []Sample) {
	type part struct {
		row, subject string
		services     int
	}
	parts := make(map[part]bool)
	for _, s := range fresh {
		parts[part{s.Row, s.Subject, s.Services}] = true
	}
	r.Samples = slices.DeleteFunc(r.Samples, func(s Sample) bool { return parts[part{s.Row, s.Subject, s.Services}] })
	r.Samples = append(r.Samples, fresh...)
}

// Values are the samples of one metric, of one subject, among so many Services.
type Values []Sample

// Of selects samples.
func (r Result) Of(row, subject string, services int, metric string) (list Values) {
	for _, s := range r.Samples {
		if s.Row == row && s.Subject == subject && s.Services == services && s.Metric == metric {
			list = append(list, s)
		}
	}
	return list
}

// Quantile returns the q-quantile by nearest rank, and whether it is only known to be more than
// that. A sample that met its time limit counts as larger than every other.
func (v Values) Quantile(q float64) (value float64, more, ok bool) {
	if len(v) == 0 {
		return 0, false, false
	}
	sorted := slices.Clone(v)
	slices.SortStableFunc(sorted, func(a, b Sample) int {
		if a.More != b.More {
			if a.More {
				return 1
			}
			return -1
		}
		switch {
		case a.Value < b.Value:
			return -1
		case a.Value > b.Value:
			return 1
		}
		return 0
	})
	rank := int(q * float64(len(sorted)))
	s := sorted[min(rank, len(sorted)-1)]
	return s.Value, s.More, true
}

// Sizes lists the numbers of Services for which there is a sample of the row and metric.
func (r Result) Sizes(row, metric string) (sizes []int) {
	for _, s := range r.Samples {
		if s.Row == row && s.Metric == metric && !slices.Contains(sizes, s.Services) {
			sizes = append(sizes, s.Services)
		}
	}
	slices.Sort(sizes)
	return sizes
}

// Subjects lists, in the order of the file, who has a sample of the row and metric.
func (r Result) Subjects(row, metric string) (names []string) {
	for _, s := range r.Samples {
		if s.Row == row && s.Metric == metric && !slices.Contains(names, s.Subject) {
			names = append(names, s.Subject)
		}
	}
	return names
}
