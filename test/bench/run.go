package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fairlead-lb/fairlead/test/bench/result"
	"github.com/fairlead-lb/fairlead/test/internal/program"
)

const (
	seedVersion = "1" // of the dataset: a new one is not compatible with the data in the cache

	setupFile   = "setup.json"
	samplesFile = "samples.jsonl"

	partLimit = 4 * time.Hour // of one VM; the rows have their own
)

// nearAddresses are those that test/lab gives its first node.
var nearAddresses = []string{"192.168.77.10", "fd00:77::10"}

// runner runs the benchmark on the host.
type runner struct {
	plan
	cache, self string
	out         string // result file
	log         io.Writer
	say         func(string, ...any)
	native      bool
	add         bool // to what is in the result file
	result      result.Result
}

// runCommand measures everything that the plan wants and writes the result file after each part.
func runCommand(ctx context.Context, args []string, out io.Writer) (err error) {
	r := &runner{log: out, say: sayTo(out)}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	addPlan(flags, &r.plan)
	sizes := flags.String("sizes", "100,1000,5000,10000,50000", "`numbers` of Services; the peers are measured up to 10,000")
	flags.StringVar(&r.out, "out", "docs/results/bench-"+time.Now().UTC().Format(time.DateOnly)+".json", "result `file`")
	flags.BoolVar(&r.add, "add", false, "keep what is in the result file, but for what is measured anew")
	flags.BoolVar(&r.native, "native", true, "run the micro-benchmarks on the host, too")
	if err := parse(flags, args); err != nil {
		return err
	}
	if r.sizes, err = numbers(*sizes); err != nil {
		return fmt.Errorf("-sizes: %w", err)
	}
	if err := r.check(); err != nil {
		return err
	}
	if r.cache, err = program.CacheDir(); err != nil {
		return err
	}
	if r.self, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	return r.all(ctx)
}

func (r *runner) all(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(r.out), 0o755); err != nil {
		return fmt.Errorf("make the folder of results: %w", err)
	}
	if r.add {
		var err error
		if r.result, err = result.Read(r.out); err != nil {
			return err
		}
	}
	r.result.Setup.Date, r.result.Setup.Quick = time.Now().UTC(), r.quick
	r.result.Setup.Commit = r.commit(ctx)
	r.result.Replace([]result.Sample{{Row: "machine", Subject: "host", Metric: "calibration", Unit: "s", Value: calibrate().Seconds()}})
	var errs []error
	for _, pt := range r.parts() {
		if err := r.part(ctx, pt); err != nil {
			errs = append(errs, fmt.Errorf("%d Services: %w", pt.services, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	if r.native && !r.quick && ctx.Err() == nil {
		if err := r.microbenchmarks(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	if err := r.result.Write(r.out); err != nil {
		errs = append(errs, err)
	}
	r.say("%d samples in %s", len(r.result.Samples), r.out)
	return errors.Join(errs...)
}

// part measures one part in a VM of its own. What was measured before a failure is kept.
func (r *runner) part(ctx context.Context, pt part) error {
	seed, err := r.ensureSeed(ctx, pt)
	if err != nil {
		return err
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		load = []byte("unknown")
	}
	results, err := os.MkdirTemp(r.cache, "bench-")
	if err != nil {
		return fmt.Errorf("make a folder for samples: %w", err)
	}
	defer os.RemoveAll(results)
	r.say("measuring %d Services; the host's load is %s", pt.services, bytes.TrimSpace(load))
	argv := []string{"-data", seed}
	if r.peers() {
		argv = append(argv, "-peers")
	}
	argv = append(argv, "--", r.bin("vm"), "-timeout", partLimit.String(), "--", r.self, "measure")
	argv = append(argv, append(pt.flags(), r.flags()...)...)
	failed := r.command(ctx, []string{"FAIRLEAD_VM_RESULTS=" + results, "FAIRLEAD_TEST_BIN=" + r.bin("fairlead")}, r.bin("cluster"), argv...)
	if err := r.collect(results); err != nil {
		return errors.Join(failed, err)
	}
	r.result.Setup.Load = append(r.result.Setup.Load, result.Load{
		Services: pt.services, At: time.Now().UTC(), Average: string(bytes.TrimSpace(load)),
	})
	return errors.Join(failed, r.result.Write(r.out))
}

// ensureSeed returns the folder of etcd's data with the cluster of that size, made unless it is there.
func (r *runner) ensureSeed(ctx context.Context, pt part) (string, error) {
	name := fmt.Sprintf("etcd-%s-%d", seedVersion, pt.services)
	if pt.wide > 0 {
		name += fmt.Sprintf("-wide-%d", pt.wide)
	}
	folder := filepath.Join(r.cache, "bench", name)
	_, err := os.Stat(folder)
	if err == nil {
		return folder, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("look for the cluster in the cache: %w", err)
	}
	r.say("writing a cluster of %d Services (once; about 10 seconds for 1,000)", pt.services)
	return folder, r.command(ctx, nil, r.bin("cluster"), append([]string{"-save", folder, "--", r.self, "seed"}, pt.flags()...)...)
}

func (r *runner) bin(name string) string { return filepath.Join(r.cache, "bin", name) }

// command runs a program until it ends, or asks it to end when ctx does: it has to clean up.
func (r *runner) command(ctx context.Context, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = r.log, os.Stderr
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = program.DieWithParent()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", filepath.Base(name), strings.Join(args, " "), err)
	}
	return nil
}

// collect takes over what bench measure left.
func (r *runner) collect(results string) error {
	data, err := os.ReadFile(filepath.Join(results, setupFile))
	if err != nil {
		return fmt.Errorf("collect the samples: %w", err)
	}
	if err := json.Unmarshal(data, &r.result.Setup); err != nil { // over what the host knows, which stays
		return fmt.Errorf("collect the samples: %w", err)
	}
	r.result.Setup.Versions = r.versions() // now they are all built
	file, err := os.Open(filepath.Join(results, samplesFile))
	if err != nil {
		return fmt.Errorf("collect the samples: %w", err)
	}
	defer file.Close()
	var fresh []result.Sample
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var s result.Sample
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return fmt.Errorf("collect the samples: %w", err)
		}
		fresh = append(fresh, s)
	}
	r.result.Replace(fresh)
	return lines.Err()
}

// commit is that which the measured daemon was built from, as it says itself. Nothing if it does not.
func (r *runner) commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, r.bin("fairlead"), "version").Output()
	fields := strings.Fields(string(out))
	if err != nil || len(fields) < 2 {
		return ""
	}
	return fields[1]
}

// versions are those that the programs' names in the cache have.
func (r *runner) versions() map[string]string {
	versions := make(map[string]string)
	for _, name := range []string{"kube-proxy", "kube-apiserver", "etcd"} {
		matches, err := filepath.Glob(r.bin(name + "-v*"))
		if err == nil && len(matches) > 0 {
			versions[name] = strings.TrimPrefix(filepath.Base(matches[len(matches)-1]), name+"-")
		}
	}
	return versions
}
