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
	status := make(chan int, 1)
	go readControl(g.control, func() { self.Say("up after %s", time.Since(begin).Round(time.Second)) }, status)

	code, err := g.await(ctx, status, streams)
	if err != nil && !program.IsSignal(err) {
		g.stop()
		err = fmt.Errorf("%w\n%s", err, g.diagnosis())
	}
	return code, err
}

// await waits for the command's status and the ends of both streams, whichever comes first.
func (g *guest) await(ctx context.Context, status <-chan int, streams <-chan error) (int, error) {
	var code int
	var late <-chan time.Time
	for open := 3; open > 0; {
		select {
		case c, ok := <-status:
			if !ok {
				return 0, g.died(ctx)
			}
			code, status, late = c, nil, time.After(flushLimit)
			open--
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

// readControl reads what stage2.sh reports: "up", then "exit" with the command's status. It closes
// status when the guest is gone.
func readControl(control io.Reader, up func(), status chan<- int) {
	defer close(status)
	for s := bufio.NewScanner(control); s.Scan(); {
		word, arg, _ := strings.Cut(s.Text(), " ")
		switch word {
		case "up":
			up()
		case "exit":
			code, err := strconv.Atoi(arg)
			if err != nil {
				code = program.StatusFailed
			}
			status <- code
		}
	}
}
