//go:build linux

package e2e

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// target is one way into a Service.
type target struct {
	from *lab.Namespace
	name string // of the frontend
	addr string
}

func (t target) String() string { return fmt.Sprintf("%s from %s (%s)", t.addr, t.from.Name, t.name) }

// traffic is what goes on while the proxy changes: connections that stay open, flows of datagrams, and a
// stream of new connections to all targets in turn.
type traffic struct {
	t       testing.TB
	held    []*lab.Held
	talkers []*lab.Talker

	cancel context.CancelFunc
	wait   sync.WaitGroup

	opened, failed    atomic.Int64
	pings, broken     atomic.Int64
	datagrams, silent atomic.Int64

	mayMiss  int64       // datagrams
	evidence func(error) // tells what the kernel knows of a connection that does not go on; nil: nobody does

	mu      sync.Mutex
	errors  []string
	slowest time.Duration // of the new connections
	where   string        // that was, and when it had come through
}

const (
	longLived = 50
	streams   = 4 // new connections at a time

	// An emulated processor has to do the change, too.
	connectEvery = 60 * time.Millisecond
	pingEvery    = 20 * time.Millisecond
	talkEvery    = 250 * time.Millisecond // each flow
)

// newTraffic opens the connections and flows, and starts the stream. Each long-lived connection has a port of its own
// (lab.Hold): all Services here have the same endpoints, so one that shared its client's port with a new connection
// could stand still in IPVS, whatever the proxy does (docs/migration.md).
func newTraffic(t testing.TB, long, tcp, udp []target) *traffic {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &traffic{t: t, cancel: cancel}
	for i := range longLived {
		to := long[i%len(long)]
		held, err := lab.Hold(ctx, to.from, to.addr)
		if err != nil {
			t.Fatalf("%s: %v", to, err)
		}
		f.held = append(f.held, held)
	}
	for _, to := range udp {
		talker, err := lab.Talk(ctx, to.from, to.addr)
		must(t, err)
		if _, err := talker.Ask(lab.AskTimeout); err != nil {
			// Seen with kube-proxy's mode ipvs: the node's own datagrams to an IPv6 address get no answer.
			t.Logf("left out, for the proxy before the change does not serve it: %s: %v", to, err)
			must(t, talker.Close())
			continue
		}
		f.talkers = append(f.talkers, talker)
		f.wait.Go(func() { f.talk(ctx, to, talker) })
	}
	for i := range streams {
		f.wait.Go(func() { f.stream(ctx, tcp, i*len(tcp)/streams) })
	}
	f.wait.Go(func() { f.keepUp(ctx) })
	t.Cleanup(f.stop)
	return f
}

func (f *traffic) stream(ctx context.Context, targets []target, at int) {
	for ; ctx.Err() == nil; at++ {
		to := targets[at%len(targets)]
		started := time.Now()
		_, err := lab.Ask(context.WithoutCancel(ctx), to.from, "tcp", to.addr)
		f.opened.Add(1)
		f.timed(to, time.Since(started))
		f.count(&f.failed, to, err)
		time.Sleep(connectEvery)
	}
}

func (f *traffic) talk(ctx context.Context, to target, talker *lab.Talker) {
	for ; ctx.Err() == nil; time.Sleep(talkEvery) {
		_, err := talker.Ask(lab.AskTimeout)
		f.datagrams.Add(1)
		f.count(&f.silent, to, err)
	}
}

// keepUp sends something through each open connection, again and again.
func (f *traffic) keepUp(ctx context.Context) {
	for ctx.Err() == nil {
		for i, held := range f.held {
			if ctx.Err() != nil {
				return
			}
			f.pings.Add(1)
			err := held.Ping()
			f.count(&f.broken, target{from: &lab.Namespace{Name: "?"}, name: fmt.Sprintf("open connection %d", i)}, err)
			if err != nil && f.broken.Load() < 4 && f.evidence != nil {
				f.evidence(err)
			}
			time.Sleep(pingEvery)
		}
	}
}

// timed remembers the slowest new connection.
func (f *traffic) timed(to target, took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if took > f.slowest {
		f.slowest, f.where = took, fmt.Sprintf("%s, at %s", to, time.Now().Format("15:04:05.000"))
	}
}

func (f *traffic) count(what *atomic.Int64, to target, err error) {
	if err == nil {
		return
	}
	what.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.errors) < 10 {
		f.errors = append(f.errors, fmt.Sprintf("%s %s: %v", time.Now().Format("15:04:05.000"), to, err))
	}
}

// more waits until so many new connections have been opened and every open connection has been used.
func (f *traffic) more(connections int64) {
	f.t.Helper()
	opened, pings := f.opened.Load()+connections, f.pings.Load()+2*longLived
	for deadline := time.Now().Add(5 * time.Minute); f.opened.Load() < opened || f.pings.Load() < pings; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatalf("%d connections opened, %d pings: the traffic does not go on", f.opened.Load(), f.pings.Load())
		}
	}
}

// quiet ends everything but the open connections, which nobody uses from then on.
func (f *traffic) quiet() {
	f.cancel()
	f.wait.Wait()
}

// stop ends the traffic.
func (f *traffic) stop() {
	f.quiet()
	for _, held := range f.held {
		_ = held.Reset()
	}
	for _, talker := range f.talkers {
		_ = talker.Close()
	}
}

// figures is what came of one change under traffic.
type figures struct {
	Opened, Failed, LongLived, Lost, Datagrams, Unanswered int64
	SlowestMilliseconds                                    int64
}

// result quiets the traffic, counts, and fails the test for whatever was lost.
func (f *traffic) result() figures {
	f.t.Helper()
	f.quiet()
	var lost int64
	for _, held := range f.held {
		if held.Ping() != nil {
			lost++
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r := figures{
		Opened: f.opened.Load(), Failed: f.failed.Load(), LongLived: longLived, Lost: lost,
		Datagrams: f.datagrams.Load(), Unanswered: f.silent.Load(), SlowestMilliseconds: f.slowest.Milliseconds(),
	}
	f.t.Logf("%+v; %d pings, %d broken; the slowest new connection was %s", r, f.pings.Load(), f.broken.Load(), f.where)
	if r.Failed+r.Lost+f.broken.Load() > 0 || r.Unanswered > f.mayMiss {
		f.t.Errorf("lost under way: %+v\n%v", r, f.errors)
	}
	return r
}
