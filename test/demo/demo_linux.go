package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/test/lab"
)

const (
	demoLimit = 5 * time.Minute  // the whole demo, without the time that -keep waits
	waitLimit = 90 * time.Second // whatever is waited for; an emulated processor needs the room
	pollTime  = 10 * time.Millisecond
	pollShare = 4 // looking takes at most a fifth of the time: it must not slow down what is waited for
)

// demo is what the steps share.
type demo struct {
	*report
	fairlead string // the program
	dir      string // the daemon's working directory: fairlead.yaml and manifests

	lab     *lab.Lab
	node    *lab.Node
	pods    map[string]*lab.Pod // endpoints, by address
	client  *lab.Pod
	outside *lab.Client

	clean  lab.Dump // the node before the daemon
	rules  int      // iptables rules with one Service
	daemon *daemon
}

type step struct {
	title string
	play  func(context.Context) error
}

func (d *demo) showing() []step {
	return []step{
		{"A small cluster: one node, four pods, and a client outside", d.layOut},
		{"Fairlead starts: one Service with one endpoint", d.startDaemon},
		{"Two more endpoints: the requests are shared out", d.shareOut},
		{"An endpoint goes away while somebody is connected to it", d.drainEndpoint},
		{"A thousand Services more", d.addMany},
	}
}

func (d *demo) leaving() []step {
	return []step{
		{"The Service goes away, then Fairlead", d.removeService},
		{"Second act: in kube-proxy's place, while a client talks", d.takeOver},
	}
}

// play lays out the demo, plays its steps and removes everything. interruptible gives Ctrl-C its usual meaning back.
func play(ctx context.Context, interruptible func(), o options, r *report) (err error) {
	if err := able(); err != nil {
		return err
	}
	d := &demo{report: r, fairlead: o.fairlead, pods: make(map[string]*lab.Pod)}
	r.steps = len(d.showing()) + len(d.leaving())
	defer func() { err = errors.Join(err, d.close(err != nil)) }()
	fmt.Fprintf(r.out, "Fairlead, shown on one node: real packets through a real kernel (Linux %s).\n", kernelRelease())
	if err := d.steps(ctx, d.showing()); err != nil {
		return err
	}
	if o.keep {
		d.lookAround()
		<-ctx.Done()
		interruptible()
		ctx = context.Background()
	}
	return d.steps(ctx, d.leaving())
}

func (d *demo) steps(ctx context.Context, steps []step) error {
	ctx, cancel := context.WithTimeout(ctx, demoLimit)
	defer cancel()
	for _, s := range steps {
		d.title(s.title)
		if err := s.play(ctx); err != nil {
			return err
		}
	}
	return nil
}

// able says in one sentence what is missing here, if anything.
func able() error {
	if err := errors.Join(lab.Supported(), lab.HasIPVS()); err != nil {
		return fmt.Errorf("%w (test/vm boots a kernel that has what is needed)", err)
	}
	for _, program := range []string{"ipvsadm", "ipset", "iptables-save", "ip6tables-save", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("the demo needs %s: %w", program, err)
		}
	}
	return nil
}

// close removes the lab and the daemon's directory, after it has shown the daemon's log if something went wrong.
func (d *demo) close(stopped bool) error {
	if d.daemon != nil && (stopped || len(d.failed) > 0) {
		fmt.Fprintf(d.out, "\nThe end of the daemon's log:\n%s\n", d.daemon.logTail())
	}
	var errs []error
	if d.lab != nil {
		errs = append(errs, d.lab.Close())
	}
	if d.dir != "" {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}

// wait polls until done says so, and returns how long that took. It ends early when the daemon does.
func (d *demo) wait(ctx context.Context, what string, done func() (bool, error)) (time.Duration, error) {
	started := time.Now()
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	for {
		looked := time.Now()
		ok, err := done()
		if err != nil {
			return 0, fmt.Errorf("wait until %s: %w", what, err)
		}
		if ok {
			return time.Since(started), nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("waited %s until %s: %w", seconds(time.Since(started)), what, ctx.Err())
		case <-d.daemon.done:
			return 0, fmt.Errorf("wait until %s: the daemon ended: %w", what, d.daemon.err)
		case <-time.After(max(pollTime, pollShare*time.Since(looked))):
		}
	}
}

func kernelRelease() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "of unknown version"
	}
	return unix.ByteSliceToString(name.Release[:])
}

// terminal tells whether colors make sense.
func terminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
