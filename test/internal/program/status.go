package program

import (
	"context"
	"errors"
)

// Exit statuses of the programs' own; the numbers are those of sysexits.h, timeout(1) and the shell.
const (
	StatusFrozen  = 75 // EX_TEMPFAIL: nothing is known about the command, another try may tell
	StatusTimeout = 124
	StatusFailed  = 125
	StatusSignal  = 128 // plus the signal's number
)

// ErrTimeLimit says that the command did not end in time.
var ErrTimeLimit = errors.New("time limit reached")

// ErrFrozen says that what the command ran in stood still, whatever the command is like.
var ErrFrozen = errors.New("frozen")

// Status returns the exit status of a program that ran under ctx and ended with err, or without one
// and with the command's status. It says what the error is.
func (n Name) Status(ctx context.Context, status int, err error) int {
	if cause := context.Cause(ctx); IsSignal(cause) {
		err = cause // whatever else failed, failed because of it
	}
	if err == nil {
		return status
	}
	n.Say("%v", err)
	var caught signalError
	switch {
	case errors.As(err, &caught):
		return StatusSignal + int(caught.Signal)
	case errors.Is(err, ErrTimeLimit):
		return StatusTimeout
	case errors.Is(err, ErrFrozen):
		return StatusFrozen
	}
	return StatusFailed
}
