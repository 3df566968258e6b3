package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/meter"
	"github.com/fairlead-lb/fairlead/view"
)

// topFlags are what `fairlead top` is asked for.
type topFlags struct {
	interval  time.Duration
	count     int
	limit     int
	namespace string
	sort      string
	endpoints bool
	output    *string
	socket    *string
}

// newTopCommand returns `fairlead top`.
func newTopCommand() *cobra.Command {
	var f topFlags
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Show the busiest Services, live",
		Long: `Show the busiest Services, live: new connections, packets and bytes for each
second, in and out, from the kernel's own counters. The names of the Services come
from the daemon by its local socket; where none answers, virtual servers are shown
without. The kernel sums its counters up every two seconds, so a shorter interval
shows nothing more; and not at all while its rate estimators are stopped, which
is told.

On a terminal the screen is written anew each time; Ctrl-C ends it. In a pipe, and
with -o json, one sample follows the other.`,
		Example: `  fairlead top
  fairlead top --endpoints --sort out-bytes --limit 10
  fairlead top --namespace shop --count 1
  fairlead top -o json --interval 10s`,
		Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(checkOutput(cmd, *f.output), f.check(cmd)); err != nil {
				return err
			}
			counters, closeCounters, err := openCounters()
			if err != nil {
				return err
			}
			defer func() { _ = closeCounters() }() // sockets; nothing is lost
			ask := view.NewClient(*f.socket)
			return runTop(cmd.Context(), newSampler(f, meter.New(counters), ask.Owners, countersStandStill), cmd.OutOrStdout())
		},
	}
	cmd.Flags().DurationVar(&f.interval, "interval", 2*time.Second, "time between two samples")
	cmd.Flags().IntVar(&f.count, "count", 0, "samples to show before it ends; 0: until it is stopped")
	cmd.Flags().IntVar(&f.limit, "limit", 20, "Services to show; 0: all")
	cmd.Flags().StringVarP(&f.namespace, "namespace", "n", "", "of Services in this namespace")
	cmd.Flags().StringVar(&f.sort, "sort", "connections", "connections, in-packets, out-packets, in-bytes or out-bytes")
	cmd.Flags().BoolVar(&f.endpoints, "endpoints", false, "show the endpoints of each, too")
	f.output, f.socket = outputFlag(cmd), addSocketFlag(cmd)
	return cmd
}

func (f topFlags) check(cmd *cobra.Command) error {
	switch {
	case f.interval < 100*time.Millisecond:
		return usageError(cmd, fmt.Sprintf("--interval: %s is less than 100ms", f.interval))
	case f.count < 0 || f.limit < 0:
		return usageError(cmd, "--count and --limit: a number of 0 or more is needed")
	case f.by() == nil:
		return usageError(cmd, fmt.Sprintf("--sort: %q is not connections, in-packets, out-packets, in-bytes or out-bytes", f.sort))
	}
	return nil
}

// by returns the figure that is sorted by.
func (f topFlags) by() func(rates) float64 {
	return map[string]func(rates) float64{
		"connections": func(r rates) float64 { return r.Connections },
		"in-packets":  func(r rates) float64 { return r.InPackets },
		"out-packets": func(r rates) float64 { return r.OutPackets },
		"in-bytes":    func(r rates) float64 { return r.InBytes },
		"out-bytes":   func(r rates) float64 { return r.OutBytes },
	}[f.sort]
}

// runTop shows one sample after the other until there are enough, or ctx ends.
func runTop(ctx context.Context, s *sampler, out io.Writer) error {
	f := s.flags
	if err := s.begin(); err != nil {
		return err
	}
	screen := isTerminal(out) && *f.output != "json"
	for n := 1; f.count == 0 || n <= f.count; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(f.interval):
		}
		sample, err := s.next(ctx)
		if err != nil {
			return err
		}
		if *f.output == "json" {
			err = writeJSON(out, sample)
		} else {
			err = writeTop(out, sample, screen)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
