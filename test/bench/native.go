package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"github.com/fairlead-lb/fairlead/test/bench/result"
)

// microbenchmarks runs the controller's benchmarks on the host, on kernels in memory: what the daemon's own code costs
// natively, without the kernel's part.
func (r *runner) microbenchmarks(ctx context.Context) error {
	r.say("micro-benchmarks on the host")
	cmd := exec.CommandContext(ctx, "go", "test", "./controller", "-run", "^$", "-bench", "SyncOne|ColdStart|Burst|Audit|Wide", "-benchmem", "-timeout", "30m")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("micro-benchmarks: %w\n%s", err, out)
	}
	var fresh []result.Sample
	for line := range bytes.Lines(out) {
		for _, s := range parseBenchmark(string(line)) {
			r.say("  %s", s)
			fresh = append(fresh, s)
		}
	}
	r.result.Replace(fresh)
	return nil
}

var benchmarkLine = regexp.MustCompile(`^Benchmark(\w+)/(\d+)(?:-\d+)?\s+\d+\s+(.*)$`)

// parseBenchmark reads a line of go test -bench: a name with the number of Services, how often, then values with units.
func parseBenchmark(line string) (samples []result.Sample) {
	m := benchmarkLine.FindStringSubmatch(strings.TrimSpace(line))
	if m == nil {
		return nil
	}
	services, err := strconv.Atoi(m[2])
	if err != nil {
		return nil
	}
	words := strings.Fields(m[3])
	for i := 0; i+1 < len(words); i += 2 {
		value, err := strconv.ParseFloat(words[i], 64)
		if err != nil {
			return nil
		}
		samples = append(samples, result.Sample{
			Row: "native", Subject: m[1], Services: services, Metric: words[i+1], Unit: words[i+1], Value: value,
		})
	}
	return samples
}
