package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/fairlead-lb/fairlead/test/internal/program"
)

// server is a process with a log file.
type server struct {
	name   string
	cmd    *exec.Cmd
	log    string
	exited chan struct{}
}

// startServer starts a server; kill ends it.
func startServer(name, file, log string, args ...string) (*server, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("making the log of %s: %w", name, err)
	}
	defer f.Close()
	s := &server{name: name, cmd: exec.Command(file, args...), log: log, exited: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = f, f
	s.cmd.SysProcAttr = program.DieWithParent()
	// Not our process group's signals: a ^C is for the command first, and for us.
	s.cmd.SysProcAttr.Setpgid = true
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		_ = s.cmd.Wait() // how it ended is in ProcessState
		close(s.exited)
	}()
	return s, nil
}

// endLimit is how long a server may take to end in an orderly way.
const endLimit = 30 * time.Second

// end asks the server to end and waits until it has.
func (s *server) end() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("ending %s: %w", s.name, err)
	}
	select {
	case <-s.exited:
		return nil
	case <-time.After(endLimit):
		return fmt.Errorf("%s does not end within %s", s.name, endLimit)
	}
}

// kill ends the server and waits for its end. A nil server was never started.
func (s *server) kill() {
	if s == nil {
		return
	}
	_ = s.cmd.Process.Kill() // fails only if it has ended
	<-s.exited
}

// failure is the error for a server that ended by itself.
func (s *server) failure() error {
	return fmt.Errorf("%s ended (%s)\n%w", s.name, s.cmd.ProcessState, s.tail())
}

// tail is the end of the server's log, as an error to join.
func (s *server) tail() error {
	data, err := os.ReadFile(s.log)
	if err != nil {
		return fmt.Errorf("reading the log of %s: %w", s.name, err)
	}
	return fmt.Errorf("--- end of %s log:\n%s", s.name, program.LastLines(string(data), 30))
}
