package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/controller"
	"github.com/fairlead-lb/fairlead/controller/source"
	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/internal/hostaddr"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/meter"
)

// newRunCommand returns `fairlead run`.
func newRunCommand() *cobra.Command {
	var onlyInit, shadowed bool
	var output *string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the proxy on this node",
		Long: `Run the proxy on this node until SIGINT or SIGTERM.

It leaves the kernel as it is when it stops: traffic goes on, and the next start
takes over what it finds. To remove everything, use 'fairlead cleanup'.

With --shadow it writes nothing: it compares, frontend by frontend, which
endpoints new connections would meet with those that they meet at kube-proxy's,
in whatever mode that is, and exits with status 0 if they are the same. It
waits up to two minutes for the source to tell of all Services.`,
		Example: `  fairlead run --config /etc/fairlead/config.yaml
  fairlead run --config /etc/fairlead/config.yaml --shadow
  fairlead run --source-directory ./manifests
  FAIRLEAD_IPVS_SCHEDULER=wrr fairlead run`,
		Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := originOfConfig(cmd)
			if err != nil {
				return err
			}
			file, err := readConfigFile(from.path)
			if err != nil {
				return err
			}
			cfg, warnings, err := from.parse(file)
			if err != nil {
				printWarnings(cmd, warnings)
				return err
			}
			log, setLogging := newLogger(cfg.Logging, cmd.ErrOrStderr())
			for _, warning := range warnings {
				log.Warn(warning)
			}
			if shadowed {
				if err := checkOutput(cmd, *output); err != nil {
					return err
				}
				return runShadow(cmd.Context(), cfg, *output == "json", cmd.OutOrStdout(), log)
			}
			if onlyInit {
				return initOnly(cmd.Context(), cfg, log)
			}
			return runDaemon(cmd.Context(), cfg, &daemon{
				from: from, file: file, log: log, setLogging: setLogging, probe: probeScheduler,
			})
		},
	}
	addConfigFlags(cmd.Flags())
	cmd.Flags().BoolVar(&shadowed, "shadow", false, "compare what Fairlead would do with what kube-proxy has programmed, and exit; writes nothing")
	output = outputFlag(cmd)
	cmd.Flags().BoolVar(&onlyInit, "init-only", false, "load kernel modules, set timeouts and sysctls, and exit: what takes more than CAP_NET_ADMIN and CAP_NET_RAW")
	return cmd
}

// runDaemon does the work of `fairlead run`: it makes sure that the node can do what is asked,
// before it touches anything, and then serves until ctx ends. Meanwhile the source is listed.
func runDaemon(ctx context.Context, cfg Config, d *daemon) (err error) {
	if d.name, err = ownName(cfg.HostnameOverride); err != nil {
		return err
	}
	if err := privileged(); err != nil {
		return err
	}
	settled := tuneMemory()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	src, events, err := openSource(ctx, cfg, d.name, d.log)
	if err != nil {
		return err
	}
	feed := controller.NewFeed(src, d.name, d.log)
	if cfg.Source.Kind != sourceDirectory { // which is quickly read
		feed.Follow(ctx) // objects come in while the kernel is made ready
	}
	kernel, closeKernel, err := openKernel(ctx, cfg)
	if err != nil {
		return err
	}
	defer closeKernel()
	if err := startHost(cfg, d.log); err != nil {
		return err
	}
	options, err := controllerOptions(cfg, d.name)
	if err != nil {
		return err
	}
	options.Feed = feed
	if events != nil {
		options.Events = events
		d.nodeWarnings = func(reason, text string) { events.nodeWarning(d.name, reason, text) }
	}
	if cfg.Takeover.RemoveKubeProxy {
		options.Inherited = inherited(cfg, d.log)
	}
	d.estimation.Store(cfg.IPVS.Estimation)
	options.Settled, options.Sized = settled, watchSizes(func() bool { return d.estimation.Load() == estimationAuto }, d.log)
	d.controller = controller.New(src, kernel, options, d.log)
	counters, closeCounters, err := openCounters()
	if err != nil {
		return err
	}
	defer func() { _ = closeCounters() }() // sockets; nothing is lost
	d.meter = meter.New(counters)
	d.log.Info("Fairlead starts", "version", readBuild().Version, "node", d.name, "source", cfg.Source.Kind,
		"scheduler", cfg.IPVS.Scheduler, "bind", cfg.DummyInterface.Bind)
	err = d.serve(ctx, cfg)
	d.log.Info("Fairlead stops; the kernel keeps what it has")
	return err
}

// startHost makes the node ready. What Services work without is a warning: a container may not set it.
func startHost(cfg Config, log *slog.Logger) error {
	if err := prepareHost(cfg, log); err != nil {
		return err
	}
	for _, problem := range problemsIn(tuneHost(cfg, log)) {
		log.Warn("cannot set what Services work without; going on", "key", keyOf(problem), "err", problem)
	}
	return nil
}

// stopPatience is how long a stop waits for a program that writes rules. It ends by itself as soon as it has iptables' lock,
// and what is killed is written by the next start.
const stopPatience = 30 * time.Second

// sometimeAfter returns a context that ends stopPatience after ctx does.
func sometimeAfter(ctx context.Context) context.Context {
	late, end := context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(stopPatience, end) })
	return late
}

func ownName(override string) (string, error) {
	if override != "" {
		return override, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("find out the node's name (or set hostnameOverride): %w", err)
	}
	return strings.ToLower(strings.TrimSpace(name)), nil
}

// openSource opens the source of objects, and where Events about them go: nowhere, where there is no
// API server.
func openSource(ctx context.Context, cfg Config, nodeName string, log *slog.Logger) (source.Source, *apiEvents, error) {
	if cfg.Source.Kind == sourceDirectory {
		src, err := source.Directory(cfg.Source.Directory, log)
		return src, nil, err
	}
	client, err := source.Connection{
		Kubeconfig: cfg.ClientConnection.Kubeconfig,
		QPS:        float32(cfg.ClientConnection.QPS),
		Burst:      cfg.ClientConnection.Burst,
	}.Client()
	if err != nil {
		return source.Source{}, nil, err
	}
	return source.Kubernetes(client, nodeName, cfg.ExternalIPs.CheckNodes), newEvents(ctx, client, nodeName), nil
}

// controllerOptions says in the controller's words what the configuration says in kube-proxy's.
func controllerOptions(cfg Config, nodeName string) (controller.Options, error) {
	flags, err := ipvs.ParseFlags(cfg.IPVS.Scheduler, cfg.IPVS.SchedulerFlags)
	if err != nil {
		return controller.Options{}, err
	}
	return controller.Options{
		NodeName:      nodeName,
		Host:          host(cfg.DummyInterface.Name),
		Scheduler:     cfg.IPVS.Scheduler,
		Flags:         flags,
		Excluded:      cfg.IPVS.ExcludeCIDRs,
		SyncPeriod:    cfg.IPVS.SyncPeriod,
		MinSyncPeriod: cfg.IPVS.MinSyncPeriod,
		DrainTimeout:  cfg.IPVS.DrainTimeout,
		BindRoutes:    cfg.DummyInterface.Bind == bindRoute,
		Masq:          masqOptions(cfg),
		NodeCIDR:      cfg.DetectLocalMode == localNodeCIDR,
		NodePorts:     nodePorts(cfg.NodePortAddresses),

		AllowedExternalIPs: cfg.ExternalIPs.AllowedCIDRs,
	}, nil
}

// host is this machine. Devices that hold VIPs do not count: the one in use, one that Fairlead made
// when it was configured to use another name, and kube-proxy's.
func host(except string) controller.Host {
	return controller.Host{
		Addresses: func() ([]netip.Addr, error) { return hostaddr.List(except, dummyif.Alias, "kube-ipvs0") },
		Watch: func(ctx context.Context, changed func()) error {
			return hostaddr.Watch(ctx, except, changed)
		},
	}
}

// nodePorts reads nodePortAddresses. Nothing means everything, as in kube-proxy's IPVS mode.
func nodePorts(list []string) (p controller.NodePorts) {
	p.All = len(list) == 0
	for _, text := range list {
		switch text {
		case "all":
			p.All = true
		case "primary":
			p.Primary = true
		case "localhost":
			p.Localhost = true
		default:
			cidr, _ := parseCIDR(text) // it has been through nodePortAddress
			p.CIDRs = append(p.CIDRs, cidr)
			p.Localhost = p.Localhost || cidr.Contains(netip.AddrFrom4([4]byte{127, 0, 0, 1})) || cidr.Contains(netip.IPv6Loopback())
		}
	}
	return p
}

func masqOptions(cfg Config) masq.Options {
	o := masq.Options{
		MasqueradeBit: cfg.IPTables.MasqueradeBit, MasqueradeAll: cfg.IPTables.MasqueradeAll,
		Marks: cfg.IPVS.marks(cfg.IPTables.MasqueradeBit),
	}
	switch cfg.DetectLocalMode {
	case localClusterCIDR:
		o.Pods.CIDRs = cfg.ClusterCIDR
	case localBridgeInterface:
		o.Pods.Bridge = cfg.DetectLocal.BridgeInterface
	case localInterfaceNamePrefix:
		o.Pods.InterfacePrefix = cfg.DetectLocal.InterfaceNamePrefix
	}
	return o
}
