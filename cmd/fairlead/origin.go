package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// configOrigin is where the configuration comes from, at the start and whenever the file changes: what
// the environment and the flags said at the start wins each time.
type configOrigin struct {
	path    string // of the file; "": there is none
	flags   *pflag.FlagSet
	environ []string
}

// originOfConfig returns what the command line names.
func originOfConfig(cmd *cobra.Command) (configOrigin, error) {
	path, err := cmd.Flags().GetString("config")
	return configOrigin{path: path, flags: cmd.Flags(), environ: os.Environ()}, err
}

// load is loadConfig from this origin.
func (o configOrigin) load() (Config, []string, error) { return loadConfig(o.path, o.flags, o.environ) }

// parse is load with the file already read.
func (o configOrigin) parse(data []byte) (Config, []string, error) {
	return mergeConfig(o.path, data, o.flags, o.environ)
}

// configOf loads the configuration that the command line names, and prints its warnings.
func configOf(cmd *cobra.Command) (Config, error) {
	from, err := originOfConfig(cmd)
	if err != nil {
		return Config{}, err
	}
	cfg, warnings, err := from.load()
	printWarnings(cmd, warnings)
	return cfg, err
}
