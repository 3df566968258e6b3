package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/fairlead-lb/fairlead/test/internal/program"
)

// self stands before what we say of failures.
const self = program.Name("bench")

func main() {
	// program.DieWithParent ties children to the thread that started them, so it has to stay.
	runtime.LockOSThread()
	ctx, stop := signalContext(os.Args[1:])
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		self.Say("%v", err)
		os.Exit(1)
	}
}

// signalContext is canceled by the signals that end a program. While measuring, SIGPIPE is none of them: who listens for
// it hears of every connection that a peer has closed, and we relay those of subjects that are stopped.
func signalContext(args []string) (context.Context, func()) {
	if len(args) > 0 && args[0] == "measure" {
		return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	}
	return program.SignalContext()
}

// run carries out a subcommand; without one it runs the whole benchmark.
func run(ctx context.Context, args []string, out io.Writer) error {
	name := "run"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	command, ok := map[string]func(context.Context, []string, io.Writer) error{
		"run": runCommand, "seed": seedCommand, "measure": measureCommand, "docs": docsCommand,
	}[name]
	if !ok {
		return fmt.Errorf("no command %q; there are run, seed, measure and docs", name)
	}
	return command(ctx, args, out)
}

// addPlan adds the flags that say what is measured.
func addPlan(flags *flag.FlagSet, p *plan) {
	list := func(into *[]string) func(string) error {
		return func(text string) error {
			*into = strings.Split(text, ",")
			return nil
		}
	}
	flags.Func("subjects", "only these `names`, or beginnings of names", list(&p.subjects))
	flags.Func("rows", "only these `names`: "+strings.Join(rowNames, ", "), list(&p.rows))
	flags.BoolVar(&p.quick, "quick", false, "little of everything, without the peers: to see that it works")
}

func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return nil
}

// numbers parses "100,1000".
func numbers(text string) (list []int, err error) {
	for _, word := range strings.Split(text, ",") {
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, fmt.Errorf("%q is not a number", word)
		}
		list = append(list, n)
	}
	return list, nil
}

// seedCommand fills the API server of test/cluster.
func seedCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("bench seed", flag.ContinueOnError)
	var pt part
	addPart(flags, &pt)
	if err := parse(flags, args); err != nil {
		return err
	}
	c, err := newCluster(pt.services)
	if err != nil {
		return err
	}
	return c.seed(ctx, pt.wide, sayTo(out))
}

func addPart(flags *flag.FlagSet, pt *part) {
	flags.IntVar(&pt.services, "services", 0, "so many Services")
	flags.IntVar(&pt.wide, "wide", 0, "one more Service, with so many endpoints")
}

// flags returns the part as addPart reads it.
func (pt part) flags() []string {
	return []string{"-services", strconv.Itoa(pt.services), "-wide", strconv.Itoa(pt.wide)}
}

// flags returns the plan as addPlan reads it.
func (p plan) flags() (list []string) {
	if len(p.subjects) > 0 {
		list = append(list, "-subjects", strings.Join(p.subjects, ","))
	}
	if len(p.rows) > 0 {
		list = append(list, "-rows", strings.Join(p.rows, ","))
	}
	if p.quick {
		list = append(list, "-quick")
	}
	return list
}
