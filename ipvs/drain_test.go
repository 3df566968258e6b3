package ipvs

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	webWithoutSecond = `
		-A -t 10.96.0.10:80 -s rr
		-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1`
	webDraining = webWithoutSecond + `
		-a -t 10.96.0.10:80 -r 10.1.0.2:8080 -m -w 0`
	secondDrains = "-e -t 10.96.0.10:80 -r 10.1.0.2:8080 -m -w 0"
	secondGoes   = "-d -t 10.96.0.10:80 -r 10.1.0.2:8080"
)

var second = netip.MustParseAddrPort("10.1.0.2:8080")

// draining returns a rig in which the second real server of web drains and has a connection.
func draining(t testing.TB, timeout time.Duration) *rig {
	r := newRig(t, timeout)
	r.want(web)
	r.mustSync()
	r.fake.SetConnections(webKey, second, 1)
	r.fake.Writes = nil
	r.want(webWithoutSecond)
	r.mustSync()
	r.wrote(secondDrains)
	return r
}

// later lets time pass and syncs.
func (r *rig) later(d time.Duration) {
	r.t.Helper()
	r.now = r.now.Add(d)
	r.mustSync()
}

func TestARemovedRealServerIsDeletedWhenItsConnectionsEnd(t *testing.T) {
	r := draining(t, drainTimeout)
	r.holds(webDraining)
	r.later(firstPoll)
	r.wrote("")
	r.fake.SetConnections(webKey, second, 0)
	r.later(laterPoll)
	r.wrote(secondGoes)
	if r.Draining() != 0 || r.Pending() != 0 {
		t.Errorf("%d draining, %d pending", r.Draining(), r.Pending())
	}
}

// TestWhatOnlyDrainsIsNotLookedAt: there may be very many such virtual servers, and each sync would range over all.
func TestWhatOnlyDrainsIsNotLookedAt(t *testing.T) {
	r := draining(t, drainTimeout)
	check := func(when string, dirty, waiting int) {
		t.Helper()
		if len(r.dirty) != dirty || len(r.waiting) != waiting || r.Pending() != dirty+waiting || r.Settled(webKey) {
			t.Errorf("%s: %d dirty, %d waiting, %d pending, settled %t", when, len(r.dirty), len(r.waiting), r.Pending(), r.Settled(webKey))
		}
	}
	check("it drains", 0, 1)
	r.later(firstPoll)
	check("it has been looked at", 0, 1)
	r.want("")
	check("the virtual server is to go", 1, 0)
	r.mustSync()
	check("all of it drains", 0, 1)
	if !r.Lingers(webKey) || !r.LingersAt(webKey.Addr.Addr()) {
		t.Error("it does not linger")
	}
	r.fake.SetConnections(webKey, second, 0)
	_ = slices.Collect(r.Lingered())
	r.later(laterPoll)
	if at := slices.Collect(r.Lingered()); !slices.Equal(at, []netip.Addr{webKey.Addr.Addr()}) || r.Lingers(webKey) || r.Pending() != 0 {
		t.Errorf("after all have ended: lingered at %v, %d pending", at, r.Pending())
	}
}

// TestOvertakenAppointmentsDoNotGather: endpoints that come and go begin a drain each time.
func TestOvertakenAppointmentsDoNotGather(t *testing.T) {
	r := draining(t, time.Hour)
	for range 10 * fewAppointments {
		r.want(web)
		r.mustSync()
		r.want(webWithoutSecond)
		r.later(time.Millisecond)
	}
	if polls, deadlines := len(r.polls.list), len(r.deadlines.list); max(polls, deadlines) > 2*fewAppointments {
		t.Errorf("%d polls and %d deadlines of one drain", polls, deadlines)
	}
	next, any := r.NextDrain()
	if want := r.now.Add(firstPoll); !any || !next.Equal(want) {
		t.Errorf("next at %s, want %s", next, want)
	}
}

// TestNoDrainLosesItsDeadline: what has been overtaken is thrown out of a calendar while a drain begins, and the deadline of
// that one once went with it.
func TestNoDrainLosesItsDeadline(t *testing.T) {
	table, now := NewTable(NewFake(), time.Hour), time.Now()
	at := func(i int) realKey {
		return realKey{Key{Addr: netip.MustParseAddrPort("10.96.0.10:80"), Protocol: TCP}, netip.AddrPortFrom(netip.MustParseAddr("10.1.0.1"), uint16(i))}
	}
	table.drain(at(0), now) // goes on, so that the others stay behind it in the calendar
	for i := 1; i <= 3*fewAppointments; i++ {
		table.drain(at(i), now.Add(time.Duration(i)))
		if !slices.ContainsFunc(table.deadlines.list, func(a appointment) bool { return a.key == at(i) }) {
			t.Fatalf("drain %d has no deadline in the calendar", i)
		}
		table.undrain(at(i).server, at(i).real)
	}
}

func TestInactiveConnectionsAreWaitedForToo(t *testing.T) {
	for _, c := range []struct {
		status RealStatus
		idle   bool
	}{{RealStatus{}, true}, {RealStatus{ActiveConnections: 1}, false}, {RealStatus{InactiveConnections: 1}, false}} {
		if c.status.Idle() != c.idle {
			t.Errorf("%+v: idle is %v", c.status, !c.idle)
		}
	}
}

func TestADrainEndsAtItsDeadline(t *testing.T) {
	r := draining(t, drainTimeout)
	if by := r.DrainedBy(); !by.Equal(r.now.Add(drainTimeout)) {
		t.Errorf("drained by %s, want %s", by, r.now.Add(drainTimeout))
	}
	r.later(drainTimeout - 1)
	r.wrote("")
	r.later(1)
	r.wrote(secondGoes)
	if by := r.DrainedBy(); !by.IsZero() {
		t.Errorf("drained by %s, and nothing drains", by)
	}
}

func TestWithoutATimeoutADrainLastsAsLongAsItsConnections(t *testing.T) {
	r := draining(t, 0)
	if by := r.DrainedBy(); !by.IsZero() {
		t.Errorf("drained by %s, and there is no deadline", by)
	}
	r.later(1000 * time.Hour)
	r.wrote("")
	r.fake.SetConnections(webKey, second, 0)
	r.later(longPoll)
	r.wrote(secondGoes)
}

func TestARealServerThatReturnsGetsItsWeightBackInPlace(t *testing.T) {
	r := draining(t, drainTimeout)
	r.want(web)
	r.mustSync()
	r.wrote("-e -t 10.96.0.10:80 -r 10.1.0.2:8080 -m -w 1")
	if _, any := r.NextDrain(); any || r.Draining() != 0 {
		t.Error("still draining")
	}
	r.later(drainTimeout)
	r.wrote("")
}

func TestARealServerThatReturnsBeforeTheSyncIsNotTouched(t *testing.T) {
	r := newRig(t, drainTimeout)
	r.want(web)
	r.mustSync()
	r.fake.Writes = nil
	r.want(webWithoutSecond)
	r.want(web)
	r.mustSync()
	r.wrote("")
}

func TestOnlyProtocolsWithConnectionsDrain(t *testing.T) {
	for option, drains := range map[string]bool{"-t": true, "--sctp-service": true, "-u": false} {
		r := newRig(t, drainTimeout)
		before := strings.ReplaceAll(web, "-t", option)
		r.want(before)
		r.mustSync()
		r.fake.Writes = nil
		r.want(strings.ReplaceAll(webWithoutSecond, "-t", option))
		r.mustSync()
		if drains {
			r.wrote(strings.ReplaceAll(secondDrains, "-t", option))
		} else {
			r.wrote(strings.ReplaceAll(secondGoes, "-t", option))
		}
	}
}

func TestAVirtualServerStaysUntilItsLastConnectionEnds(t *testing.T) {
	r := newRig(t, drainTimeout)
	r.want(web)
	r.mustSync()
	r.fake.SetConnections(webKey, second, 1)
	r.fake.Writes = nil
	r.want("")
	r.mustSync()
	r.wrote("-e -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 0\n" + secondDrains)
	if !r.Holds(webKey) || !r.HoldsAddr(webKey.Addr.Addr(), always) {
		t.Error("not held while it drains")
	}
	r.later(firstPoll)
	r.wrote("-d -t 10.96.0.10:80 -r 10.1.0.1:8080") // idle; the other is not
	if !r.Holds(webKey) || r.Desires(webKey) {
		t.Error("must be held and not desired")
	}
	r.fake.SetConnections(webKey, second, 0)
	r.now = r.now.Add(laterPoll)
	if err := r.Expire(r.now, idle); err != nil {
		t.Fatal(err)
	}
	if r.Holds(webKey) || r.HoldsAddr(webKey.Addr.Addr(), always) {
		t.Error("held although the drain is over: its VIP could never be unbound before it")
	}
	r.mustSync()
	r.wrote("-D -t 10.96.0.10:80")
	r.holds("")
}

func TestADesiredOrUnknownServerIsHeldOrNot(t *testing.T) {
	r := newRig(t, drainTimeout)
	if r.Holds(webKey) || r.HoldsAddr(webKey.Addr.Addr(), always) {
		t.Error("an unknown one is held")
	}
	r.want(web)
	if !r.Holds(webKey) || r.HoldsAddr(webKey.Addr.Addr(), always) {
		t.Error("a desired one is held; its address only once it is there")
	}
}

func TestADrainThatCouldNotStartIsTriedAgain(t *testing.T) {
	r := newRig(t, drainTimeout)
	r.want(web)
	r.mustSync()
	r.fake.Writes = nil
	r.fake.SetConnections(webKey, second, 1)
	r.want(webWithoutSecond)
	r.fake.Fail = func(Op) error { return syscall.ENOMEM }
	if err := r.sync(); !errors.Is(err, syscall.ENOMEM) {
		t.Fatal(err)
	}
	r.wrote(secondDrains) // and no deletion
	r.fake.Fail = nil
	r.mustSync()
	r.wrote(secondDrains)
}

func TestOneSyncReadsABoundedNumberOfServers(t *testing.T) {
	const servers = maxPolls + 30
	r := newRig(t, drainTimeout)
	var text strings.Builder
	for i := range servers {
		fmt.Fprintf(&text, "-A -t 10.96.1.%d:80 -s rr\n", i)
		for real := range 3 {
			fmt.Fprintf(&text, "-a -t 10.96.1.%d:80 -r 10.1.0.%d:80 -m -w 1\n", i, real)
		}
	}
	r.want(text.String())
	r.mustSync()
	r.want("")
	r.mustSync()
	for _, c := range []struct {
		after time.Duration
		reads int
	}{{firstPoll - 1, 0}, {1, maxPolls}, {0, servers - maxPolls}, {0, 0}} {
		r.now = r.now.Add(c.after)
		r.fake.Messages = 0
		before := r.Messages()
		if err := r.Expire(r.now, idle); err != nil {
			t.Fatal(err)
		}
		if r.fake.Messages != c.reads || r.Messages()-before != uint64(c.reads) {
			t.Errorf("%d reads, want %d", r.fake.Messages, c.reads)
		}
	}
	r.mustSync()
	r.holds("")
}

func TestAfterARestartADrainGoesOn(t *testing.T) {
	old := draining(t, drainTimeout)
	old.later(time.Minute)

	r := newRig(t, drainTimeout)
	r.fake, r.kernel, r.now = old.fake, old.fake, old.now
	r.want(webWithoutSecond)
	r.resync(always)
	r.mustSync()
	r.wrote("")
	r.later(drainTimeout - 1)
	r.wrote("") // with a fresh deadline
	r.later(1)
	r.wrote(secondGoes)
}

func TestNextDrainIsTheEarliestPollOrDeadline(t *testing.T) {
	r := newRig(t, 3*time.Second)
	start := r.now
	next := func() string {
		at, any := r.NextDrain()
		if !any {
			return "none"
		}
		return at.Sub(start).String()
	}
	check := func(when, want string) {
		t.Helper()
		if got := next(); got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
	check("at rest", "none")
	r.want(web)
	r.mustSync()
	r.fake.SetConnections(webKey, second, 1)
	r.want(webWithoutSecond)
	r.mustSync()
	check("first poll", "1s")
	r.later(time.Second)
	check("the deadline is before the next poll", "3s")
	r.now = r.now.Add(2 * time.Second)
	if err := r.Expire(r.now, idle); err != nil {
		t.Fatal(err)
	}
	check("what is over waits for a Prune, not for the clock", "none")
	r.mustSync()
	check("deleted", "none")
}

func TestARealServerThatVanishesLeavesNoDrainBehind(t *testing.T) {
	for name, outside := range map[string]string{
		"itself":                  secondGoes,
		"with its virtual server": "-D -t 10.96.0.10:80",
	} {
		t.Run(name, func(t *testing.T) {
			r := draining(t, 0)
			r.outside(outside)
			r.resync(always)
			r.mustSync()
			if _, any := r.NextDrain(); any || r.Draining() != 0 {
				t.Errorf("%d draining, for ever", r.Draining())
			}
			r.holds(webWithoutSecond)
		})
	}
}

func TestAPollThatFailsIsAnErrorAndTriedAgain(t *testing.T) {
	r := draining(t, drainTimeout)
	kernel := &unreadable{Fake: r.fake, reals: map[Key]error{webKey: syscall.ENOBUFS}}
	r.kernel = kernel
	r.now = r.now.Add(firstPoll)
	if err := r.Expire(r.now, idle); !errors.Is(err, syscall.ENOBUFS) || !strings.Contains(err.Error(), webKey.String()) {
		t.Fatalf("got %v", err)
	}
	if next, any := r.NextDrain(); !any || next != r.now.Add(laterPoll) {
		t.Errorf("next look at %v, %v; an unreadable server must not be asked again at once", next, any)
	}
	kernel.reals = nil
	r.fake.SetConnections(webKey, second, 0)
	r.now = r.now.Add(laterPoll)
	r.mustSync()
	r.wrote(secondGoes)
}

func TestWhoIsBusyReadsNothingThatCanWait(t *testing.T) {
	r := newRig(t, drainTimeout)
	r.want(webAndDNS)
	r.mustSync()
	r.want("")
	r.mustSync()
	for _, step := range []struct {
		after time.Duration
		busy  bool
		reads bool
	}{{firstPoll, true, false}, {laterPoll, true, true}, {firstPoll + laterPoll, true, false}, {0, false, true}} {
		r.now = r.now.Add(step.after)
		r.fake.SetConnections(webKey, netip.MustParseAddrPort("10.1.0.1:8080"), 1) // so that it goes on
		before := r.fake.Messages
		if err := r.Expire(r.now, func() bool { return step.busy }); err != nil {
			t.Fatal(err)
		}
		if reads := r.fake.Messages > before; reads != step.reads {
			t.Errorf("%s later, busy %v: read %v, want %v", step.after, step.busy, reads, step.reads)
		}
	}
}

// TestWhatDrainsForLongIsLookedAtMoreRarely: the first two minutes had cost 24 reads.
func TestWhatDrainsForLongIsLookedAtMoreRarely(t *testing.T) {
	r := draining(t, 0)
	var seconds []int
	for second := range 121 {
		before := r.fake.Messages
		if err := r.Expire(r.now.Add(time.Duration(second)*time.Second), idle); err != nil {
			t.Fatal(err)
		}
		if r.fake.Messages > before {
			seconds = append(seconds, second)
		}
	}
	if diff := cmp.Diff([]int{1, 11, 22, 44, 74, 104}, seconds); diff != "" {
		t.Errorf("read in these seconds of the drain (-want +got):\n%s", diff)
	}
}

// TestWhoBecomesBusyReadsNothingMore: a change does not wait for 64 reads.
func TestWhoBecomesBusyReadsNothingMore(t *testing.T) {
	const servers = 5
	r := newRig(t, drainTimeout)
	r.want(many(servers))
	r.mustSync()
	r.want("")
	r.mustSync()
	r.now = r.now.Add(firstPoll)
	r.fake.Messages = 0
	for _, want := range []int{1, servers} { // one in which a change comes, then all others
		asked := 0
		comes := func() bool {
			asked++
			return want == 1 && asked > 1
		}
		if err := r.Expire(r.now, comes); err != nil {
			t.Fatal(err)
		}
		if r.fake.Messages != want {
			t.Errorf("%d reads, want %d", r.fake.Messages, want)
		}
	}
}

// TestRemovedIsWhatWasDesiredOnce: of real servers that are there and not desired, those that were desired are known.
func TestRemovedIsWhatWasDesiredOnce(t *testing.T) {
	const server, real = "-A -t 10.96.0.10:80 -s rr\n", "-a -t 10.96.0.10:80 -r 10.1.0.%d:8080 -m -w 1\n"
	with := func(hosts ...int) string {
		text := server
		for _, n := range hosts {
			text += fmt.Sprintf(real, n)
		}
		return text
	}
	const found, had, returned, stays = 1, 2, 3, 4
	r := newRig(t, drainTimeout)
	r.want(with(had, returned, stays))
	r.mustSync()
	r.outside(fmt.Sprintf(real, found))
	r.resync(always)
	r.want(with(stays))
	r.want(with(stays))
	r.want(with(returned, stays))
	is := func(when string, want ...int) {
		t.Helper()
		got := make(map[string]bool)
		for k := range r.removed {
			got[k.real.String()] = true
		}
		wanted := make(map[string]bool)
		for _, n := range want {
			wanted[fmt.Sprintf("10.1.0.%d:8080", n)] = true
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("%s (-want +removed):\n%s", when, diff)
		}
	}
	is("one has returned, one was never desired", had)
	r.outside(fmt.Sprintf("-d -t 10.96.0.10:80 -r 10.1.0.%d:8080", had))
	r.resync(always)
	is("it is gone")
	r.outside(fmt.Sprintf(real, had))
	r.resync(always)
	is("somebody else has put it there")
}

// TestADrainIsLookedAtWhileAnAddFails: what is desired and not there has no connections.
func TestADrainIsLookedAtWhileAnAddFails(t *testing.T) {
	r := draining(t, drainTimeout)
	r.fake.Fail = func(op Op) error {
		if op.Verb == AddReal {
			return syscall.ENOMEM
		}
		return nil
	}
	r.want(webWithoutSecond + `
		-a -t 10.96.0.10:80 -r 10.1.0.9:8080 -m -w 1`)
	r.now = r.now.Add(firstPoll)
	if err := r.sync(); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("got %v", err)
	}
	r.fake.Fail = nil
	r.fake.SetConnections(webKey, second, 0)
	r.later(laterPoll)
	r.holds(sortedDump(t, webWithoutSecond+`
		-a -t 10.96.0.10:80 -r 10.1.0.9:8080 -m -w 1`))
}
