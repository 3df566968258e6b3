package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// indent is the left margin of everything below a step's title.
const indent = "     "

// report prints the demo and keeps count of its checks. One goroutine uses it.
type report struct {
	out   io.Writer
	color bool

	steps  int // in all
	step   int // that is under way
	checks int
	failed []string
}

// title begins the next step.
func (r *report) title(text string) {
	r.step++
	fmt.Fprintf(r.out, "\n%s\n\n", r.paint("1", fmt.Sprintf("%d/%d  %s", r.step, r.steps, text)))
}

// say prints lines below the step's title.
func (r *report) say(format string, args ...any) {
	for line := range strings.Lines(fmt.Sprintf(format, args...) + "\n") {
		fmt.Fprint(r.out, strings.TrimRight(indent+line, " \n"), "\n")
	}
}

// check prints a statement that was just checked: it holds if err is nil. The error says what was seen instead.
func (r *report) check(err error, format string, args ...any) {
	statement := fmt.Sprintf(format, args...)
	r.checks++
	if err == nil {
		r.say("%s  %s", r.paint("32", "ok"), statement)
		return
	}
	failure := fmt.Sprintf("%s: %v", statement, err)
	r.failed = append(r.failed, fmt.Sprintf("step %d: %s", r.step, failure))
	r.say("%s  %s", r.paint("31", "FAILED"), failure)
}

// fail records that the demo cannot go on.
func (r *report) fail(err error) {
	r.checks++
	where := fmt.Sprintf("step %d: stopped", r.step)
	if r.step == 0 {
		where = "cannot start"
	}
	r.failed = append(r.failed, fmt.Sprintf("%s: %v", where, err))
}

// finish prints the last line, and before it what failed, and returns the exit status.
func (r *report) finish() int {
	if len(r.failed) == 0 {
		fmt.Fprintf(r.out, "\n%s\n", r.paint("32", fmt.Sprintf("demo: all %d checks passed", r.checks)))
		return 0
	}
	fmt.Fprintf(r.out, "\n%s\n", r.paint("31", fmt.Sprintf("demo: %d of %d checks failed:", len(r.failed), r.checks)))
	for _, f := range r.failed {
		fmt.Fprintf(r.out, "  %s\n", f)
	}
	return 1
}

// paint wraps text in an ANSI attribute, on terminals only.
func (r *report) paint(attribute, text string) string {
	if !r.color {
		return text
	}
	return "\x1b[" + attribute + "m" + text + "\x1b[0m"
}

// unless is nil if ok, and otherwise says what was seen.
func unless(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// shortened keeps the first few of many errors.
func shortened(errs []error) error {
	const most = 3
	if len(errs) <= most {
		return errors.Join(errs...)
	}
	return fmt.Errorf("%w\n(and %d more)", errors.Join(errs[:most]...), len(errs)-most)
}
