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

// Exit statuses of our own, as in test/vm.
const (
	statusFailed = 125
	statusSignal = 128
)

// commandGrace is how long the command may take to end after SIGTERM.
const commandGrace = 10 * time.Second

func main() {
	// dieWithParent ties children to the thread that started them, so it has to stay.
	runtime.LockOSThread()
	os.Exit(run(os.Args[1:]))
}

// options are the command line.
type options struct {
	kubeconfig string
	buildOnly  bool
	peers      bool
	argv       []string
}

func run(args []string) int {
	var o options
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "write the kubeconfig to this `file` (removed at the end)")
	flags.BoolVar(&o.buildOnly, "build-only", false, "only build the programs")
	flags.BoolVar(&o.peers, "peers", false, "build kube-proxy, too")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: cluster [flags] -- COMMAND [ARGS...]")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return statusFailed
	}
	if o.argv = flags.Args(); len(o.argv) == 0 && !o.buildOnly {
		flags.Usage()
		return statusFailed
	}
	ctx, stop := signalContext()
	defer stop()
	status, err := o.run(ctx)
	var caught signalError
	if errors.As(context.Cause(ctx), &caught) {
		say("%v", caught)
		return statusSignal + int(caught.Signal)
	}
	if err != nil {
		say("%v", err)
		return statusFailed
	}
	return status
}

// run builds what is missing, starts the servers and runs the command beside them.
func (o options) run(ctx context.Context) (int, error) {
	cache, err := cacheDir()
	if err != nil {
		return 0, err
	}
	bin, err := ensurePrograms(ctx, cache, o.peers)
	if err != nil || o.buildOnly {
		return 0, err
	}
	runs := filepath.Join(cache, "run")
	if err := os.MkdirAll(runs, 0o755); err != nil {
		return 0, fmt.Errorf("making the folder of runs: %w", err)
	}
	dir, err := os.MkdirTemp(runs, "cluster-")
	if err != nil {
		return 0, fmt.Errorf("making a folder for this run: %w", err)
	}
	defer os.RemoveAll(dir)
	c := &cluster{dir: dir, bin: bin, kubeconfig: filepath.Join(dir, "kubeconfig")}
	if o.kubeconfig != "" {
		if c.kubeconfig, err = filepath.Abs(o.kubeconfig); err != nil {
			return 0, fmt.Errorf("finding the kubeconfig: %w", err)
		}
		defer os.Remove(c.kubeconfig)
	}
	defer c.stop()
	if err := c.start(ctx); err != nil {
		return 0, err
	}
	return c.runCommand(ctx, o.argv)
}

// runCommand runs the command as long as the servers live.
func (c *cluster) runCommand(ctx context.Context, argv []string) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-c.etcd.exited:
			cancel(c.etcd.failure())
		case <-c.apiserver.exited:
			cancel(c.apiserver.failure())
		case <-ctx.Done():
		}
	}()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "FAIRLEAD_TEST_KUBECONFIG="+c.kubeconfig)
	if c.bin.kubeProxy != "" {
		cmd.Env = append(cmd.Env, "FAIRLEAD_TEST_KUBE_PROXY="+c.bin.kubeProxy)
	}
	cmd.SysProcAttr = dieWithParent()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = commandGrace
	err := cmd.Run()
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
			return statusSignal + int(s.Signal()), nil
		}
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 0, fmt.Errorf("running the command: %w", err)
	}
	return 0, nil
}

// cacheDir is the folder for everything that is kept between runs.
func cacheDir() (string, error) {
	dir := os.Getenv("FAIRLEAD_CACHE")
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("finding the cache folder: %w", err)
		}
		dir = filepath.Join(user, "fairlead")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("finding the cache folder: %w", err)
	}
	return dir, nil
}

// signalError is the cause of a context that a signal canceled.
type signalError struct{ syscall.Signal }

func (e signalError) Error() string { return "stopped by signal: " + e.Signal.String() }

// signalContext is canceled by the signals that end a program, SIGPIPE among them: a reader that
// went away must not leave servers behind.
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

// say tells the user what cluster does, apart from the command's own output.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "cluster: "+format+"\n", args...)
}
