package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/fairlead-lb/fairlead/controller"
	"github.com/fairlead-lb/fairlead/internal/listen"
)

// A port that somebody else has is tried again, ever less often up to lastRetry. A kube-proxy that is
// being replaced has both ports; that is no reason not to start.
const (
	firstRetry = time.Second
	lastRetry  = 5 * time.Second
)

// serveHealth serves /healthz and /livez until ctx ends.
func serveHealth(ctx context.Context, addr netip.AddrPort, health *controller.Health, log *slog.Logger) error {
	mux := http.NewServeMux()
	mux.Handle("/healthz", health.Healthz())
	mux.Handle("/livez", health.Livez())
	return serve(ctx, "healthzBindAddress", addr, mux, log)
}

// serveMetrics serves /metrics and /proxyMode, and the profiler where that is asked for, until ctx
// ends.
func serveMetrics(ctx context.Context, cfg Config, registry *prometheus.Registry, log *slog.Logger) error {
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/proxyMode", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ipvs") })
	if cfg.EnableProfiling {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return serve(ctx, "metricsBindAddress", cfg.MetricsBindAddress, mux, log)
}

// serveEach serves with cfg, and with each configuration that comes in its stead, until ctx ends. One
// server has ended when the next begins: they may want the same port.
func serveEach(ctx context.Context, cfg Config, configs <-chan Config, serve func(context.Context, Config) error) error {
	for {
		serving, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- serve(serving, cfg) }()
		select {
		case err := <-ended:
			stop()
			return err
		case cfg = <-configs:
			stop()
			if err := <-ended; err != nil {
				return err
			}
		}
	}
}

// serve serves on addr until ctx ends. An invalid address means: not at all.
func serve(ctx context.Context, key string, addr netip.AddrPort, handler http.Handler, log *slog.Logger) error {
	if !addr.IsValid() {
		<-ctx.Done()
		return nil
	}
	listener := listen.Backoff{First: firstRetry, Last: lastRetry}.Listen(ctx, listen.TCP, "tcp", addr.String(), func(err error) {
		log.Error("cannot listen yet; trying again and again", "key", key, "addr", addr.String(), "err", err)
	})
	if listener == nil {
		return nil // stopped
	}
	if err := answer(ctx, listener, handler); err != nil {
		return fmt.Errorf("serve %s %s: %w", key, addr, err)
	}
	return nil
}

// How long a client may take for a request's header, and keep an open connection without one. An answer may take its
// time: a profile does.
const (
	headerLimit = 10 * time.Second
	idleLimit   = 2 * time.Minute
)

// answer serves on a listener until ctx ends.
func answer(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerLimit, IdleTimeout: idleLimit}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
