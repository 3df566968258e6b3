package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/controller"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/plan"
)

// statusPlanned is the exit status of `fairlead plan` when something would be written.
const statusPlanned = 2

// newPlanCommand returns `fairlead plan`.
func newPlanCommand() *cobra.Command {
	var summary bool
	var timeout time.Duration
	var output *string
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Print what 'fairlead run' would write now, and write nothing",
		Long: `Print what 'fairlead run' with this configuration would write to the kernel now, in
the syntax of ipvsadm, ip, ipset and iptables-restore, in the order in which it
would be written. Nothing is written; the module ip_vs is loaded if it is not.

It reads what the kernel has, lets the proxy itself go to work on a copy of that
in memory, and prints the writes. So it tells before the first start, after an
edit of the configuration, and while the daemon runs, what is not as it should
be. Everything that is no command is a comment.

Where a scheduler chooses by a hash (mh, sh) it tells, too, about how many
clients would meet another real server than before when they come again. Open
connections stay where they are, until their real server goes.

The exit status is 0 if there is nothing to do, 2 if there is, and 1 after an
error. It takes root, or CAP_NET_ADMIN and CAP_NET_RAW.`,
		Example: `  fairlead plan --config /etc/fairlead/config.yaml
  fairlead plan --source-directory ./manifests --summary
  FAIRLEAD_IPVS_SCHEDULER=mh fairlead plan --config /etc/fairlead/config.yaml
  fairlead plan -o json`,
		Args: wantArgs(),
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkOutput(cmd, *output); err != nil {
			return err
		}
		cfg, err := configOf(cmd)
		if err != nil {
			return err
		}
		if cfg.Logging.Level == slog.LevelInfo {
			cfg.Logging.Level = slog.LevelWarn // what a rehearsal does is no news
		}
		log, _ := newLogger(cfg.Logging, cmd.ErrOrStderr())
		ctx, cancel := withPatience(cmd.Context(), timeout)
		defer cancel()
		now, err := presentState(cfg, log)
		if err != nil {
			return err
		}
		p, err := makePlan(ctx, cfg, now, log)
		if err != nil {
			return err
		}
		return printPlan(cmd, p, *output, summary)
	}
	addConfigFlags(cmd.Flags())
	output = outputFlag(cmd)
	cmd.Flags().BoolVar(&summary, "summary", false, "print how much would be written, and not what")
	cmd.Flags().DurationVar(&timeout, "timeout", sourcePatience, "longest time to wait for the source to tell of all Services")
	return cmd
}

// printPlan prints a plan, and returns the exit status that goes with it.
func printPlan(cmd *cobra.Command, p *plan.Plan, output string, summary bool) (err error) {
	empty := p.Empty()
	switch {
	case output == "json" && summary:
		err = writeJSON(cmd.OutOrStdout(), p.Sum())
	case output == "json":
		err = writeJSON(cmd.OutOrStdout(), p)
	case summary:
		err = p.Summary(cmd.OutOrStdout())
	default:
		err = p.Text(cmd.OutOrStdout())
	}
	if err == nil && !empty {
		err = exitStatus{status: statusPlanned}
	}
	return err
}

// present is what there is on this node before anything is done.
type present struct {
	state     plan.State
	probe     func(scheduler string) error
	inherited func(ipvs.Key) bool
	host      []plan.Write // what would be set before everything else
	kubeProxy plan.KubeProxy
}

// makePlan lets the controller go to work on what is present, in memory, which it changes.
func makePlan(ctx context.Context, cfg Config, now present, log *slog.Logger) (*plan.Plan, error) {
	if err := now.probe(cfg.IPVS.Scheduler); err != nil {
		return nil, fmt.Errorf("ipvs.scheduler: %w", err)
	}
	recorder, err := plan.NewRecorder(now.state, cfg.DummyInterface.Name, now.probe)
	if err != nil {
		return nil, err
	}
	kernel := controller.Kernel{IPVS: recorder.IPVS(), Dummyif: recorder.Dummyif(), Masq: recorder.Masq()}
	c, err := runRehearsal(ctx, cfg, kernel, now.inherited, log)
	if err != nil {
		return nil, err
	}
	p, err := recorder.Plan()
	if err != nil {
		return nil, err
	}
	p.Writes = append(now.host, p.Writes...)
	p.KubeProxy = now.kubeProxy
	p.Later = laterOf(c.Left(), cfg.IPVS.DrainTimeout)
	owners := c.LastOwners()
	p.Name(func(k ipvs.Key) string {
		if owner, known := owners[k]; known {
			return owner.Service.String()
		}
		return ""
	})
	return p, nil
}

// laterOf says when what is left over goes.
func laterOf(left controller.Left, drainTimeout time.Duration) plan.Later {
	later := plan.Later{VirtualServers: left.VirtualServers, RealServers: left.RealServers}
	switch {
	case later == plan.Later{}:
	case !left.Complete:
		later.When = "when the source knows all objects"
	case drainTimeout > 0:
		later.When = fmt.Sprintf("when their connections end, at the latest after %s", drainTimeout)
	default:
		later.When = "when their connections end"
	}
	return later
}
