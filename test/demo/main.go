package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

//go:embed manifests/*.yaml changes/*.yaml fairlead.yaml kube-proxy.rules
var files embed.FS

// options are what the command line says.
type options struct {
	fairlead string // absolute path of the program
	keep     bool
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit status.
func run(args []string, stdout *os.File, stderr io.Writer) int {
	o, err := parseOptions(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "demo:", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r := &report{out: stdout, color: terminal(stdout) && os.Getenv("NO_COLOR") == ""}
	if err := play(ctx, stop, o, r); err != nil {
		r.fail(err)
	}
	return r.finish()
}

func parseOptions(args []string, stderr io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.fairlead, "fairlead", "", "the fairlead `program` to show")
	flags.BoolVar(&o.keep, "keep", false, "before cleaning up, leave everything running until interrupted")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.fairlead == "" {
		return options{}, errors.New("say which program to show: -fairlead PATH")
	}
	if o.fairlead, err = filepath.Abs(o.fairlead); err != nil {
		return options{}, err
	}
	if _, err := os.Stat(o.fairlead); err != nil {
		return options{}, fmt.Errorf("-fairlead: %w", err)
	}
	return o, nil
}
