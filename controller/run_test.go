package controller

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead-lb/fairlead/controller/source"
	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// TestRunFollowsADirectoryAndLeavesTheKernelAsItIs runs the whole controller, reflectors included, over
// a directory of manifests, with Fakes for the kernel.
func TestRunFollowsADirectoryAndLeavesTheKernelAsItIs(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(manifest("10.1.0.1"))
	kernel := ipvs.NewShared()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	src, err := source.Directory(dir, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	c := New(src, Kernel{IPVS: kernel, Dummyif: dummyif.NewFake(), Masq: masq.NewFake()}, Options{
		NodeName: nodeName, Scheduler: "rr", SyncPeriod: time.Minute, Masq: masq.Options{MasqueradeBit: 14},
	}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if code, _ := getHealth(c.Health.Healthz()); code != http.StatusServiceUnavailable {
		t.Errorf("healthy before the first round: %d", code)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	eventually(t, func() bool { return strings.Contains(kernel.Dump(), "-r 10.1.0.1:8080 -m -w 1") }, kernel.Dump)
	write(manifest("10.1.0.2"))
	eventually(t, func() bool { return strings.Contains(kernel.Dump(), "-r 10.1.0.2:8080 -m -w 1") }, kernel.Dump)
	if code, body := getHealth(c.Health.Healthz()); code != http.StatusOK || body["healthy"] != true {
		t.Errorf("health: %d %v", code, body)
	}
	held := kernel.Dump()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run returned %v", err)
	}
	if now := kernel.Dump(); now == "" || strings.Count(now, "-A") != strings.Count(held, "-A") {
		t.Errorf("stopping changed the kernel from\n%s\nto\n%s", held, now)
	}
}

func manifest(endpoint string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: 10.96.0.10, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [%s]}]
`, endpoint)
}

func eventually(t *testing.T, check func() bool, state func() string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if check() {
			return
		}
	}
	t.Fatalf("it does not come; now:\n%s", state())
}

func TestUnreadableKernelEndsAStartAndTurnsARunningDaemonUnhealthy(t *testing.T) {
	r := newRig(t)
	broken := &unreadable{Kernel: r.masq}
	src, err := source.Directory(t.TempDir(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c := New(src, Kernel{IPVS: r.ipvs, Dummyif: r.dummyif, Masq: broken}, r.c.options, slog.New(slog.DiscardHandler))
	if err := c.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("Run on an unreadable kernel returned %v", err)
	}
	if _, healthy := c.Health.Check(time.Now().Add(3 * time.Hour)); healthy {
		t.Error("healthy after three hours without reading the kernel")
	}
}

// unreadable is a kernel whose sets cannot be listed.
type unreadable struct{ masq.Kernel }

func (*unreadable) Entries() (map[masq.Entry]uint32, error) {
	return nil, fmt.Errorf("the sets cannot be read")
}

// TestRulesThatCannotBeWrittenKeepNothingElseFromBeingRead lets iptables fail, as it does while somebody
// else holds its lock.
func TestRulesThatCannotBeWrittenKeepNothingElseFromBeingRead(t *testing.T) {
	r := newRig(t)
	r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1"))
	r.round()
	held := r.kernel()
	locked := &lockedRules{Kernel: r.masq}
	r.c = newTestController(r.world, Kernel{IPVS: r.ipvs, Dummyif: r.dummyif, Masq: locked}, r.log, func() bool { return true })
	r.c.dirty.add(r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1")))
	r.round()
	r.mustHold(held)
	if !strings.Contains(r.log.String(), "the lock is taken") {
		t.Errorf("the log does not say why:\n%s", r.log)
	}
	if _, healthy := r.c.Health.Check(time.Now()); !healthy {
		t.Error("unhealthy, though all was read and written but the rules")
	}
	locked.free = true
	before := r.masq.Writes
	_ = r.masq.Remove(nil) // as if they had never been written
	r.later(time.Minute)
	if r.masq.RuleCount() == 0 || r.masq.Writes == before {
		t.Error("the rules were not written when the lock was free")
	}
}

type lockedRules struct {
	masq.Kernel
	free bool
}

func (l *lockedRules) EnsureRules(chains map[masq.Family][]masq.Chain) (int, error) {
	if !l.free {
		return 0, fmt.Errorf("the lock is taken")
	}
	return l.Kernel.EnsureRules(chains)
}
