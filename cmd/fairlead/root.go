package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// newRootCommand returns the whole command tree. It is built anew for each
// use, so that tests can run command lines side by side.
func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "fairlead",
		Short: "IPVS service proxy for Kubernetes nodes",
		Long: `Fairlead is an IPVS service proxy for Kubernetes nodes. It takes the place of
kube-proxy: it binds the VIPs of Services to a dummy interface and keeps the
kernel's IPVS table equal to the cluster's Services and EndpointSlices.`,
		Example: `  fairlead run --config /etc/fairlead/config.yaml
  fairlead status
  fairlead explain default/web
  fairlead plan --config /etc/fairlead/config.yaml
  fairlead doctor --config /etc/fairlead/config.yaml
  fairlead config defaults > config.yaml
  fairlead cleanup`,
		Version: readBuild().Version,
		// run prints the error, once and in one shape; a page of usage
		// below a run-time error would push it off the screen.
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSuchCommand,
		RunE:          showHelp,
	}
	root.SetVersionTemplate("fairlead {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, err.Error()) })
	root.AddCommand(newRunCommand(), newPlanCommand(), newStatusCommand(), newGetCommand(), newExplainCommand(), newTopCommand(),
		newDoctorCommand(), newCleanupCommand(), newConfigCommand(), newVersionCommand())
	return root
}

// showHelp is what a command that only groups others does when called bare.
func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// noSuchCommand refuses the arguments of a grouping command: whatever is left
// there is a misspelled subcommand.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	message := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	if near := nearest(args[0], names); near != "" {
		message += fmt.Sprintf(" (did you mean %s?)", near)
	}
	return usageError(cmd, message)
}

// wantArgs returns a check for exactly as many arguments as there are names;
// cobra's own says "accepts 1 arg(s), received 0" and not which one is missing.
func wantArgs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usageError(cmd, fmt.Sprintf("%q needs the argument %s", cmd.CommandPath(), names[len(args)]))
		case len(args) > len(names):
			return usageError(cmd, fmt.Sprintf("unexpected argument %q for %q", args[len(names)], cmd.CommandPath()))
		}
		return nil
	}
}

// usageError is a mistake on the command line itself, and the only kind of
// error that points at --help.
func usageError(cmd *cobra.Command, message string) error {
	return fmt.Errorf("%s; see '%s --help'", message, cmd.CommandPath())
}

// outputFlag adds -o/--output, which chooses between text and json.
func outputFlag(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("output", "o", "text", "output format: text or json")
}

// checkOutput refuses any other format than those of outputFlag.
func checkOutput(cmd *cobra.Command, format string) error {
	if format == "text" || format == "json" {
		return nil
	}
	return usageError(cmd, fmt.Sprintf("--output: %q is not text or json", format))
}
