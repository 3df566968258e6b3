package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/takeover"
)

// takeovers tells what comes of each look at what kube-proxy left: in the log, and what somebody has to do
// something about in an Event on the Node. It tells each thing once, until it changes.
type takeovers struct {
	watch *takeover.Watch
	log   *slog.Logger
	warn  func(reason, text string)
	notes *notes

	told map[string]string // by kind
}

// follow looks until ctx ends. Nothing is removed before ready is closed.
func (t *takeovers) follow(ctx context.Context, ready <-chan struct{}) {
	select {
	case <-ctx.Done():
		return
	case <-ready:
	}
	for {
		report, err := t.watch.Look(time.Now())
		t.tell(report, err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(report.Next):
		}
	}
}

func (t *takeovers) tell(r takeover.Report, err error) {
	if len(r.Removed) > 0 {
		t.log.Info("removed what kube-proxy left; its connections go on", "removed", r.Removed)
	}
	if t.fresh("err", errorText(err)) && err != nil {
		t.log.Error("could not remove all that kube-proxy left; trying again", "in", r.Next, "err", err)
	}
	if t.fresh("stay", strings.Join(r.Stay, ", ")) && len(r.Stay) > 0 {
		t.log.Warn("rules of somebody else's lead to chains of kube-proxy's, which are empty and stay", "chains", r.Stay)
	}
	t.notes.set("takeover", errorText(err))
	var running string
	for _, p := range r.Running {
		running += ", " + p.String()
	}
	switch {
	case running != "":
		running = fmt.Sprintf("%s runs on this node, too: what it has programmed is left alone until it is gone", running[2:])
	case r.Back:
		running = "a kube-proxy that cannot be seen from here runs on this node, too: what was removed is there again, and is left alone for a while"
	}
	t.notes.set("kube-proxy", running)
	switch {
	case !t.fresh("running", running):
	case running != "":
		t.log.Warn(running)
		t.warn("KubeProxyRunning", running)
	default:
		t.log.Info("no kube-proxy runs on this node any more")
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// fresh reports whether this is not what was told the last time.
func (t *takeovers) fresh(kind, text string) bool {
	if t.told == nil {
		t.told = make(map[string]string)
	}
	before := t.told[kind]
	t.told[kind] = text
	return before != text
}
