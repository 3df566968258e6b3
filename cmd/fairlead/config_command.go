package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func newConfigCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the default configuration, check one, or convert kube-proxy's",
		Long: `Show the default configuration, check a configuration file before a node depends
on it, or make one of kube-proxy's.`,
		Example: `  fairlead config defaults > config.yaml
  fairlead config validate config.yaml
  fairlead config convert /var/lib/kube-proxy/config.conf > config.yaml`,
		Args: noSuchCommand,
		RunE: showHelp,
	}
	cmd.AddCommand(newConfigDefaultsCommand(), newConfigValidateCommand(), newConfigConvertCommand(), newConfigDocsCommand())
	return cmd
}

func newConfigDefaultsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "defaults",
		Short: "Print every key with its default and what it means",
		Long: `Print a configuration file with every key, its default value, and a comment with
its meaning and what it accepts. The output is a good start for a file of your
own: keys that you do not care about may be left out.`,
		Example: `  fairlead config defaults > config.yaml`,
		Args:    wantArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), defaultsYAML())
			return err
		},
	}
}

func newConfigConvertCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "convert FILE",
		Short: "Print the configuration that equals a file of kube-proxy's",
		Long: `Print the configuration file of Fairlead that means the same as a configuration
file of kube-proxy's (kind KubeProxyConfiguration): only what differs from the
defaults, and as comments what was dropped and why. 'fairlead run --config' takes
kube-proxy's file as it is, too, and then does the same.`,
		Example: `  fairlead config convert /var/lib/kube-proxy/config.conf > config.yaml`,
		Args:    wantArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "" {
				return usageError(cmd, `FILE is ""`)
			}
			data, err := readConfigFile(args[0])
			if err != nil {
				return err
			}
			text, err := convertKubeProxy(args[0], data)
			if err == nil {
				_, err = fmt.Fprint(cmd.OutOrStdout(), text)
			}
			return err
		},
	}
}

func newConfigValidateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate FILE",
		Short: "Check a configuration file",
		Long: `Check a configuration file, ours or kube-proxy's, as 'fairlead run --config FILE' would at start, and
report everything that is wrong with it at once. FAIRLEAD_ variables in the
environment take part, as they do at start. The exit status is 1 if anything
is wrong; warnings do not count.`,
		Example: `  fairlead config validate config.yaml
  fairlead config validate config.yaml -o json`,
		Args: wantArgs("FILE"),
	}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkOutput(cmd, *output); err != nil {
			return err
		}
		if args[0] == "" {
			// loadConfig would take it for "no file", and find no fault.
			return usageError(cmd, `FILE is ""`)
		}
		_, warnings, err := loadConfig(args[0], nil, os.Environ())
		if *output == "json" {
			return writeVerdict(cmd, args[0], warnings, err)
		}
		printWarnings(cmd, warnings)
		if err == nil {
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: ok\n", args[0])
		}
		return err
	}
	return cmd
}

// printWarnings writes warnings about the configuration for people.
func printWarnings(cmd *cobra.Command, warnings []string) {
	for _, warning := range warnings {
		printLines(cmd.ErrOrStderr(), "fairlead: warning: ", warning)
	}
}

// verdict is what `config validate -o json` prints.
type verdict struct {
	File     string   `json:"file"`
	Valid    bool     `json:"valid"`
	Errors   []string `json:"errors"`
	Warnings []string `json:"warnings"`
}

// writeVerdict prints the verdict about a file, and returns errReported if the
// file is not valid.
func writeVerdict(cmd *cobra.Command, file string, warnings []string, err error) error {
	v := verdict{File: file, Valid: err == nil, Errors: []string{}, Warnings: append([]string{}, warnings...)}
	if err != nil {
		v.Errors = strings.Split(err.Error(), "\n")
	}
	if err := writeJSON(cmd.OutOrStdout(), v); err != nil {
		return err
	}
	if !v.Valid {
		return errReported
	}
	return nil
}
