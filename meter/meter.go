package meter

import (
	"net/netip"
	"sync"
	"time"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// Reader reads what the kernel has counted. *ipvs.Linux is one.
type Reader interface {
	Counters() (map[ipvs.Key]ipvs.Counters, error)
	RealCounters(ipvs.Key) (map[netip.AddrPort]ipvs.Counters, error)
}

// Remembered is how long what was counted for a virtual server that is gone is remembered, in case it comes back.
const Remembered = time.Hour

// Meter counts. It is safe for concurrent use.
type Meter struct {
	mu     sync.Mutex
	reader Reader
	now    func() time.Time
	tally  map[ipvs.Key]tally
	reals  map[real]tally
}

type real struct {
	server ipvs.Key
	addr   netip.AddrPort
}

// tally is what was counted before the kernel began anew, and what it has counted since.
type tally struct {
	base, last ipvs.Counters
	seen       time.Time
}

// New returns a meter that has read nothing.
func New(reader Reader) *Meter {
	return &Meter{reader: reader, now: time.Now, tally: make(map[ipvs.Key]tally), reals: make(map[real]tally)}
}

// Read reads the counters of every virtual server that the kernel has. It is one request to the kernel.
func (m *Meter) Read() (map[ipvs.Key]ipvs.Counters, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	counted, err := m.reader.Counters()
	if err != nil {
		return nil, err
	}
	now := m.now()
	for k, c := range counted {
		t := m.tally[k].after(c, now)
		m.tally[k], counted[k] = t, t.base.Add(c)
	}
	forget(m.tally, now)
	return counted, nil
}

// Reals reads the counters of the real servers of one virtual server. It is one request to the kernel.
func (m *Meter) Reals(k ipvs.Key) (map[netip.AddrPort]ipvs.Counters, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	counted, err := m.reader.RealCounters(k)
	if err != nil {
		return nil, err
	}
	now := m.now()
	for addr, c := range counted {
		t := m.reals[real{k, addr}].after(c, now)
		m.reals[real{k, addr}], counted[addr] = t, t.base.Add(c)
	}
	return counted, nil
}

// Drop forgets what was counted for a virtual server before the kernel began anew: from now on somebody else has it.
func (m *Meter) Drop(k ipvs.Key) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.tally, k)
	for r := range m.reals {
		if r.server == k {
			delete(m.reals, r)
		}
	}
}

// Forget forgets the real servers that have not been asked about for a while.
func (m *Meter) Forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	forget(m.reals, m.now())
}

// after is the tally when the kernel has counted so far.
func (t tally) after(c ipvs.Counters, now time.Time) tally {
	if c.Before(t.last) {
		t.base = t.base.Add(t.last)
	}
	t.last, t.seen = c, now
	return t
}

func forget[K comparable](tallies map[K]tally, now time.Time) {
	for k, t := range tallies {
		if now.Sub(t.seen) > Remembered {
			delete(tallies, k)
		}
	}
}
