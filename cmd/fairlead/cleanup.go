package main

import (
	"time"

	"github.com/spf13/cobra"
)

// newCleanupCommand returns `fairlead cleanup`.
func newCleanupCommand() *cobra.Command {
	var drain time.Duration
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: "Remove everything that Fairlead left in the kernel",
		Long: `Remove everything that Fairlead created on this node, and nothing else: its
virtual servers, the VIPs on the dummy device and the device itself, its iptables
rules and its ipsets. Connections through a VIP end. Stop the daemon first.

Where kube-proxy serves again, use --drain: new connections are kube-proxy's from
then on, and the open ones go on until they end, at most for that time. What
kube-proxy's mode ipvs has taken over is left to it in any case.

Sysctls keep their values: what they were before is not known.`,
		Example: `  fairlead cleanup
  fairlead cleanup --config /etc/fairlead/config.yaml
  fairlead cleanup --drain 1h`,
		Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := configOf(cmd)
			if err != nil {
				return err
			}
			return cleanup(cmd.Context(), cfg, drain, cmd.OutOrStdout())
		},
	}
	cmd.Flags().DurationVar(&drain, "drain", 0, "leave open connections to end for so long, because kube-proxy serves again")
	addConfigFlags(cmd.Flags())
	return cmd
}
