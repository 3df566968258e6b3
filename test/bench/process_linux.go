package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fairlead-lb/fairlead/test/internal/program"
	"github.com/fairlead-lb/fairlead/test/lab"
)

// process is a running subject.
type process struct {
	name    string
	cmd     *lab.Cmd
	log     string // path
	started time.Time
	ended   chan struct{}
}

// startProcess runs a program in the namespace, with its output in a file. It is killed when the lab is closed. The
// program's file is read before: that it is the first to run must not make a subject slower.
func startProcess(n *lab.Namespace, log, path string, args ...string) (*process, error) {
	if _, err := os.ReadFile(path); err != nil {
		return nil, fmt.Errorf("read the program: %w", err)
	}
	file, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("make a log: %w", err)
	}
	defer file.Close() // the child has its own
	p := &process{name: path, log: log, ended: make(chan struct{})}
	p.cmd = n.Command(context.Background(), path, args...)
	p.cmd.Stdout, p.cmd.Stderr = file, file
	p.started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in ProcessState
		close(p.ended)
	}()
	return p, nil
}

// stop asks the process to end, as systemd does, and kills it if it has not within ten seconds.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill() // fails only if it has ended
		<-p.ended
	}
	return nil
}

// watch returns a context that ends when the process does, with the end of its log as the cause.
func (p *process) watch(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-ctx.Done():
		case <-p.ended:
			cancel(fmt.Errorf("%s ended (%s); the end of its log:\n%s", p.name, p.cmd.ProcessState, p.tail()))
		}
	}()
	return ctx, func() { cancel(nil) }
}

func (p *process) tail() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return program.LastLines(string(data), 15)
}

// cpu is the processor time of the process and of the children that have ended.
func (p *process) cpu() (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read processor time: %w", err)
	}
	// The fields begin behind the name, which is in parentheses and may hold anything.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	const utime, tick = 11, 10 * time.Millisecond // USER_HZ is 100 everywhere
	if len(fields) < utime+4 {
		return 0, fmt.Errorf("read processor time: %q", data)
	}
	var sum time.Duration
	for _, field := range fields[utime : utime+4] { // utime, stime, cutime, cstime
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read processor time: %w", err)
		}
		sum += time.Duration(ticks) * tick
	}
	return sum, nil
}

// memory is the resident memory of the process now and at most so far, in MiB. Children do not count.
func (p *process) memory() (rss, peak float64, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, fmt.Errorf("read memory: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		name, rest, _ := strings.Cut(line, ":")
		var kib float64
		switch name {
		case "VmRSS", "VmHWM":
			if _, err := fmt.Sscan(rest, &kib); err != nil {
				return 0, 0, fmt.Errorf("read memory: %w", err)
			}
		}
		switch name {
		case "VmRSS":
			rss = kib / 1024
		case "VmHWM":
			peak = kib / 1024
		}
	}
	return rss, peak, nil
}

// quiet waits until the process uses less than a twentieth of a core for two windows of time, one after the other.
func (p *process) quiet(ctx context.Context, window time.Duration) error {
	most := window / 20
	last, err := p.cpu()
	for calm := 0; calm < 2; {
		if err != nil {
			return err
		}
		if err := sleep(ctx, window); err != nil {
			return err
		}
		var now time.Duration
		now, err = p.cpu()
		if now-last <= most {
			calm++
		} else {
			calm = 0
		}
		last = now
	}
	return nil
}

// sleep waits, or returns why ctx has ended.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
