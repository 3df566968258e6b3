package meter

import (
	"maps"
	"net/netip"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// Fake is a Reader in memory.
type Fake struct {
	Servers map[ipvs.Key]ipvs.Counters
	Reals   map[ipvs.Key]map[netip.AddrPort]ipvs.Counters

	Requests int   // so many have been made
	Err      error // what they are answered with; nil: as they should be
}

var _ Reader = (*Fake)(nil)

// Counters implements Reader.
func (f *Fake) Counters() (map[ipvs.Key]ipvs.Counters, error) {
	f.Requests++
	return maps.Clone(f.Servers), f.Err
}

// RealCounters implements Reader.
func (f *Fake) RealCounters(k ipvs.Key) (map[netip.AddrPort]ipvs.Counters, error) {
	f.Requests++
	return maps.Clone(f.Reals[k]), f.Err
}
