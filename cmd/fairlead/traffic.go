package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/view"
)

// nodeMeter counts the traffic of all virtual servers together.
type nodeMeter struct{}

var _ view.Meter = nodeMeter{}

// Traffic implements view.Meter.
func (nodeMeter) Traffic(_ context.Context, f view.Filter) (view.Traffic, error) {
	if f.Namespace != "" || f.Name != "" {
		return view.Traffic{}, errors.New("traffic is counted for the whole node only")
	}
	file, err := os.Open(ipvs.TotalsFile)
	if err != nil {
		return view.Traffic{}, fmt.Errorf("read the kernel's counters: %w", err)
	}
	defer file.Close()
	t, err := ipvs.ReadTotals(file)
	if err != nil {
		return view.Traffic{}, fmt.Errorf("read the kernel's counters from %s: %w", ipvs.TotalsFile, err)
	}
	return view.Traffic{
		At: time.Now(), Connections: t.Connections,
		InPackets: t.InPackets, OutPackets: t.OutPackets, InBytes: t.InBytes, OutBytes: t.OutBytes,
	}, nil
}
