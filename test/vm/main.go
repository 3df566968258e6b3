package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// Exit statuses of our own; the numbers are those of timeout(1) and the shell.
const (
	statusTimeout = 124
	statusFailed  = 125
	statusSignal  = 128
)

// prepareLimit bounds fetching and probing, so that a stuck mirror does not hang a test run.
const prepareLimit = 20 * time.Minute

func main() {
	// dieWithParent ties children to the thread that started them, so it has to stay.
	runtime.LockOSThread()
	os.Exit(run(os.Args[1:]))
}

// errTimeLimit says that the command did not end in time.
var errTimeLimit = errors.New("time limit reached")

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
		return statusFailed
	}
	if o.argv = flags.Args(); len(o.argv) == 0 {
		flags.Usage()
		return statusFailed
	}
	ctx, stop := signalContext()
	defer stop()
	status, err := o.run(ctx)
	if isSignal(context.Cause(ctx)) {
		err = context.Cause(ctx) // whatever else failed, failed because of it
	}
	if err == nil {
		return status
	}
	say("%v", err)
	var caught signalError
	switch {
	case errors.As(err, &caught):
		return statusSignal + int(caught.Signal)
	case errors.Is(err, errTimeLimit):
		return statusTimeout
	}
	return statusFailed
}

// limit returns a context that ends with the command's time limit.
func (o options) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("%w: %s", errTimeLimit, o.timeout))
}

// run decides where the command runs, and runs it.
func (o options) run(ctx context.Context) (int, error) {
	if !o.forceVM && os.Geteuid() == 0 && hostHasIPVS(ctx) {
		say("the host's own kernel has IPVS: running here")
		return runOnHost(ctx, o)
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
	unlock, err := lockDir(ctx, dir)
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
	base := os.Getenv("FAIRLEAD_CACHE")
	if base == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("finding the cache folder: %w", err)
		}
		base = filepath.Join(user, "fairlead")
	}
	base, err := filepath.Abs(base)
	if err != nil {
		return "", fmt.Errorf("finding the cache folder: %w", err)
	}
	dir := filepath.Join(base, "vm")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the cache folder: %w", err)
	}
	return dir, nil
}

// runOnHost runs the command without any machine in between.
func runOnHost(ctx context.Context, o options) (int, error) {
	ctx, cancel := o.limit(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, o.argv[0], o.argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = dieWithParent()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case errors.As(err, &exit):
		if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
			return statusSignal + int(s.Signal()), nil
		}
		return exit.ExitCode(), nil
	case err != nil:
		return 0, fmt.Errorf("running the command: %w", err)
	}
	return 0, nil
}

// signalError is the cause of a context that a signal canceled.
type signalError struct{ syscall.Signal }

func (e signalError) Error() string { return "stopped by signal: " + e.Signal.String() }

func isSignal(err error) bool {
	var s signalError
	return errors.As(err, &s)
}

// signalContext is canceled by the signals that end a program, SIGPIPE among them: a reader that
// went away must not leave a machine behind.
func signalContext() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	termWithGoRun()
	go func() {
		select {
		case s := <-signals:
			cancel(signalError{s.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// say tells the user what vm does, apart from the command's own output.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "vm: "+format+"\n", args...)
}
