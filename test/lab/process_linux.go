package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// killWait bounds the wait for killed processes to be gone.
const killWait = 5 * time.Second

// Cmd is an [exec.Cmd] that starts inside a namespace. Set its fields as usual; its Process is the program itself, not a
// wrapper, so signals reach it.
type Cmd struct {
	*exec.Cmd

	ns *Namespace
}

// Command prepares a program to run inside the namespace. It sees the machine's file system; see the package comment for
// /sys. A program still running when the namespace is closed is killed.
func (n *Namespace) Command(ctx context.Context, name string, args ...string) *Cmd {
	return &Cmd{Cmd: exec.CommandContext(ctx, name, args...), ns: n}
}

// Start starts the program. A child begins in the namespace of the thread that forks it.
func (c *Cmd) Start() error { return c.ns.Do(c.Cmd.Start) }

// Run starts the program and waits for its end.
func (c *Cmd) Run() error {
	if err := c.Start(); err != nil {
		return err
	}
	return c.Wait()
}

// Output runs the program and returns its standard output. As with [exec.Cmd.Output], an [exec.ExitError] carries the
// standard error where nobody else took it.
func (c *Cmd) Output() ([]byte, error) {
	var stdout, stderr bytes.Buffer
	c.Stdout = &stdout
	capture := c.Stderr == nil
	if capture {
		c.Stderr = &stderr
	}
	err := c.Run()
	var exit *exec.ExitError
	if capture && errors.As(err, &exit) {
		exit.Stderr = stderr.Bytes()
	}
	return stdout.Bytes(), err
}

// CombinedOutput runs the program and returns what it wrote, standard output and standard error as they came.
func (c *Cmd) CombinedOutput() ([]byte, error) {
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.Bytes(), err
}

// stderrOf is what a failed program said, ready to be put behind its error.
func stderrOf(err error) string {
	var exit *exec.ExitError
	if !errors.As(err, &exit) || len(exit.Stderr) == 0 {
		return ""
	}
	return ": " + string(bytes.TrimSpace(exit.Stderr))
}

// killAll kills every process in the namespace, children of children included, and waits until they are gone. Nothing but
// the lab's own programs and visitors by `ip netns exec` can be in there.
func (n *Namespace) killAll() error {
	for deadline := time.Now().Add(killWait); ; time.Sleep(5 * time.Millisecond) {
		pids, err := n.processes()
		if err != nil || len(pids) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("namespace %s: processes %v do not end", n.Name, pids)
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("namespace %s: kill process %d: %w", n.Name, pid, err)
			}
		}
	}
}

// processes lists who is in the namespace, this process excepted.
func (n *Namespace) processes() ([]int, error) {
	var own syscall.Stat_t
	if err := syscall.Fstat(int(n.handle), &own); err != nil {
		return nil, fmt.Errorf("namespace %s: %w", n.Name, err)
	}
	links, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, link := range links {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(link))))
		if err != nil || pid == os.Getpid() {
			continue
		}
		var other syscall.Stat_t
		if syscall.Stat(link, &other) == nil && other.Ino == own.Ino && other.Dev == own.Dev {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
