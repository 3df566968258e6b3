package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead-lb/fairlead/controller"
	"github.com/fairlead-lb/fairlead/controller/source"
	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/internal/listen"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// TestHealthIsServedWhenThePortIsFree begins with a port that another process has.
func TestHealthIsServedWhenThePortIsFree(t *testing.T) {
	defer goleak.VerifyNone(t)
	holder, err := listen.TCP(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddrPort(holder.Addr().String())
	c := controller.New(source.Source{}, controller.Kernel{IPVS: ipvs.NewFake(), Dummyif: dummyif.NewFake(), Masq: masq.NewFake()},
		controller.Options{}, slog.New(slog.DiscardHandler))
	log := make(lines, 10)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serveHealth(ctx, addr, c.Health, slog.New(slog.NewTextHandler(log, nil))) }()
	if line := <-log; !strings.Contains(line, "address already in use") {
		t.Errorf("logged %s", line)
	}
	_ = holder.Close()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	for path, eligible := range map[string]bool{"/healthz": true, "/livez": false} {
		var response *http.Response
		for deadline := time.Now().Add(20 * time.Second); response == nil && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			response, err = client.Get("http://" + addr.String() + path)
		}
		if response == nil {
			t.Fatalf("%s: %v", path, err)
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusServiceUnavailable || strings.Contains(string(body), "nodeEligible") != eligible {
			t.Errorf("%s before the first round: %d %s", path, response.StatusCode, body)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(log) > 0 {
		t.Errorf("logged, too: %s", <-log)
	}
}

// lines hands on each write.
type lines chan string

func (l lines) Write(p []byte) (int, error) { l <- string(p); return len(p), nil }
