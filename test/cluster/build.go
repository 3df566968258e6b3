package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/test/internal/program"
)

// programs are the paths of the built programs; kubeProxy is empty unless asked for.
type programs struct {
	etcd, kubeAPIServer, kubeProxy string
}

// target is a program to build from a tool module.
type target struct {
	name   string
	tool   string // folder of the tool module under test/tools
	module string // its version in that module's go.mod is the program's version
	pkg    string
	hint   string // how long it takes from an empty build cache, on two cores
}

var (
	etcd          = target{"etcd", "etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3", "about 2 minutes"}
	kubeAPIServer = target{"kube-apiserver", "kubernetes", "k8s.io/kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", "about 10 minutes"}
	kubeProxy     = target{"kube-proxy", "kubernetes", "k8s.io/kubernetes", "k8s.io/kubernetes/cmd/kube-proxy", "under a minute after kube-apiserver"}
)

// ensurePrograms builds what the cache lacks, one process at a time.
func ensurePrograms(ctx context.Context, cache string, peers bool) (programs, error) {
	var p programs
	bin := filepath.Join(cache, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return p, fmt.Errorf("making the folder of programs: %w", err)
	}
	tools, err := toolsDir()
	if err != nil {
		return p, err
	}
	unlock, err := self.Lock(ctx, program.Folder{
		Path: bin, Name: bin, Lock: "the lock of " + bin, Use: "builds into",
	})
	if err != nil {
		return p, err
	}
	defer unlock()
	if p.etcd, err = etcd.ensure(ctx, tools, bin); err != nil {
		return p, err
	}
	if p.kubeAPIServer, err = kubeAPIServer.ensure(ctx, tools, bin); err != nil {
		return p, err
	}
	if peers {
		p.kubeProxy, err = kubeProxy.ensure(ctx, tools, bin)
	}
	return p, err
}

// ensure returns the path of the program in bin, built unless it is there.
func (t target) ensure(ctx context.Context, tools, bin string) (string, error) {
	dir := filepath.Join(tools, t.tool)
	version, err := requiredVersion(filepath.Join(dir, "go.mod"), t.module)
	if err != nil {
		return "", err
	}
	file := filepath.Join(bin, t.name+"-"+version)
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	self.Say("building %s %s (%s, once)", t.name, version, t.hint)
	begin := time.Now()
	done := make(chan struct{})
	defer close(done)
	go tick(done, t.name, begin)
	if err := t.build(ctx, dir, file, version); err != nil {
		return "", fmt.Errorf("building %s %s: %w", t.name, version, err)
	}
	self.Say("built %s in %s", t.name, time.Since(begin).Round(time.Second))
	return file, nil
}

// build compiles into a temporary name, so that a program in the cache is always complete. The
// version has to be told to Kubernetes' programs, which refuse a malformed one at start.
func (t target) build(ctx context.Context, dir, file, version string) error {
	flags := "-s -w"
	if t.tool == "kubernetes" {
		major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
		minor, _, _ := strings.Cut(rest, ".")
		const v = "-X k8s.io/component-base/version."
		flags += fmt.Sprintf(" %sgitVersion=%s %sgitMajor=%s %sgitMinor=%s", v, version, v, major, v, minor)
	}
	tmp := file + ".tmp"
	defer os.Remove(tmp)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", flags, "-o", tmp, t.pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	cmd.SysProcAttr = program.DieWithParent()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", t.pkg, err, program.LastLines(string(out), 20))
	}
	if err := os.Rename(tmp, file); err != nil {
		return fmt.Errorf("putting it in place: %w", err)
	}
	return nil
}

// tick says every 30 seconds that the build goes on, until done is closed.
func tick(done <-chan struct{}, name string, begin time.Time) {
	t := time.NewTicker(30 * time.Second)
	defer t.Stop()
	for {
		select {
		case <-done:
			return
		case <-t.C:
			self.Say("still building %s, %s", name, time.Since(begin).Round(time.Second))
		}
	}
}

// toolsDir finds test/tools of the repository that the working directory is in.
func toolsDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the working directory: %w", err)
	}
	for d := dir; ; d = filepath.Dir(d) {
		tools := filepath.Join(d, "test", "tools")
		if _, err := os.Stat(filepath.Join(tools, kubeAPIServer.tool, "go.mod")); err == nil {
			return tools, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("no test/tools in %s or above", dir)
		}
	}
}

// requiredVersion reads the version of module from a go.mod, the only place it is written down.
func requiredVersion(gomod, module string) (string, error) {
	f, err := os.Open(gomod)
	if err != nil {
		return "", fmt.Errorf("reading the tool's version: %w", err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(s.Text()), "require "))
		if len(words) >= 2 && words[0] == module && strings.HasPrefix(words[1], "v") {
			return words[1], nil
		}
	}
	return "", errors.Join(s.Err(), fmt.Errorf("%s does not require %s", gomod, module))
}
