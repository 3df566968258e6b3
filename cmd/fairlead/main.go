// Command fairlead is the IPVS service proxy for Kubernetes nodes.
//
// This package holds the command line and the configuration, and no proxy
// logic: it turns flags, environment and a file into one checked Config and
// hands that to package controller.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// A second signal ends the process at once: an operator who presses
	// Ctrl-C twice means it.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run executes one command line and returns the exit status of the process:
// 0, 1 for any error, or what an exitStatus says. It is main without the process around it, for tests.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if !errors.Is(err, errReported) {
		printLines(stderr, "fairlead: ", err.Error())
	}
	if answer := (exitStatus{}); errors.As(err, &answer) {
		return answer.status
	}
	return 1
}

// errReported ends a command with exit status 1 when it has already told the
// user why, as `config validate -o json` does on standard output.
var errReported = errors.New("already reported")

// printLines writes each line of text behind the prefix, as a terminal may have it. Joined errors thus
// stay one per line, and each still says who speaks when a log collector
// tears the lines apart.
func printLines(w io.Writer, prefix, text string) {
	for line := range strings.Lines(text) {
		say(w, "%s%s\n", prefix, strings.TrimRight(line, "\n"))
	}
}
