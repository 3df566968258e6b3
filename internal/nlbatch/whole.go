package nlbatch

import "errors"

// ErrInterrupted says that the kernel's table changed during a dump (NLM_F_DUMP_INTR). The dump may
// lack what was there all the time.
var ErrInterrupted = errors.New("the kernel's table changed during the dump")

// readings is how often Whole reads before it gives up. A table that changes under each of them
// changes faster than it can be read.
const readings = 5

// Whole calls read until it was not interrupted, a few times at most. It is no retry of a failure:
// on a node where pods come and go, devices and addresses change at any time, and an interrupted
// dump says nothing but that. Each call must begin anew.
func Whole(read func() error) (err error) {
	for range readings {
		if err = read(); !errors.Is(err, ErrInterrupted) {
			return err
		}
	}
	return err
}
