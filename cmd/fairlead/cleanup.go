package main

import "github.com/spf13/cobra"

// newCleanupCommand returns `fairlead cleanup`.
func newCleanupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: "Remove everything that Fairlead left in the kernel",
		Long: `Remove everything that Fairlead created on this node, and nothing else: its
virtual servers, the VIPs on the dummy device and the device itself, its iptables
rules and its ipsets. Connections through a VIP end. Stop the daemon first.

Sysctls keep their values: what they were before is not known.`,
		Example: `  fairlead cleanup
  fairlead cleanup --config /etc/fairlead/config.yaml`,
		Args: wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := configOf(cmd)
			if err != nil {
				return err
			}
			return cleanup(cfg, cmd.OutOrStdout())
		},
	}
	addConfigFlags(cmd.Flags())
	return cmd
}
