package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/fairlead-lb/fairlead/test/bench/result"
)

// record keeps samples as they are measured: one JSON object on a line, written at once, so that
// whatever happens later loses nothing. And it tells the user.
type record struct {
	samples io.Writer
	say     func(format string, args ...any)
}

// add keeps a sample.
func (r *record) add(s result.Sample) error {
	r.say("  %s", s)
	line, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("keep a sample: %w", err)
	}
	if _, err := r.samples.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("keep a sample: %w", err)
	}
	return nil
}

// sayTo returns a function that prints a line with the time since the beginning.
func sayTo(out io.Writer) func(string, ...any) {
	begin := time.Now()
	return func(format string, args ...any) {
		fmt.Fprintf(out, "bench %7.1fs: %s\n", time.Since(begin).Seconds(), fmt.Sprintf(format, args...))
	}
}
