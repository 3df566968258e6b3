package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/fairlead-lb/fairlead/test/internal/program"
)

// self stands before what we say.
const self = program.Name("vm")

// prepareLimit bounds fetching and probing, so that a stuck mirror does not hang a test run.
const prepareLimit = 20 * time.Minute

func main() {
	// program.DieWithParent ties children to the thread that started them, so it has to stay.
	runtime.LockOSThread()
	os.Exit(run(os.Args[1:]))
}

// options are the command line.
type options struct {
	timeout time.Duration
	forceVM bool
	argv    []string
}

func run(args []string) int {
	var o options
	flags := flag.NewFlagSet("vm", flag.ContinueOnError)
	flags.DurationVar(&o.timeout, "timeout", time.Hour, "time limit of the command, boot included")
	flags.BoolVar(&o.forceVM, "force-vm", false, "boot even where the host's kernel has IPVS")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: vm [flags] -- COMMAND [ARGS...]")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return program.StatusFailed
	}
	if o.argv = flags.Args(); len(o.argv) == 0 {
		flags.Usage()
		return program.StatusFailed
	}
	ctx, stop := program.SignalContext()
	defer stop()
	status, err := o.run(ctx)
	return self.Status(ctx, status, err)
}

// limit returns a context that ends with the command's time limit.
func (o options) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("%w: %s", program.ErrTimeLimit, o.timeout))
}

// run decides where the command runs, and runs it.
func (o options) run(ctx context.Context) (int, error) {
	if !o.forceVM && os.Geteuid() == 0 && hostHasIPVS(ctx) {
		self.Say("the host's own kernel has IPVS: running here")
		ctx, cancel := o.limit(ctx)
		defer cancel()
		return program.Run(ctx, o.argv, nil)
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return 0, fmt.Errorf("this needs Linux on amd64, not %s on %s", runtime.GOOS, runtime.GOARCH)
	}
	m, err := prepare(ctx)
	if err != nil {
		return 0, fmt.Errorf("preparing a virtual machine: %w", err)
	}
	if m.job, err = newJob(o.argv, m.kernel); err != nil {
		return 0, err
	}
	if m.scratch, err = os.MkdirTemp("", "fairlead-vm-"); err != nil {
		return 0, fmt.Errorf("making a folder for this run: %w", err)
	}
	defer os.RemoveAll(m.scratch)
	if m.results = os.Getenv("FAIRLEAD_VM_RESULTS"); m.results == "" {
		m.results = filepath.Join(m.scratch, "results")
	}
	if m.results, err = filepath.Abs(m.results); err != nil {
		return 0, fmt.Errorf("finding the results folder: %w", err)
	}
	if err := os.MkdirAll(m.results, 0o777); err != nil {
		return 0, fmt.Errorf("making the results folder: %w", err)
	}
	ctx, cancel := o.limit(ctx)
	defer cancel()
	return m.run(ctx, os.Stdout, os.Stderr)
}

// prepare fills the cache as far as it is not, one process at a time.
func prepare(ctx context.Context) (m machine, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, prepareLimit, errors.New("preparing took too long"))
	defer cancel()
	dir, err := cacheDir()
	if err != nil {
		return m, err
	}
	unlock, err := self.Lock(ctx, program.Folder{
		Path: dir, Name: "the cache", Lock: "the cache's lock", Use: "prepares",
	})
	if err != nil {
		return m, err
	}
	defer unlock()
	if m.tools, err = ensureTools(ctx); err != nil {
		return m, err
	}
	if m.kernel, err = ensureKernel(ctx, dir, m.tools.depmod); err != nil {
		return m, err
	}
	if m.initrd, err = buildInitramfs(ctx, dir, m.kernel, m.tools.busybox); err != nil {
		return m, err
	}
	m.accel, err = chooseAccel(ctx, dir, m.tools, m.kernel)
	return m, err
}

// cacheDir is where the kernel and what is made of it live.
func cacheDir() (string, error) {
	base, err := program.CacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, "vm")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the cache folder: %w", err)
	}
	return dir, nil
}
