package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/doctor"
)

// newDoctorCommand returns `fairlead doctor`.
func newDoctorCommand() *cobra.Command {
	var list bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what is wrong with this node, and what to do",
		Long: `Say what is wrong with this node: kernel and modules, IPVS, sysctls, iptables,
connection tracking, what kube-proxy left, other programs that do not go with
Fairlead, the API server, the clock and the daemon itself. It writes nothing and
does not load IPVS; asked for rules and sets, the kernel may load nf_tables and
ip_set. It takes some seconds at most.

Each finding has a verdict, the evidence and what to do. The verdicts are
  problem   Services fail, or will
  warning   Services can fail
  unknown   it could not be found out, for the reason that is given
  note      worth knowing
  ok        nothing to do

Run it as root on the node, with the daemon's configuration, or in the daemon's
Pod, from where it does not see the node's processes:
kubectl -n kube-system exec POD -- fairlead doctor --config /etc/fairlead/config.yaml

The exit status is 0 if there is no problem, 2 if there is one, and 1 if the
command itself fails.`,
		Example: `  fairlead doctor --config /etc/fairlead/config.yaml
  fairlead doctor --config /etc/fairlead/config.yaml -o json | jq '.findings[] | select(.verdict == "problem")'
  fairlead doctor --list`,
		Args: wantArgs(),
	}
	addConfigFlags(cmd.Flags())
	cmd.Flags().BoolVar(&list, "list", false, "print the name of each check and what it looks at, and exit")
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkOutput(cmd, *output); err != nil {
			return err
		}
		if list {
			return listChecks(cmd.OutOrStdout(), *output == "json")
		}
		cfg, err := configOf(cmd)
		if err != nil {
			return err
		}
		return runDoctor(cmd.Context(), cfg, cmd.Flags().Changed("config"), *output == "json", cmd.OutOrStdout())
	}
	return cmd
}

// runDoctor examines this node. A problem is an exitStatus.
func runDoctor(ctx context.Context, cfg Config, configured, asJSON bool, out io.Writer) error {
	host, err := examined(ctx, cfg)
	if err != nil {
		return err
	}
	host.Source, host.Clock = askSource(ctx, cfg)
	host.Source.Configured = configured || cfg.ClientConnection.Kubeconfig != ""
	host.Daemon = askDaemon(ctx, cfg)
	found := doctor.Examine(host)
	if asJSON {
		err = writeJSON(out, diagnosis{found, countVerdicts(found)})
	} else {
		for i, f := range found {
			found[i].Evidence, found[i].Do = visible(f.Evidence), visible(f.Do) // names of processes, lines of files
		}
		err = doctor.Write(out, found, wantsColors(out))
	}
	if err == nil && doctor.Count(found, doctor.Problem) > 0 {
		err = exitStatus{status: 2} // the last line has said so
	}
	return err
}

// diagnosis is what `doctor -o json` prints.
type diagnosis struct {
	Findings []doctor.Finding       `json:"findings"`
	Counts   map[doctor.Verdict]int `json:"counts"`
}

func countVerdicts(found []doctor.Finding) map[doctor.Verdict]int {
	counts := make(map[doctor.Verdict]int)
	for _, v := range doctor.Verdicts() {
		counts[v] = doctor.Count(found, v)
	}
	return counts
}

// wantsColors reports whether out is a terminal whose user has nothing against colors (https://no-color.org).
func wantsColors(out io.Writer) bool { return os.Getenv("NO_COLOR") == "" && isTerminal(out) }

// listChecks prints what there is to check.
func listChecks(out io.Writer, asJSON bool) error {
	if asJSON {
		type check struct {
			Name  string `json:"name"`
			About string `json:"about"`
		}
		var all []check
		for _, c := range doctor.Checks() {
			all = append(all, check{c.Name, c.About})
		}
		return writeJSON(out, all)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range doctor.Checks() {
		fmt.Fprintf(table, "%s\t%s\n", c.Name, c.About)
	}
	return table.Flush()
}
