package main

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
	"github.com/fairlead-lb/fairlead/view"
)

// sick is what a daemon says that is not healthy; all its texts are of somebody who wants the terminal.
type sick struct{ view.Source }

var sickNow = time.Date(2026, 11, 25, 3, 0, 0, 0, time.UTC)

func (sick) Status(context.Context) (view.Status, error) {
	at := func(seconds int) *time.Time { t := sickNow.Add(-time.Duration(seconds) * time.Second); return &t }
	return view.Status{
		Version: "v1.2.3", Node: "node-1", Kernel: "6.1.0", Source: "the API server", Started: *at(86400), Now: sickNow, Phase: view.PhaseRunning,
		Updated: *at(300), Waiting: 61.5, Services: 3, Served: 2, VirtualServers: view.Count{Total: 4, Pending: 1}, RealServers: 1,
		Addresses: view.Count{Total: 2, Pending: 2}, Entries: view.Count{Total: 9}, Draining: 1,
		LastError: &view.Error{At: *at(5), Text: "first\nsecond \x1b[31mred", Current: true},
		Drift:     view.Drift{Rules: 1, Servers: 2, Addresses: 3, Last: at(200)}, Audit: view.Audit{Period: 30},
		Problems: []view.Reason{{Reason: "AddressInUse", Count: 2}}, NoLocal: view.NoLocal{Internal: 1, External: 2},
		Notes: []string{"kube-proxy\x1b]0;title\x07 runs on this node, too"},
	}, nil
}

func (sick) Endpoints(context.Context, view.Filter) ([]view.Endpoint, error) {
	zero, deadline := 0, sickNow
	return []view.Endpoint{
		{Namespace: "ns", Name: "web\x1b[2J", Server: "tcp 10.96.0.1:80", Real: view.Real{Address: "10.244.1.5:80", State: view.Draining, Kernel: &zero, Deadline: &deadline}},
		{Server: "tcp 10.96.0.9:80", Real: view.Real{Address: "10.244.1.6:80", State: view.Draining, Kernel: &zero}},
		{Namespace: "ns", Name: "web", Server: "tcp 10.96.0.1:80", Real: view.Real{Address: "10.244.1.7:80", State: view.Leaving}},
	}, nil
}

// TestADaemonThatIsNotHealthy is told of with exit status 2, in words, and nothing of it commands the terminal.
func TestADaemonThatIsNotHealthy(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); serveSocket(ctx, socket, sick{}, slog.New(slog.DiscardHandler)) }()
	defer func() { cancel(); <-ended }()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if _, err := view.NewClient(socket).Status(t.Context()); err == nil {
			break
		}
	}
	status, stdout, stderr := command("status", "--socket", socket)
	if status != 2 || stderr != "fairlead: the daemon is not healthy\n" {
		t.Errorf("exit status %d, stderr %q", status, stderr)
	}
	list, draining, errs := command("get", "endpoints", "--state", "draining", "--socket", socket)
	if list != 0 || errs != "" {
		t.Errorf("get endpoints: exit status %d, stderr %q", list, errs)
	}
	draining = strings.ReplaceAll(draining, sickNow.Local().Format("15:04:05"), "03:00:00")
	kerneltest.Golden(t, "sick.txt", stdout+"\n"+draining)
}

// TestVisible keeps what terminals may have, in any language.
func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"":                   "",
		"ns/web 10.0.0.1":    "ns/web 10.0.0.1",
		"Dienst für 東京":      "Dienst für 東京",
		`a "quoted" \ 'one'`: `a "quoted" \ 'one'`,
		"a\x1b[31mb\r\n\t":   `a\x1b[31mb\r\n\t`,
		"\u202eabc\u009b":    `\u202eabc\u009b`,
		"\x9b31m\xff":        `\x9b31m\xff`,
	} {
		if got := visible(text); got != want {
			t.Errorf("visible(%q) = %q, want %q", text, got, want)
		}
	}
}
