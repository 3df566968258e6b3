package program

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// signalError is the cause of a context that a signal canceled.
type signalError struct{ syscall.Signal }

func (e signalError) Error() string { return "stopped by signal: " + e.Signal.String() }

// IsSignal tells whether err is the cause of a context that a signal canceled.
func IsSignal(err error) bool {
	var s signalError
	return errors.As(err, &s)
}

// SignalContext is canceled by the signals that end a program, SIGPIPE among them: a reader that
// went away must not leave a machine or servers behind.
func SignalContext() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	termWithGoRun()
	go func() {
		select {
		case s := <-signals:
			cancel(signalError{s.(syscall.Signal)})
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}
