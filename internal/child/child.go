// Package child runs other programs, such as iptables-restore and modprobe, each with a limit: one that hangs, in a lock
// that nobody gives back, ends in an error and not in a caller that hangs as well.
package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// Limit is how long a program may run. It is generous: iptables waits half a minute for its lock, and then takes long
	// where somebody else has very many rules. Nothing but the one who asked waits for it.
	Limit = 10 * time.Minute

	// grace is how long, after a program has been killed, something that it started may keep its output open.
	grace = 2 * time.Second
)

// errLimit is why a program was killed that ran too long.
var errLimit = errors.New("it did not end in time")

// Program is one run of a program. It is not safe for concurrent use.
type Program struct {
	cmd               *exec.Cmd
	ctx               context.Context // its own, with the limit
	cancel            context.CancelFunc
	limit             time.Duration
	stdout, complains bytes.Buffer
}

// New returns a program that has not been started. It is killed when ctx ends.
func New(ctx context.Context, path string, args ...string) *Program {
	return limited(ctx, Limit, path, args...)
}

func limited(ctx context.Context, limit time.Duration, path string, args ...string) *Program {
	p := &Program{limit: limit}
	p.ctx, p.cancel = context.WithTimeoutCause(ctx, limit, errLimit)
	p.cmd = exec.CommandContext(p.ctx, path, args...)
	p.cmd.WaitDelay = grace
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.complains
	return p
}

// Input gives the program a text to read.
func (p *Program) Input(text string) *Program {
	p.cmd.Stdin = strings.NewReader(text)
	return p
}

// Start starts the program, in the network namespace of the calling thread. Wait must follow, unless there is an error.
func (p *Program) Start() error {
	err := p.cmd.Start()
	if err != nil {
		p.cancel()
	}
	return err
}

// Wait waits for its end, and returns what it printed. The error names the program and has what it said on standard
// error; it is an [exec.ExitError] where the program itself failed or was killed.
func (p *Program) Wait() (stdout string, err error) {
	defer p.cancel()
	err = p.cmd.Wait()
	if err == nil {
		return p.stdout.String(), nil
	}
	name := filepath.Base(p.cmd.Path)
	switch cause := context.Cause(p.ctx); {
	case errors.Is(cause, errLimit):
		err = fmt.Errorf("%s was killed, for it had not ended within %s: %w", name, p.limit, err)
	case cause != nil:
		err = fmt.Errorf("%s was killed: %w", name, cause)
	default:
		err = fmt.Errorf("%s: %w", name, err)
	}
	if said := bytes.TrimSpace(p.complains.Bytes()); len(said) > 0 {
		err = fmt.Errorf("%w: %s", err, said)
	}
	return p.stdout.String(), err
}

// Run is Start and Wait.
func (p *Program) Run() (stdout string, err error) {
	if err := p.Start(); err != nil {
		return "", err
	}
	return p.Wait()
}
