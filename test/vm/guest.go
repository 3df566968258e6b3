package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/test/internal/program"
)

// flushLimit is how long the rest of the output may take once the command has ended, without the
// reader of our output being blamed on the guest.
const flushLimit = 5 * time.Minute

// silenceLimit is how long the guest may not say that it lives, which it does every five seconds. Why it says
// so: once in some dozens of runs all output ended for 75 minutes, and nobody could tell whether anything ran.
const silenceLimit = 3 * time.Minute

// run boots the machine, passes the command's output on, and returns its exit status.
func (m machine) run(ctx context.Context, stdout, stderr io.Writer) (int, error) {
	begin := time.Now()
	self.Say("booting Linux %s under qemu (%s)", m.kernel.release, m.accel)
	g, err := m.start(ctx)
	if err != nil {
		return 0, err
	}
	defer g.stop()
	streams := make(chan error, 2)
	go func() { streams <- copyUntil(stdout, g.stdout, m.job.end) }()
	go func() { streams <- copyUntil(stderr, g.stderr, m.job.end) }()
	alive := make(chan struct{}, 1)
	status := make(chan int, 1)
	go readControl(g.control, func() { self.Say("up after %s", time.Since(begin).Round(time.Second)) }, alive, status)

	code, err := g.await(ctx, silenceLimit, alive, status, streams)
	if errors.Is(err, program.ErrFrozen) {
		err = fmt.Errorf("%w: %s", err, g.explainFreeze())
	}
	if err != nil && !program.IsSignal(err) {
		g.stop()
		err = fmt.Errorf("%w\n%s", err, g.diagnosis())
	}
	return code, err
}

// await waits for the command's status and the ends of both streams, whichever comes first. Until the status
// is there it gives up when the guest has been silent for so long.
func (g *guest) await(
	ctx context.Context, silence time.Duration, alive <-chan struct{}, status <-chan int, streams <-chan error,
) (int, error) {
	var code int
	var late <-chan time.Time
	frozen := time.NewTimer(silence)
	defer frozen.Stop()
	for open := 3; open > 0; {
		select {
		case c, ok := <-status:
			if !ok {
				return 0, g.died(ctx)
			}
			code, status, late = c, nil, time.After(flushLimit)
			frozen.Stop()
			open--
		case <-alive:
			if status != nil {
				frozen.Reset(silence)
			}
		case <-frozen.C:
			return 0, fmt.Errorf("%w: the guest has said nothing for %s", program.ErrFrozen, silence)
		case err := <-streams:
			if errors.Is(err, errCutOff) {
				return 0, g.died(ctx)
			}
			if err != nil {
				return 0, err
			}
			open--
		case <-late:
			return 0, errors.New("the command ended, but the rest of its output did not arrive")
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
	return code, nil
}

// died is the error for a guest that went away. Its connections end a moment before the process
// does, and they end on a canceled context, too.
func (g *guest) died(ctx context.Context) error {
	<-g.exited
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("the guest ended before the command did: panic, power off, or qemu failed (%s)", g.cmd.ProcessState)
}

// readControl reads what stage2.sh reports: "up", "alive" time and again, then "exit" with the command's
// status. It closes status when the guest is gone.
func readControl(control io.Reader, up func(), alive chan<- struct{}, status chan<- int) {
	defer close(status)
	for s := bufio.NewScanner(control); s.Scan(); {
		word, arg, _ := strings.Cut(s.Text(), " ")
		switch word {
		case "up":
			up()
		case "alive":
			select {
			case alive <- struct{}{}:
			default: // one that waits says the same
			}
		case "exit":
			code, err := strconv.Atoi(arg)
			if err != nil {
				code = program.StatusFailed
			}
			status <- code
		}
	}
}
