package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/fairlead-lb/fairlead/controller"
	"github.com/fairlead-lb/fairlead/meter"
	"github.com/fairlead-lb/fairlead/statuspage"
	"github.com/fairlead-lb/fairlead/view"
)

// daemon is one run of the proxy, and the parts of it that a changed configuration reaches.
type daemon struct {
	from         configOrigin
	file         []byte // as read at the start
	name         string // of the node
	log          *slog.Logger
	setLogging   func(LoggingConfig)
	controller   *controller.Controller
	newHealth    chan Config
	newMetrics   chan Config
	newPage      chan Config
	probe        func(scheduler string) error // asks the kernel
	estimation   atomic.Value                 // ipvs.estimation
	nodeWarnings func(reason, text string)    // nil: there is no API server
	notes        notes
	meter        *meter.Meter
	metrics      atomic.Value // MetricsConfig
}

// serve runs everything until ctx ends, or one part fails.
func (d *daemon) serve(ctx context.Context, cfg Config) error {
	d.newHealth, d.newMetrics, d.newPage = make(chan Config), make(chan Config), make(chan Config)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return serveEach(ctx, cfg, d.newHealth, func(ctx context.Context, cfg Config) error {
			return serveHealth(ctx, cfg.HealthzBindAddress, d.controller.Health, d.log)
		})
	})
	group.Go(func() error {
		return serveEach(ctx, cfg, d.newMetrics, func(ctx context.Context, cfg Config) error {
			return serveMetrics(ctx, cfg, d.controller.Metrics.Registry, d.log)
		})
	})
	d.controller.Metrics.Registry.MustRegister(buildInfo())
	d.metrics.Store(cfg.Metrics)
	counted := &traffic{meter: d.meter, ask: d.controller.Owners}
	d.controller.Metrics.Registry.MustRegister(newTrafficMetrics(counted, func() MetricsConfig { return d.metrics.Load().(MetricsConfig) }, d.log))
	group.Go(func() error {
		page := statuspage.Handler(d.view(cfg), counted)
		return serveEach(ctx, cfg, d.newPage, func(ctx context.Context, cfg Config) error {
			return serve(ctx, "statusBindAddress", cfg.StatusBindAddress, page, d.log)
		})
	})
	group.Go(func() error {
		serveSocket(ctx, cfg.SocketPath, d.view(cfg), d.log)
		return nil
	})
	group.Go(func() error { return d.controller.Run(ctx) })
	if cfg.Takeover.RemoveKubeProxy {
		group.Go(func() error { return takeOver(ctx, cfg, d.controller, d.warnNode, &d.notes, d.log) })
	}
	if d.from.path != "" {
		group.Go(func() error {
			defaultWatch().run(ctx, d.from.path, d.reloader(ctx, cfg).look, d.log)
			return nil
		})
	}
	return group.Wait()
}

// view is what the daemon tells about itself.
func (d *daemon) view(cfg Config) view.Source {
	source := "the API server"
	if cfg.Source.Kind == sourceDirectory {
		source = "directory " + cfg.Source.Directory
	}
	return daemonView{d.controller, source, &d.notes}
}

// warnNode puts a Warning event on this node, where there is an API server.
func (d *daemon) warnNode(reason, text string) {
	if d.nodeWarnings != nil {
		d.nodeWarnings(reason, text)
	}
}

// reloader returns what reads the file again.
func (d *daemon) reloader(ctx context.Context, cfg Config) *reloader {
	r := &reloader{from: d.from, seen: string(d.file), current: cfg, log: d.log}
	r.told = append(r.told, tellMetrics(d.controller.Metrics.Registry), tellNotes(&d.notes))
	if d.nodeWarnings != nil {
		r.told = append(r.told, tellEvent(d.nodeWarnings))
	}
	r.check = d.possible
	r.apply = func(next Config, changed []string) ([]string, error) { return takeAll(ctx, d.parts(), next, changed) }
	return r
}

// takeAll has each part that is concerned take a configuration over, also after another has failed. It returns the changed
// keys of those that failed.
func takeAll(ctx context.Context, parts []part, next Config, changed []string) (failed []string, err error) {
	var errs []error
	for _, p := range parts {
		due := p.concerned(changed)
		if len(due) == 0 {
			continue
		}
		if err := p.take(ctx, next); err != nil {
			errs, failed = append(errs, err), append(failed, due...)
		}
	}
	return failed, errors.Join(errs...)
}

// possible returns an error unless this node can do what the next configuration asks for.
func (d *daemon) possible(current, next Config) error {
	if _, err := controllerOptions(next, d.name); err != nil {
		return err
	}
	if next.IPVS.Scheduler == current.IPVS.Scheduler {
		return nil
	}
	if err := d.probe(next.IPVS.Scheduler); err != nil {
		return problem(d.from.path, "ipvs.scheduler", "%v", err)
	}
	return nil
}

// part is a part of the daemon that takes changes of some keys over.
type part struct {
	keys []string // or the beginnings of keys
	take func(context.Context, Config) error
}

// concerned returns those of the keys that the part takes over.
func (p part) concerned(changed []string) (due []string) {
	for _, path := range changed {
		if slices.ContainsFunc(p.keys, func(key string) bool { return strings.HasPrefix(path, key) }) {
			due = append(due, path)
		}
	}
	return due
}

// parts lists them in the order in which they take changes over.
func (d *daemon) parts() []part {
	return []part{
		{[]string{"logging."}, func(_ context.Context, cfg Config) error {
			d.setLogging(cfg.Logging)
			return nil
		}},
		{[]string{"ipvs.tcp", "ipvs.udp", "ipvs.strictARP", "ipvs.estimation"}, func(_ context.Context, cfg Config) error {
			d.estimation.Store(cfg.IPVS.Estimation)
			return prepareHost(cfg, d.log)
		}},
		{[]string{"conntrack.", "oomScoreAdj"}, func(_ context.Context, cfg Config) error { return tuneHost(cfg, d.log) }},
		{[]string{"metrics."}, func(_ context.Context, cfg Config) error {
			d.metrics.Store(cfg.Metrics)
			return nil
		}},
		{[]string{"healthzBindAddress"}, func(ctx context.Context, cfg Config) error { return send(ctx, d.newHealth, cfg) }},
		{[]string{"metricsBindAddress", "enableProfiling"}, func(ctx context.Context, cfg Config) error { return send(ctx, d.newMetrics, cfg) }},
		{[]string{"statusBindAddress"}, func(ctx context.Context, cfg Config) error { return send(ctx, d.newPage, cfg) }},
		{[]string{
			"ipvs.scheduler", "ipvs.syncPeriod", "ipvs.minSyncPeriod", "ipvs.excludeCIDRs", "ipvs.drainTimeout",
			"iptables.masqueradeAll", "clusterCIDR", "detectLocal", "nodePortAddresses", "externalIPs.",
		}, func(_ context.Context, cfg Config) error {
			options, err := controllerOptions(cfg, d.name)
			if err == nil {
				d.controller.Reconfigure(options)
			}
			return err
		}},
	}
}

// send hands on a configuration unless ctx ends first.
func send(ctx context.Context, to chan<- Config, cfg Config) error {
	select {
	case to <- cfg:
	case <-ctx.Done():
	}
	return nil
}
