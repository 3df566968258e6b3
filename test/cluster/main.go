package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/fairlead-lb/fairlead/test/internal/program"
)

// self stands before what we say.
const self = program.Name("cluster")

func main() {
	// program.DieWithParent ties children to the thread that started them, so it has to stay.
	runtime.LockOSThread()
	os.Exit(run(os.Args[1:]))
}

// options are the command line.
type options struct {
	kubeconfig string
	buildOnly  bool
	peers      bool
	data, save string // folders of etcd's data: what to begin with, where to keep it
	argv       []string
}

func run(args []string) int {
	var o options
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "write the kubeconfig to this `file` (removed at the end)")
	flags.BoolVar(&o.buildOnly, "build-only", false, "only build the programs")
	flags.BoolVar(&o.peers, "peers", false, "build kube-proxy, too")
	flags.StringVar(&o.data, "data", "", "begin with a copy of etcd's data in this `folder`")
	flags.StringVar(&o.save, "save", "", "when the command succeeds, keep etcd's data in this new `folder`")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: cluster [flags] -- COMMAND [ARGS...]")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return program.StatusFailed
	}
	if o.argv = flags.Args(); len(o.argv) == 0 && !o.buildOnly {
		flags.Usage()
		return program.StatusFailed
	}
	ctx, stop := program.SignalContext()
	defer stop()
	status, err := o.run(ctx)
	return self.Status(ctx, status, err)
}

// run builds what is missing, starts the servers and runs the command beside them.
func (o options) run(ctx context.Context) (int, error) {
	cache, err := program.CacheDir()
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
	if o.data != "" {
		if err := os.CopyFS(c.path("etcd"), os.DirFS(o.data)); err != nil {
			return 0, fmt.Errorf("copying etcd's data: %w", err)
		}
	}
	defer c.stop()
	if err := c.start(ctx); err != nil {
		return 0, err
	}
	status, err := c.runCommand(ctx, o.argv)
	if err == nil && status == 0 && o.save != "" {
		err = c.save(o.save)
	}
	return status, err
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
	env := append(os.Environ(), "FAIRLEAD_TEST_KUBECONFIG="+c.kubeconfig, "FAIRLEAD_TEST_ETCD="+c.etcdURL)
	if c.bin.kubeProxy != "" {
		env = append(env, "FAIRLEAD_TEST_KUBE_PROXY="+c.bin.kubeProxy)
	}
	return program.Run(ctx, argv, env)
}
