package meter

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/ipvs"
)

func key(addr string) ipvs.Key {
	return ipvs.Key{Addr: netip.MustParseAddrPort(addr), Protocol: ipvs.TCP}
}

func read(t *testing.T, m *Meter, k ipvs.Key) uint64 {
	t.Helper()
	all, err := m.Read()
	if err != nil {
		t.Fatal(err)
	}
	return all[k].Connections
}

// TestCountersGoOnWhereTheyWere when a virtual server is made again, seen to be away or not, unless it was away for
// so long that nobody remembers.
func TestCountersGoOnWhereTheyWere(t *testing.T) {
	k := key("10.96.0.1:80")
	fake := &Fake{Servers: map[ipvs.Key]ipvs.Counters{k: {Connections: 1 << 40}}}
	m := New(fake)
	now := time.Unix(1000, 0)
	m.now = func() time.Time { return now }
	set := func(n uint64) { fake.Servers = map[ipvs.Key]ipvs.Counters{k: {Connections: n}} }
	for _, step := range []struct {
		name   string
		change func()
		want   uint64
	}{
		{"at first", func() {}, 1 << 40},
		{"grown", func() { set(1<<40 + 7) }, 1<<40 + 7},
		{"made again", func() { set(3) }, 1<<40 + 10},
		{"grown again", func() { set(5) }, 1<<40 + 12},
		{"gone", func() { fake.Servers = nil }, 0},
		{"back", func() { set(1) }, 1<<40 + 13},
		{"gone for long", func() { fake.Servers = nil; now = now.Add(2 * Remembered) }, 0},
		{"back at last", func() { set(2) }, 2},
	} {
		step.change()
		if got := read(t, m, k); got != step.want {
			t.Errorf("%s: %d connections, want %d", step.name, got, step.want)
		}
	}
}

func TestRealServersAreCountedOnRequest(t *testing.T) {
	k, at := key("10.96.0.1:80"), netip.MustParseAddrPort("10.1.0.1:8080")
	fake := &Fake{Reals: map[ipvs.Key]map[netip.AddrPort]ipvs.Counters{k: {at: {InBytes: 9}}}}
	m := New(fake)
	for _, want := range []uint64{9, 9 + 4} {
		got, err := m.Reals(k)
		if err != nil || got[at].InBytes != want {
			t.Errorf("%v, %v; want %d bytes", got, err, want)
		}
		fake.Reals[k][at] = ipvs.Counters{InBytes: 4} // drained, deleted and made again
	}
	if fake.Requests != 2 {
		t.Errorf("%d requests", fake.Requests)
	}
	fake.Err = errors.New("no memory")
	if _, err := m.Read(); err == nil {
		t.Error("an error is lost")
	}
}

// TestWhatIsDroppedBeginsAnew: what one had counted is not told to the next.
func TestWhatIsDroppedBeginsAnew(t *testing.T) {
	k, at := key("10.96.0.1:80"), netip.MustParseAddrPort("10.1.0.1:8080")
	fake := &Fake{
		Servers: map[ipvs.Key]ipvs.Counters{k: {Connections: 1000}},
		Reals:   map[ipvs.Key]map[netip.AddrPort]ipvs.Counters{k: {at: {Connections: 1000}}},
	}
	m := New(fake)
	now := time.Unix(1000, 0)
	m.now = func() time.Time { return now }
	read(t, m, k)
	_, _ = m.Reals(k)
	m.Drop(k)
	fake.Servers[k], fake.Reals[k][at] = ipvs.Counters{Connections: 3}, ipvs.Counters{Connections: 3}
	reals, err := m.Reals(k)
	if got := read(t, m, k); got != 3 || err != nil || reals[at].Connections != 3 {
		t.Errorf("%d connections, %v of the real server; %v", got, reals, err)
	}
	now = now.Add(2 * Remembered)
	m.Forget()
	if len(m.reals) != 0 {
		t.Errorf("%d real servers are remembered that nobody has asked about", len(m.reals))
	}
}
