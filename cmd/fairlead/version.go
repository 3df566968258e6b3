package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
)

// version is set by release builds: -ldflags "-X main.version=v1.2.3".
var version string

// build says which program this is.
type build struct {
	Version   string `json:"version"`
	Commit    string `json:"commit"`
	Modified  bool   `json:"modified"` // built from a tree with uncommitted changes
	GoVersion string `json:"goVersion"`
	Platform  string `json:"platform"`
}

// readBuild returns the build of the running program. What the linker was not
// told comes from the build information that the go command embeds, so a plain
// `go install` still tells its version and commit.
func readBuild() build {
	info, _ := debug.ReadBuildInfo()
	return buildOf(version, info)
}

// buildOf is readBuild on given inputs; info may be nil.
func buildOf(version string, info *debug.BuildInfo) build {
	b := build{
		Version:   version,
		Commit:    "unknown",
		GoVersion: runtime.Version(),
		Platform:  runtime.GOOS + "/" + runtime.GOARCH,
	}
	if info != nil {
		if b.Version == "" {
			b.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	return b
}

// writeText writes b for people.
func (b build) writeText(w io.Writer) error {
	commit := b.Commit
	if b.Modified {
		commit += " (modified)"
	}
	_, err := fmt.Fprintf(w, "fairlead  %s\ncommit    %s\ngo        %s\nplatform  %s\n",
		b.Version, commit, b.GoVersion, b.Platform)
	return err
}

func newVersionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print version, commit, Go version and platform",
		Long: `Print the version of this program, the commit it was built from, the version of
Go that built it and the platform it was built for. Nothing else is read: it
works on any machine.`,
		Example: `  fairlead version
  fairlead version -o json`,
		Args: wantArgs(),
	}
	output := outputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := checkOutput(cmd, *output); err != nil {
			return err
		}
		if *output == "json" {
			return writeJSON(cmd.OutOrStdout(), readBuild())
		}
		return readBuild().writeText(cmd.OutOrStdout())
	}
	return cmd
}

// writeJSON writes v indented, as a person with no jq at hand wants it.
func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// buildInfo is the metric that says which program runs.
func buildInfo() prometheus.Collector {
	b := readBuild()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "fairlead_build_info", Help: "1; the labels say which program this is.",
		ConstLabels: prometheus.Labels{"version": b.Version, "go_version": b.GoVersion},
	})
	info.Set(1)
	return info
}
