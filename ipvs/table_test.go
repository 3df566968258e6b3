package ipvs

import (
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const drainTimeout = 15 * time.Minute

// rig is a Table on a Fake.
type rig struct {
	t testing.TB
	*Table
	fake *Fake
	now  time.Time
}

func newRig(t testing.TB, drainTimeout time.Duration) *rig {
	fake := NewFake()
	fake.Record = true
	return &rig{t, NewTable(fake, drainTimeout), fake, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

// idle is a caller of Expire who has nothing else to do.
func idle() bool { return false }

// want makes a table, written as ipvsadm saves it, desired, and nothing else.
func (r *rig) want(text string) {
	desired := map[Key]map[netip.AddrPort]RealServer{}
	configs := map[Key]VirtualServer{}
	for _, op := range script(r.t, text) {
		if op.Verb == AddServer {
			configs[op.Key], desired[op.Key] = op.Server, map[netip.AddrPort]RealServer{}
		} else {
			desired[op.Key][op.Real] = op.Value
		}
	}
	for _, k := range slices.Collect(maps.Keys(r.servers)) {
		if _, keep := configs[k]; !keep && r.Desires(k) {
			r.Unset(k)
		}
	}
	for k, v := range configs {
		r.Set(k, v, realsOf(desired[k]))
	}
}

// sync is what the controller does, without the other packages.
func (r *rig) sync() error {
	r.Retry()
	errs := []error{r.Upsert(always), r.Drain(r.now), r.Expire(r.now, idle), r.Prune(always)}
	for _, k := range r.Reschedules() {
		errs = append(errs, r.Reschedule(k))
	}
	return errors.Join(errs...)
}

func (r *rig) mustSync() {
	r.t.Helper()
	if err := r.sync(); err != nil {
		r.t.Fatal(err)
	}
}

func always(Key) bool { return true }

// outside changes the kernel behind the table's back.
func (r *rig) outside(text string) {
	r.t.Helper()
	for _, err := range r.fake.Apply(script(r.t, text)) {
		if err != nil {
			r.t.Fatal(err)
		}
	}
	r.fake.Writes, r.fake.Messages = nil, 0
}

// wrote checks the operations since the last call, in any order.
func (r *rig) wrote(text string) {
	r.t.Helper()
	var got []string
	for _, op := range r.fake.Writes {
		got = append(got, op.String())
	}
	r.fake.Writes = nil
	if diff := cmp.Diff(sorted(text), sorted(strings.Join(got, "\n"))); diff != "" {
		r.t.Errorf("writes (-want +got):\n%s", diff)
	}
}

// holds checks the kernel's table, in the order of Dump.
func (r *rig) holds(text string) {
	r.t.Helper()
	if diff := cmp.Diff(lines(text), lines(r.fake.Dump())); diff != "" {
		r.t.Errorf("table (-want +got):\n%s", diff)
	}
}

func (r *rig) resync(owned func(Key) bool) int {
	r.t.Helper()
	drift, err := r.Resync(owned)
	if err != nil {
		r.t.Fatal(err)
	}
	return drift
}

const web = `
	-A -t 10.96.0.10:80 -s rr
	-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1
	-a -t 10.96.0.10:80 -r 10.1.0.2:8080 -m -w 1`

const webAndDNS = web + `
	-A -u 10.96.0.10:53 -s rr
	-a -u 10.96.0.10:53 -r 10.1.0.3:53 -m -w 1`

var webKey = Key{Addr: netip.MustParseAddrPort("10.96.0.10:80"), Protocol: TCP}

func TestOnlyTheDifferenceIsWritten(t *testing.T) {
	for _, c := range []struct{ name, before, after, writes string }{
		{"everything is new", "", web, web},
		{"nothing changed", webAndDNS, webAndDNS, ""},
		{
			"the scheduler is edited in place", web, strings.Replace(web, "-s rr", "-s lc -p 60", 1),
			"-E -t 10.96.0.10:80 -s lc -p 60",
		},
		{
			"a weight is edited in place", web, strings.Replace(web, "10.1.0.2:8080 -m -w 1", "10.1.0.2:8080 -m -w 5", 1),
			"-e -t 10.96.0.10:80 -r 10.1.0.2:8080 -m -w 5",
		},
		{
			"one more real server", web, web + "\n-a -t 10.96.0.10:80 -r 10.1.0.9:8080 -m -w 1",
			"-a -t 10.96.0.10:80 -r 10.1.0.9:8080 -m -w 1",
		},
		{
			"a UDP virtual server goes with one write", webAndDNS, web,
			"-D -u 10.96.0.10:53",
		},
		{
			"a UDP real server goes at once", webAndDNS, web + "\n-A -u 10.96.0.10:53 -s rr",
			"-d -u 10.96.0.10:53 -r 10.1.0.3:53",
		},
		{
			"a source hash must fall back, or a draining real server would refuse clients",
			"", "-A -t 10.96.0.10:80 -s sh", "-A -t 10.96.0.10:80 -s sh -b sh-fallback",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, drainTimeout)
			r.want(c.before)
			r.mustSync()
			r.fake.Writes = nil
			r.fake.Messages = 0
			before := r.Messages()
			r.want(c.after)
			r.mustSync()
			count := len(r.fake.Writes)
			r.wrote(c.writes)
			if r.fake.Messages != count || r.Messages()-before != uint64(count) {
				t.Errorf("%d messages, the table says %d, want %d", r.fake.Messages, r.Messages()-before, count)
			}
			if r.Pending() != 0 {
				t.Errorf("%d pending", r.Pending())
			}
		})
	}
}

func TestTheFirstSyncAfterARestartWritesNothing(t *testing.T) {
	r := newRig(t, drainTimeout)
	r.outside(webAndDNS)
	r.want(webAndDNS)
	if drift := r.resync(func(Key) bool { return false }); drift != 0 {
		t.Errorf("drift %d", drift)
	}
	r.mustSync()
	r.wrote("")
	if want := 1 + 2; r.fake.Messages != want || r.Messages() != uint64(want) { // all servers, then the reals of each
		t.Errorf("%d messages, the table says %d, want %d", r.fake.Messages, r.Messages(), want)
	}
}

func TestServersOfOthersAreNeitherSeenNorTouched(t *testing.T) {
	const foreign = `
		-A -t 10.96.0.99:80 -s wlc
		-a -t 10.96.0.99:80 -r 10.1.0.1:8080 -m -w 3`
	r := newRig(t, drainTimeout)
	r.outside(foreign + webAndDNS)
	owned := func(k Key) bool { return k.Addr.Addr() == webKey.Addr.Addr() }
	r.resync(owned)
	theirs := parse(t, lines(foreign)[0]).Key
	if r.Has(theirs) || r.HasAddr(theirs.Addr.Addr()) || !r.Has(webKey) || !r.HasAddr(webKey.Addr.Addr()) {
		t.Error("owned and foreign are mixed up")
	}
	if want := 1 + 2; r.fake.Messages != want { // the real servers of foreign ones are not read
		t.Errorf("%d messages, want %d", r.fake.Messages, want)
	}
	r.mustSync() // nothing is desired: ours drain
	r.now = r.now.Add(drainTimeout)
	r.mustSync()
	r.holds(foreign)
	if r.Pending() != 0 || r.HasAddr(webKey.Addr.Addr()) {
		t.Errorf("%d pending", r.Pending())
	}
}

func TestWhatIsDesiredIsAdoptedWhoeverMadeIt(t *testing.T) {
	r := newRig(t, drainTimeout)
	r.outside(strings.ReplaceAll(web, "-s rr", "-s wlc"))
	r.want(web)
	r.resync(func(Key) bool { return false })
	r.mustSync()
	r.wrote("-E -t 10.96.0.10:80 -s rr")
}

func TestARealServerReachedAnotherWayIsPutRight(t *testing.T) {
	r := newRig(t, drainTimeout)
	r.outside(web)
	op := parse(t, "-e -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1")
	op.Value.Foreign = true // as found with -g
	r.fake.Apply([]Op{op})
	r.fake.Writes = nil
	r.want(web)
	r.resync(always)
	r.mustSync()
	r.wrote("-e -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1")
}

func TestDriftIsCountedAndRepaired(t *testing.T) {
	for _, c := range []struct {
		name, outside string
		drift         int
		repair        string
	}{
		{"none", "", 0, ""},
		{
			"a virtual server is gone", "-D -u 10.96.0.10:53", 1,
			"-A -u 10.96.0.10:53 -s rr\n-a -u 10.96.0.10:53 -r 10.1.0.3:53 -m -w 1",
		},
		{"a virtual server was edited", "-E -t 10.96.0.10:80 -s lc", 1, "-E -t 10.96.0.10:80 -s rr"},
		{
			"a real server is gone", "-d -t 10.96.0.10:80 -r 10.1.0.1:8080", 1,
			"-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1",
		},
		{
			"a weight was changed", "-e -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 9", 1,
			"-e -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1",
		},
		{
			"a real server came", "-a -t 10.96.0.10:80 -r 10.1.0.7:8080 -m -w 9", 1,
			"-e -t 10.96.0.10:80 -r 10.1.0.7:8080 -m -w 0", // and it drains
		},
		{
			"one real server went and another came",
			"-d -t 10.96.0.10:80 -r 10.1.0.1:8080\n-a -t 10.96.0.10:80 -r 10.1.0.7:8080 -m -w 0", 2,
			"-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1",
		},
		{"somebody else's server is none", "-A -t 10.96.0.99:80 -s rr", 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, drainTimeout)
			r.want(webAndDNS)
			r.mustSync()
			r.outside(c.outside)
			owned := func(k Key) bool { return k.Addr.Addr() == webKey.Addr.Addr() }
			if drift := r.resync(owned); drift != c.drift {
				t.Errorf("drift %d, want %d", drift, c.drift)
			}
			if drift := r.resync(owned); drift != 0 {
				t.Errorf("drift %d when nothing happened since", drift)
			}
			r.mustSync()
			r.wrote(c.repair)
		})
	}
}

// TestDisagreementSurfaces: an operation that presumes what is not so makes the caller Resync.
func TestDisagreementSurfaces(t *testing.T) {
	for _, c := range []struct {
		name, outside, next string
		want                error
	}{
		{"added where one is", "-A -t 10.96.0.20:80 -s rr", webAndDNS + "\n-A -t 10.96.0.20:80 -s rr", fs.ErrExist},
		{"edited where none is", "-D -t 10.96.0.10:80", strings.ReplaceAll(webAndDNS, "-t 10.96.0.10:80 -s rr", "-t 10.96.0.10:80 -s lc"), fs.ErrNotExist},
		{"drained where none is", "-D -t 10.96.0.10:80", "", fs.ErrNotExist},
		{"real server added where one is", "-a -t 10.96.0.10:80 -r 10.1.0.9:80 -m -w 1", webAndDNS + "\n-a -t 10.96.0.10:80 -r 10.1.0.9:80 -m -w 1", fs.ErrExist},
		{"deleted where none is: that is what was wanted", "-D -u 10.96.0.10:53", web, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, drainTimeout)
			r.want(webAndDNS)
			r.mustSync()
			r.outside(c.outside)
			r.want(c.next)
			if err := r.sync(); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			r.resync(always)
			r.mustSync()
			r.now = r.now.Add(drainTimeout)
			r.mustSync()
			r.holds(sortedDump(t, c.next))
		})
	}
}

// sortedDump returns a table as Dump would.
func sortedDump(t testing.TB, text string) string {
	fake := NewFake()
	for _, err := range fake.Apply(script(t, text)) {
		if err != nil {
			t.Fatal(err)
		}
	}
	return fake.Dump()
}

func TestAFailureStopsNothingElseAndIsMadeUpFor(t *testing.T) {
	const before = webAndDNS + `
		-A --sctp-service [fd00:10:96::a]:99 -s rr
		-a --sctp-service [fd00:10:96::a]:99 -r [fd00:1::1]:99 -m -w 1`
	const after = `
		-A -t 10.96.0.10:80 -s lc
		-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 3
		-a -t 10.96.0.10:80 -r 10.1.0.4:8080 -m -w 1
		-A -t 10.96.0.20:443 -s rr -p 10
		-a -t 10.96.0.20:443 -r 10.1.0.5:443 -m -w 1
		-A -u 10.96.0.10:54 -s rr`
	var changes int
	for failing := 0; failing <= changes; failing++ {
		r := newRig(t, drainTimeout)
		r.want(before)
		r.mustSync()
		r.fake.Writes = nil
		r.want(after)
		n := 0
		r.fake.Fail = func(Op) error {
			if n++; n == failing {
				return syscall.ENOMEM
			}
			return nil
		}
		err := r.sync()
		if failing == 0 {
			changes = n // the undisturbed run counts them
		}
		if got := errors.Is(err, syscall.ENOMEM); got != (failing > 0) {
			t.Fatalf("operation %d: %v", failing, err)
		}
		if failing > 0 {
			failed := r.fake.Writes[failing-1]
			if !strings.Contains(err.Error(), "ipvsadm "+failed.String()+":") {
				t.Errorf("operation %d, %s: the error does not name it: %v", failing, failed, err)
			}
			// Only operations inside a virtual server that could not be added may follow it down.
			followers := strings.Count(err.Error(), "ipvsadm ") - 1
			if followers > 0 && failed.Verb != AddServer {
				t.Errorf("operation %d, %s: took others along: %v", failing, failed, err)
			}
		}
		r.fake.Fail = nil
		r.mustSync()
		r.now = r.now.Add(drainTimeout)
		r.mustSync()
		r.holds(sortedDump(t, after))
		if r.Pending() != 0 || r.Draining() != 0 {
			t.Errorf("operation %d: %d pending, %d draining", failing, r.Pending(), r.Draining())
		}
	}
	if changes < 9 {
		t.Errorf("only %d operations were tried", changes)
	}
}

// unreadable fails at reading.
type unreadable struct {
	*Fake
	servers error
	reals   map[Key]error
}

func (u *unreadable) Servers() (map[Key]VirtualServer, error) {
	if u.servers != nil {
		return nil, u.servers
	}
	return u.Fake.Servers()
}

func (u *unreadable) RealServers(k Key) (map[netip.AddrPort]RealStatus, error) {
	if err := u.reals[k]; err != nil {
		return nil, err
	}
	return u.Fake.RealServers(k)
}

func TestWhatCannotBeReadIsNotTakenForGone(t *testing.T) {
	for _, c := range []struct {
		name   string
		kernel unreadable
	}{
		{"virtual servers", unreadable{servers: syscall.ENOBUFS}},
		{"the real servers of one", unreadable{reals: map[Key]error{webKey: syscall.ENOBUFS}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, drainTimeout)
			c.kernel.Fake = r.fake
			r.kernel = &c.kernel
			r.want(webAndDNS)
			r.mustSync()
			r.outside("-D -u 10.96.0.10:53\n-d -t 10.96.0.10:80 -r 10.1.0.1:8080")
			if _, err := r.Resync(always); !errors.Is(err, syscall.ENOBUFS) {
				t.Fatalf("got %v", err)
			}
			if !r.Has(webKey) || len(r.servers[webKey].thereReals) != 2 {
				t.Error("forgot what it could not read")
			}
			c.kernel.servers, c.kernel.reals = nil, nil
			r.resync(always)
			r.mustSync()
			r.holds(sortedDump(t, webAndDNS))
		})
	}
}

// forgetful is a kernel whose dump leaves out one virtual server.
type forgetful struct{ *Fake }

func (f forgetful) Servers() (map[Key]VirtualServer, error) {
	servers, err := f.Fake.Servers()
	delete(servers, webKey)
	return servers, err
}

// TestWhatADumpLeavesOutIsAskedFor: it is not gone, unless it is.
func TestWhatADumpLeavesOutIsAskedFor(t *testing.T) {
	r := newRig(t, drainTimeout)
	r.want(webAndDNS)
	r.mustSync()
	r.outside("-D -u 10.96.0.10:53")
	r.kernel = forgetful{r.fake}
	if drift, err := r.ResyncServers(always); drift != 1 || err != nil || !r.Has(webKey) || r.Size().RealServers != 2 {
		t.Errorf("drift %d, %v, %+v", drift, err, r.Size())
	}
}

func TestAnAuditInSlicesReadsEachServerOnce(t *testing.T) {
	r := newRig(t, drainTimeout)
	r.want(webAndDNS + "\n-A -t 10.96.0.30:80 -s rr")
	r.mustSync()
	r.outside("-d -t 10.96.0.10:80 -r 10.1.0.1:8080\n-d -u 10.96.0.10:53 -r 10.1.0.3:53")
	drift, err := r.ResyncServers(always)
	if drift != 0 || err != nil || r.fake.Messages != 1 {
		t.Fatalf("drift %d, %v, %d messages", drift, err, r.fake.Messages)
	}
	for want := 2; want >= 0; want-- {
		n, err := r.ResyncReals(1)
		if drift += n; err != nil || r.Unread() != want {
			t.Fatalf("%v, %d unread, want %d", err, r.Unread(), want)
		}
	}
	if n, err := r.ResyncReals(1); n != 0 || err != nil || drift != 2 || r.fake.Messages != 1+3 {
		t.Errorf("drift %d then %d, %v, %d messages", drift, n, err, r.fake.Messages)
	}
	r.mustSync()
	r.wrote("-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1\n-a -u 10.96.0.10:53 -r 10.1.0.3:53 -m -w 1")
}

func TestServersThatAreNotReadyWait(t *testing.T) {
	r := newRig(t, drainTimeout)
	r.want(webAndDNS)
	if err := r.Upsert(func(k Key) bool { return k == webKey }); err != nil {
		t.Fatal(err)
	}
	r.wrote(web)
	if r.Pending() != 1 {
		t.Errorf("%d pending, want 1", r.Pending())
	}
}

func TestTheTableForgetsWhatIsOver(t *testing.T) {
	r := newRig(t, drainTimeout)
	for range 3 {
		r.want(webAndDNS)
		r.mustSync()
		r.want("")
		r.mustSync()
		r.now = r.now.Add(drainTimeout)
		r.mustSync()
	}
	if len(r.servers) != 0 || len(r.dirty)+len(r.waiting) != 0 || len(r.at) != 0 || len(r.drains) != 0 || len(r.removed) != 0 {
		t.Errorf("left over: %d servers, %d dirty, %d addresses, %d drains, %d removed", len(r.servers), len(r.dirty), len(r.at), len(r.drains), len(r.removed))
	}
}

func TestParseFlags(t *testing.T) {
	for _, c := range []struct {
		scheduler string
		names     string
		want      Flags
		err       string
	}{
		{"mh", "mh-fallback mh-port", SchedFallback | SchedPort, ""},
		{"sh", "sh-port", SchedPort, ""},
		{"rr", "", 0, ""},
		{"rr", "mh-port", 0, `"mh-port" does not go with scheduler "rr"`},
		{"mh", "sh-port", 0, `"sh-port" does not go with scheduler "mh"`},
		{"mh", "mh-prot", 0, `"mh-prot" is unknown`},
		{"rr", "rr-port", 0, `"rr-port" is unknown`},
		{"mh", "port", 0, `"port" is unknown`},
	} {
		got, err := ParseFlags(c.scheduler, strings.Fields(c.names))
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s %q: got %#x, %v; want %#x, %q", c.scheduler, c.names, got, err, c.want, c.err)
		}
	}
}
