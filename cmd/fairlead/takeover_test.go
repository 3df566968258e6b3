package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/takeover"
)

func TestEachThingIsToldOnceUntilItChanges(t *testing.T) {
	var log strings.Builder
	var warned []string
	tell := &takeovers{log: slog.New(slog.NewTextHandler(&log, nil)), warn: func(reason, _ string) { warned = append(warned, reason) }, notes: new(notes)}
	running := takeover.Report{Running: []takeover.Process{{PID: 42, Command: "kube-proxy"}}}
	for _, step := range []struct {
		report takeover.Report
		err    error
		lines  int
	}{
		{takeover.Report{}, nil, 0},
		{running, nil, 1},
		{running, nil, 0},
		{takeover.Report{Removed: []string{"iptables nat (IPv4, nft)"}}, nil, 2}, // it is gone, and so is what it left
		{takeover.Report{}, errors.New("locked"), 1},
		{takeover.Report{}, errors.New("locked"), 0},
		{takeover.Report{}, nil, 0},
		{takeover.Report{Back: true}, nil, 1},
		{takeover.Report{Back: true}, nil, 0},
		{takeover.Report{Stay: []string{"nat KUBE-NODE-PORT (PREROUTING -j KUBE-NODE-PORT)"}}, nil, 2},
	} {
		before := strings.Count(log.String(), "\n")
		tell.tell(step.report, step.err)
		if got := strings.Count(log.String(), "\n") - before; got != step.lines {
			t.Errorf("%+v, %v: %d lines, want %d\n%s", step.report, step.err, got, step.lines, log.String())
		}
	}
	if want := []string{"KubeProxyRunning", "KubeProxyRunning"}; !slices.Equal(warned, want) {
		t.Errorf("events %v, want %v", warned, want)
	}
	if !strings.Contains(log.String(), "kube-proxy (process 42)") {
		t.Errorf("the process is not named:\n%s", log.String())
	}
}

func TestNothingIsRemovedBeforeEverythingIsInForce(t *testing.T) {
	kernel := &takeover.Fake{NFT: []masq.Family{masq.IPv4}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	follow := &takeovers{
		notes: new(notes),
		watch: takeover.NewWatch(takeover.New(kernel), func() error { return nil }),
		log:   slog.New(slog.DiscardHandler), warn: func(string, string) {},
	}
	never, ready := make(chan struct{}), make(chan struct{})
	follow.follow(ctx, never)
	if len(kernel.NFT) == 0 {
		t.Error("removed, although nothing is in force")
	}
	ctx, cancel = context.WithCancel(t.Context())
	kernel.Fail = func(call string) error {
		if strings.HasPrefix(call, "delete nftables") {
			cancel() // one look is enough
		}
		return nil
	}
	close(ready)
	follow.follow(ctx, ready)
	if len(kernel.NFT) > 0 {
		t.Error("not removed")
	}
}
