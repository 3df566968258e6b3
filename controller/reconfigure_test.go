package controller

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/controller/source"
	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// reconfigure has the rig's controller go on with changed options, in its next round.
func (r *rig) reconfigure(change func(*Options)) {
	o := r.c.options
	change(&o)
	r.c.Reconfigure(o)
	r.c.followOptions(r.now)
	r.round()
}

func TestAnotherSchedulerEditsVirtualServersInPlace(t *testing.T) {
	r := newRig(t)
	r.set(service("web", "10.96.0.1"), endpoints("10.244.1.5"))
	r.round()
	var ops []string
	r.ipvs.Fail = func(op ipvs.Op) error { ops = append(ops, op.String()); return nil }
	r.reconfigure(func(o *Options) { o.Scheduler = "wlc" })
	if len(ops) == 0 || !strings.Contains(r.ipvs.Dump(), "-s wlc") {
		t.Fatalf("operations %q; the table is\n%s", ops, r.ipvs.Dump())
	}
	for _, op := range ops {
		if !strings.HasPrefix(op, "-E ") {
			t.Errorf("%q is not an edit in place", op)
		}
	}
	messages := r.messages()
	r.reconfigure(func(*Options) {})
	if got := r.messages() - messages; got != 0 {
		t.Errorf("the same options again cost %d messages", got)
	}
}

func TestAnotherSchedulerIsThatOfServicesThatComeLater(t *testing.T) {
	r := newRig(t)
	r.reconfigure(func(o *Options) { o.Scheduler = "lc" })
	r.set(service("web", "10.96.0.1"), endpoints("10.244.1.5"))
	r.round()
	if !strings.Contains(r.ipvs.Dump(), "-s lc") {
		t.Errorf("the table is\n%s", r.ipvs.Dump())
	}
}

func TestExcludedAddressesDrainAndComeBack(t *testing.T) {
	r := newRig(t)
	r.set(service("web", "10.96.0.1"), endpoints("10.244.1.5"))
	r.round()
	before := r.kernel()
	r.reconfigure(func(o *Options) { o.Excluded = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/24")} })
	r.drained()
	if table := r.ipvs.Dump(); strings.Contains(table, "10.96.0.1") {
		t.Errorf("excluded, but the table is\n%s", table)
	}
	r.reconfigure(func(o *Options) { o.Excluded = nil })
	if got := r.kernel(); got != before {
		t.Errorf("excluded no more, but the kernel holds\n%s\nwant\n%s", got, before)
	}
}

func TestOtherNodePortAddresses(t *testing.T) {
	r := newRig(t)
	r.world.host = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")}
	r.c.feed.factsChanged()
	r.set(service("web", "10.96.0.1", nodePort(30080)), endpoints("10.244.1.5"))
	r.round()
	has := func(addr string) bool { return strings.Contains(r.ipvs.Dump(), addr+":30080") }
	if !has("192.0.2.1") || !has("198.51.100.1") {
		t.Fatalf("the table is\n%s", r.ipvs.Dump())
	}
	r.reconfigure(func(o *Options) {
		o.NodePorts = NodePorts{CIDRs: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}
	})
	r.drained()
	if has("192.0.2.1") || !has("198.51.100.1") {
		t.Errorf("one CIDR, but the table is\n%s", r.ipvs.Dump())
	}
	r.reconfigure(func(o *Options) { o.NodePorts = NodePorts{All: true} })
	if !has("192.0.2.1") || !has("198.51.100.1") {
		t.Errorf("all again, but the table is\n%s", r.ipvs.Dump())
	}
}

// TestWhatPodsAreIsReplacedInTheRules goes through the modes, and nothing but the rules is written.
func TestWhatPodsAreIsReplacedInTheRules(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Masq.Pods.CIDRs = []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")} })
	r.setNode(nodeWithPods("10.244.3.0/24"))
	for _, step := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"another CIDR", func(o *Options) { o.Masq.Pods = masq.Pods{CIDRs: []netip.Prefix{netip.MustParsePrefix("10.8.0.0/16")}} }, "10.8.0.0/16"},
		{"the Node's", func(o *Options) { o.NodeCIDR, o.Masq.Pods = true, masq.Pods{} }, "10.244.3.0/24"},
		{"a bridge", func(o *Options) { o.NodeCIDR, o.Masq.Pods = false, masq.Pods{Bridge: "cni0"} }, "cni0"},
		{"masquerade all", func(o *Options) { o.Masq.MasqueradeAll = true }, "all"},
	} {
		before := r.masq.Rules()
		r.reconfigure(step.change)
		if now := r.masq.Rules(); now == before || !strings.Contains(now, step.want) {
			t.Errorf("%s: rules\n%s", step.name, now)
		}
	}
	if r.drift() != 0 {
		t.Errorf("drift %v: what a change of the configuration rewrites is nobody else's doing", r.drift())
	}
}

func TestPodCIDRsThatAreNotKnownYetLeaveTheRulesAlone(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Masq.Pods.CIDRs = []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")} })
	before := r.masq.Rules()
	r.reconfigure(func(o *Options) { o.NodeCIDR, o.Masq.Pods = true, masq.Pods{} })
	if now := r.masq.Rules(); now != before {
		t.Errorf("no Node yet, but the rules are\n%s", now)
	}
	r.setNode(nodeWithPods("10.244.3.0/24"))
	if now := r.masq.Rules(); !strings.Contains(now, "10.244.3.0/24") {
		t.Errorf("with a Node, the rules are\n%s", now)
	}
}

func TestOtherAllowedExternalIPs(t *testing.T) {
	r := newRig(t)
	r.set(service("web", "10.96.0.1", func(svc *corev1.Service) { svc.Spec.ExternalIPs = []string{"203.0.113.7"} }), endpoints("10.244.1.5"))
	r.round()
	has := func() bool { return strings.Contains(r.ipvs.Dump(), "203.0.113.7:80") }
	if !has() {
		t.Fatalf("the table is\n%s", r.ipvs.Dump())
	}
	r.reconfigure(func(o *Options) { o.AllowedExternalIPs = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")} })
	r.drained()
	if has() {
		t.Errorf("not allowed any more, but the table is\n%s", r.ipvs.Dump())
	}
}

func TestAnotherDrainTimeoutHoldsForDrainsThatBegin(t *testing.T) {
	r := newRig(t)
	r.set(service("web", "10.96.0.1"), endpoints("10.244.1.5", "10.244.1.6"))
	r.round()
	key := r.key("10.96.0.1:80", ipvs.TCP)
	r.ipvs.SetConnections(key, r.real("10.244.1.5:8080"), 1)
	r.reconfigure(func(o *Options) { o.DrainTimeout = time.Minute })
	r.set(service("web", "10.96.0.1"), endpoints("10.244.1.6"))
	r.round()
	r.later(50 * time.Second)
	if !strings.Contains(r.ipvs.Dump(), "10.244.1.5") {
		t.Fatalf("before its time, the table is\n%s", r.ipvs.Dump())
	}
	r.later(20 * time.Second)
	if strings.Contains(r.ipvs.Dump(), "10.244.1.5") {
		t.Errorf("after a minute, the table is\n%s", r.ipvs.Dump())
	}
}

func TestAShorterSyncPeriodBringsTheAuditForward(t *testing.T) {
	r := newRig(t)
	r.reconfigure(func(o *Options) { o.SyncPeriod, o.MinSyncPeriod = time.Second, time.Millisecond })
	if r.c.options.MinSyncPeriod != time.Millisecond {
		t.Errorf("the least time between rounds is %s", r.c.options.MinSyncPeriod)
	}
	if wait := r.c.trigger.wait(r.now, r.c.rules.retry(), time.Time{}, false); wait > time.Second {
		t.Errorf("the audit is due in %s", wait)
	}
	if r.c.Health.limit != 2*time.Second {
		t.Errorf("a change may wait %s", r.c.Health.limit)
	}
	audit := r.c.trigger.audit
	r.reconfigure(func(o *Options) { o.SyncPeriod = time.Hour })
	if r.c.trigger.audit.After(audit) {
		t.Error("a longer period puts off an audit that is due")
	}
}

// TestReconfigureFromAnotherGoroutine does so while Run goes on; the race detector looks on.
func TestReconfigureFromAnotherGoroutine(t *testing.T) {
	kernel := ipvs.NewShared()
	src, err := source.Directory(t.TempDir(), slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	o := Options{NodeName: nodeName, Scheduler: "rr", SyncPeriod: time.Minute, Masq: masq.Options{MasqueradeBit: 14}}
	c := New(src, Kernel{IPVS: kernel, Dummyif: dummyif.NewFake(), Masq: masq.NewFake()}, o, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	for _, scheduler := range []string{"wrr", "lc", "wlc"} {
		o.Scheduler = scheduler
		c.Reconfigure(o)
		for deadline := time.Now().Add(20 * time.Second); c.next.Load() != nil; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("Run does not take the options over")
			}
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if c.options.Scheduler != "wlc" {
		t.Errorf("the last scheduler is %s", c.options.Scheduler)
	}
}
