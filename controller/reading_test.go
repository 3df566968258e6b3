package controller

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// slowRules is an iptables that fails, and takes its time for it.
type slowRules struct {
	masq.Kernel
	takes time.Duration
	fails bool
	tries int
}

func (s *slowRules) EnsureRules(chains map[masq.Family][]masq.Chain) (int, error) {
	s.tries++
	time.Sleep(s.takes)
	if s.fails {
		return 0, errors.New("the lock is taken")
	}
	return s.Kernel.EnsureRules(chains)
}

// withRules puts another iptables in front of the rig's kernel, and starts again.
func (r *rig) withRules(s *slowRules) {
	s.Kernel = r.masq
	r.c = newTestController(r.world, Kernel{IPVS: r.ipvs, Dummyif: r.dummyif, Masq: s}, r.log, func() bool { return r.complete })
	for name := range r.world.services {
		r.c.dirty.add(name)
	}
	r.round()
}

// TestRulesThatFailCostAChangeNothing: they are tried again by themselves, and not at every change.
func TestRulesThatFailCostAChangeNothing(t *testing.T) {
	r := newRig(t)
	r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1"))
	r.round()
	rules := &slowRules{fails: true}
	r.withRules(rules)
	messages, tries := r.messages(), rules.tries
	r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1", "10.1.0.2"))
	r.round()
	if got := r.messages() - messages; got != 1 {
		t.Errorf("one endpoint more cost %d messages, want 1", got)
	}
	if rules.tries != tries {
		t.Error("the rules were tried again at once")
	}
	messages = r.messages()
	r.later(time.Second)
	if got := r.messages() - messages; got != 0 || rules.tries == tries {
		t.Errorf("a second later the rules were tried %d times, at %d messages of others", rules.tries-tries, got)
	}
	rules.fails = false
	r.later(time.Minute)
	tries = rules.tries
	r.later(time.Minute)
	if r.c.rules.stale || rules.tries != tries {
		t.Error("the rules are tried again though they are right")
	}
}

// TestARetryIsCountedFromTheEndOfTheRound: an iptables that waits for the lock takes half a minute.
func TestARetryIsCountedFromTheEndOfTheRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.now = time.Now()
		r.withRules(&slowRules{fails: true, takes: 30 * time.Second})
		for name, b := range map[string]backoff{"round": r.c.trigger.round, "rules": r.c.rules.trigger} {
			if wait := time.Until(b.at); wait != b.patience || wait <= 0 {
				t.Errorf("%s: again in %s, want %s", name, wait, b.patience)
			}
		}
	})
}

// TestAnAuditOfNothingIsDoneInOneStep counts how often the sets are read in an hour without Services.
func TestAnAuditOfNothingIsDoneInOneStep(t *testing.T) {
	r := newRig(t)
	messages := r.messages()
	for end := r.now.Add(10 * time.Hour); r.now.Before(end); {
		r.later(r.c.trigger.wait(r.now, r.c.rules.retry(), time.Time{}, false))
	}
	const each = 5 // sets ensured and read, virtual servers, the device ensured and read
	if got := r.messages() - messages; got != 10*each {
		t.Errorf("%d messages in ten sync periods, want %d", got, 10*each)
	}
}

// drift is how many objects have been counted as found other than they were left.
func (r *rig) drift() (n float64) {
	for _, name := range []string{"masq", "ipvs", "dummyif"} {
		n += testutil.ToFloat64(r.c.Metrics.drift.WithLabelValues(name))
	}
	return n
}

func TestDriftIsWhatOthersDid(t *testing.T) {
	r := newRig(t)
	r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1"))
	r.round()
	rules := &slowRules{fails: true}
	r.withRules(rules)
	rules.fails = false
	_ = r.masq.Remove(nil) // as if there never had been any
	if _, err := r.masq.EnsureSets(); err != nil {
		t.Fatal(err)
	}
	r.later(time.Minute)
	if got := r.drift(); got != 0 {
		t.Errorf("a first start counted %v of its own writes as drift", got)
	}
	r.later(2 * time.Hour)
	before := r.drift()
	r.ipvs.Apply([]ipvs.Op{{Verb: ipvs.DeleteServer, Key: r.key("10.96.0.10:80", ipvs.TCP)}})
	r.later(2 * time.Hour)
	if got := r.drift() - before; got != 1 {
		t.Errorf("a virtual server that somebody deleted counted %v", got)
	}
}

// unreadableReals is a kernel that does not tell the real servers of one virtual server.
type unreadableReals struct {
	*ipvs.Fake
	of ipvs.Key
}

func (u *unreadableReals) RealServers(k ipvs.Key) (map[netip.AddrPort]ipvs.RealStatus, error) {
	if k == u.of {
		return nil, errors.New("cannot be read")
	}
	return u.Fake.RealServers(k)
}

// TestRealServersThatCannotBeReadAreTriedAgainAndTold: the rest is read meanwhile.
func TestRealServersThatCannotBeReadAreTriedAgainAndTold(t *testing.T) {
	r := newRig(t)
	kernel := &unreadableReals{Fake: r.ipvs}
	r.ipvs.Hidden = func(k ipvs.Key) bool { return k == kernel.of } // so it must be read by itself
	r.c = newTestController(r.world, Kernel{IPVS: kernel, Dummyif: r.dummyif, Masq: r.masq}, r.log, func() bool { return true })
	for n := range 40 {
		r.set(service("web"+vip(n), vip(n)), endpoints(endpoint(n)))
	}
	r.round()
	held := r.kernel()
	bad, good := r.key(vip(7)+":80", ipvs.TCP), r.key(vip(8)+":80", ipvs.TCP)
	kernel.of = bad
	for _, k := range []ipvs.Key{bad, good} {
		for _, real := range r.c.ipvs.Reals(k) {
			r.ipvs.Apply([]ipvs.Op{{Verb: ipvs.DeleteReal, Key: k, Real: real.Addr}})
		}
	}
	for range 2*auditSteps - 4 { // the whole cycle of an audit, but not the beginning of the next one
		r.later(time.Hour / auditSteps)
	}
	r.later(time.Second)
	if r.c.readable {
		t.Error("what could not be read counts as read")
	}
	if got := len(strings.Split(r.kernel(), "\n")); got != len(strings.Split(held, "\n"))-1 {
		t.Errorf("the other one was not put right:\n%s", r.kernel())
	}
	kernel.of = ipvs.Key{}
	for range 2 {
		r.later(time.Hour / auditSteps)
	}
	r.mustHold(held)
	if !r.c.readable {
		t.Error("read, and still counted as unreadable")
	}
}

// TestAnAuditThatIsLateGoesOnToItsEnd: where rounds are rare, a new audit must not begin before every
// real server has been looked at, or the last ones never would.
func TestAnAuditThatIsLateGoesOnToItsEnd(t *testing.T) {
	r := newRig(t)
	for n := range 40 {
		r.set(service("web"+vip(n), vip(n)), endpoints(endpoint(n)))
	}
	r.round()
	held := r.kernel()
	for n := range 40 {
		for _, real := range r.c.ipvs.Reals(r.key(vip(n)+":80", ipvs.TCP)) {
			r.ipvs.Apply([]ipvs.Op{{Verb: ipvs.DeleteReal, Key: r.key(vip(n)+":80", ipvs.TCP), Real: real.Addr}})
		}
	}
	for range 1 + auditSteps/2 {
		r.later(time.Hour) // a whole period each
	}
	r.mustHold(held)
}

// TestAnAuditOfVeryManyFindsEveryKindOfDrift: where it reads page by page, too.
func TestAnAuditOfVeryManyFindsEveryKindOfDrift(t *testing.T) {
	r := rigWith(t, 17_000)
	r.audited()
	held := r.kernel()
	key := func(n int) ipvs.Key { return r.key(vip(n)+":80", ipvs.TCP) }
	server := ipvs.VirtualServer{Scheduler: "rr"}
	extra := ipvs.Key{Addr: netip.AddrPortFrom(netip.MustParseAddr(vip(5)), 81), Protocol: ipvs.TCP}
	r.ipvs.Apply([]ipvs.Op{
		{Verb: ipvs.DeleteServer, Key: key(1)},
		{Verb: ipvs.EditServer, Key: key(2), Server: ipvs.VirtualServer{Scheduler: "sh"}},
		{Verb: ipvs.DeleteReal, Key: key(3), Real: r.c.ipvs.Reals(key(3))[0].Addr},
		{Verb: ipvs.AddServer, Key: extra, Server: server},
	})
	bound := func(addr string) dummyif.Binding { return dummyif.Binding{Addr: netip.MustParseAddr(addr)} }
	const orphan = "10.250.0.1" // of an earlier daemon's, as its entry says
	r.masq.Apply([]masq.Op{
		{Delete: true, Entry: served(key(4))}, {Delete: true, Entry: vipEntry(netip.MustParseAddr(vip(6)))},
		{Entry: served(extra)}, {Entry: vipEntry(netip.MustParseAddr(orphan))},
	})
	r.dummyif.Apply([]dummyif.Op{{Verb: dummyif.Unbind, Binding: bound(vip(7))}, {Verb: dummyif.Bind, Binding: bound(orphan)}})
	for range 2 { // the first one had begun before
		for r.c.Metrics.audited.Store(0); r.c.Metrics.audited.Load() == 0; {
			r.later(10 * time.Second)
		}
	}
	r.drained()
	if diff := cmp.Diff(strings.Split(held, "\n"), strings.Split(r.kernel(), "\n")); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

// lostPage is a kernel that fails to tell one page of the sets.
type lostPage struct {
	*masq.Fake
	until int // pages before it; negative: it has failed
}

func (l *lostPage) MoreEntries(fromFirst bool) (map[masq.Entry]uint32, bool, error) {
	if l.until--; l.until == -1 {
		return nil, false, syscall.ENOBUFS
	}
	return l.Fake.MoreEntries(fromFirst)
}

// TestASweepThatFailsBeginsAnew: what it did not see is not gone, and an entry that it saw, and that nobody wants, still tells
// whose the virtual server is.
func TestASweepThatFailsBeginsAnew(t *testing.T) {
	for until := range 12 {
		r := rigWith(t, 4)
		held := r.kernel()
		r.masq.Page = 1
		r.c = newTestController(r.world, Kernel{IPVS: r.ipvs, Dummyif: r.dummyif, Masq: &lostPage{r.masq, until}}, r.log, func() bool { return true })
		r.c.auditWhole = -1
		for name := range r.world.services {
			r.c.dirty.add(name)
		}
		r.round()
		orphan := r.key("10.250.0.1:80", ipvs.TCP)
		r.masq.Apply([]masq.Op{{Entry: served(orphan)}})
		r.ipvs.Apply([]ipvs.Op{{Verb: ipvs.AddServer, Key: orphan, Server: ipvs.VirtualServer{Scheduler: "rr"}}})
		writes := r.masq.Writes
		for r.c.Metrics.audited.Store(0); r.c.Metrics.audited.Load() == 0; {
			r.later(time.Minute)
		}
		r.drained()
		if got := r.kernel(); got != held || r.masq.Writes != writes+1 {
			t.Errorf("after %d pages: %d writes to the sets, want one; (-before +after):\n%s", until, r.masq.Writes-writes, cmp.Diff(held, got))
		}
	}
}

// slowReals is a kernel that takes its time to tell the real servers of a virtual server. It notes how long it was
// asked in a row.
type slowReals struct {
	*ipvs.Fake
	each         time.Duration
	read         map[ipvs.Key]int
	order        []ipvs.Key
	begin, end   time.Time
	longest, all time.Duration
}

func (s *slowReals) RealServers(k ipvs.Key) (map[netip.AddrPort]ipvs.RealStatus, error) {
	if now := time.Now(); now != s.end {
		s.begin = now
	}
	time.Sleep(s.each)
	s.read[k]++
	s.order = append(s.order, k)
	s.end = time.Now()
	s.longest, s.all = max(s.longest, s.end.Sub(s.begin)), s.all+s.each
	return s.Fake.RealServers(k)
}

// TestAnAuditOfVeryManyTakesAShareOfTheTime: with more virtual servers than can be read in a period, the audit takes
// longer, every one is read before one is read twice, and a change waits for one short step at most.
func TestAnAuditOfVeryManyTakesAShareOfTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const services, each, lasts = 17_000, time.Millisecond, 20 * time.Minute
		ctx, stop := context.WithCancel(t.Context())
		r := rigWith(t, services)
		kernel := &slowReals{Fake: r.ipvs, each: each, read: make(map[ipvs.Key]int)}
		r.c = newTestController(r.world, Kernel{IPVS: kernel, Dummyif: r.dummyif, Masq: r.masq}, r.log, func() bool { return true },
			func(o *Options) { o.SyncPeriod = 30 * time.Second })
		for name := range r.world.services {
			r.c.dirty.add(name)
		}
		for r.now = time.Now(); !r.c.told; r.now = time.Now() { // the first reading is another matter
			r.round()
		}
		clear(kernel.read)
		kernel.end, kernel.longest, kernel.all = time.Time{}, 0, 0
		ended := make(chan struct{})
		go func() { r.c.loop(ctx); close(ended) }()
		time.Sleep(lasts)
		stop()
		<-ended
		often := 0
		for _, n := range kernel.read {
			if n > 2 {
				often++
			}
		}
		if len(kernel.read) < services || often > 0 {
			t.Errorf("%d of %d virtual servers were read, %d of them more than twice", len(kernel.read), services, often)
		}
		if kernel.all > lasts/40 {
			t.Errorf("reading took %s of %s", kernel.all, lasts)
		}
		if most := firstStep * each; kernel.longest > most {
			t.Errorf("a change may have waited for %s, at most %s wanted", kernel.longest, most)
		}
	})
}
