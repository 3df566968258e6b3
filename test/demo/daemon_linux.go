package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fairlead-lb/fairlead/test/lab"
)

const (
	healthz     = "http://127.0.0.1:10256/healthz" // as fairlead.yaml has it
	daemonFiles = "manifests"                      // the same
)

// daemon is the running `fairlead run`.
type daemon struct {
	cmd  *lab.Cmd
	log  string        // path
	done chan struct{} // closed when it has ended
	err  error         // how; read it after done
}

// start runs the daemon in the node's namespace. Its standard error goes to a file. It is killed when the lab is closed.
func start(node *lab.Namespace, program, dir string) (*daemon, error) {
	d := &daemon{log: filepath.Join(dir, "log"), done: make(chan struct{})}
	log, err := os.Create(d.log)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own
	d.cmd = node.Command(context.Background(), program, "run", "--config", "fairlead.yaml")
	d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = dir, log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the demo
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the daemon: %w", err)
	}
	go func() {
		defer close(d.done)
		if d.err = d.cmd.Wait(); d.err == nil {
			d.err = errors.New("exit status 0")
		}
	}()
	return d, nil
}

// stop sends SIGTERM and waits for an orderly end.
func (d *daemon) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-d.done:
		return unless(d.cmd.ProcessState.Success(), "%v", d.err)
	case <-ctx.Done():
		return fmt.Errorf("the daemon does not end: %w", ctx.Err())
	}
}

// logTail is the end of the log.
func (d *daemon) logTail() string {
	const most = 30
	data, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	if len(data) == 0 {
		return "(empty)"
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

// prepare makes the daemon's directory with its configuration and the first manifests.
func (d *demo) prepare() (err error) {
	if d.dir, err = os.MkdirTemp("", "fairlead-demo-"); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(d.dir, daemonFiles), 0o755); err != nil {
		return err
	}
	for _, name := range []string{"fairlead.yaml", "manifests/service.yaml", "manifests/endpoints.yaml"} {
		data, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(d.dir, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// write puts a manifest in force, whole: the daemon does not read names that begin with a dot.
func (d *demo) write(name, text string) error {
	dir := filepath.Join(d.dir, daemonFiles)
	hidden := filepath.Join(dir, "."+name)
	if err := os.WriteFile(hidden, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(hidden, filepath.Join(dir, name))
}

// change makes a file of changes the Service's endpoints.
func (d *demo) change(name string) error {
	data, err := files.ReadFile("changes/" + name)
	if err != nil {
		return err
	}
	return d.write("endpoints.yaml", string(data))
}

// healthy asks the daemon's /healthz.
func (d *demo) healthy(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	response, err := fetch(ctx, browser(d.node.Namespace), healthz)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err == nil && response.StatusCode == 200
}
