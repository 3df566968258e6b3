package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
)

// reloader takes over what changes in the configuration file while the daemon runs. One goroutine uses it.
//
// A file is taken as a whole or not at all. Of one that is good, the keys that need a restart keep the
// value that they have, and what this node does not let happen is told and tried again with the next change of the file.
type reloader struct {
	from    configOrigin
	seen    string   // what was read last, or why nothing could be
	current Config   // in force, but for again
	again   []string // keys whose change has failed
	check   func(current, next Config) error
	apply   func(next Config, changed []string) (failed []string, err error)
	told    []teller
	log     *slog.Logger
}

// outcome is how the reading of a changed file went: well, where there are no problems.
type outcome struct {
	refused  bool // as a whole; otherwise the file is in force, but for the problems
	problems []error
}

// text says what is in force.
func (o outcome) text() string {
	if o.refused {
		return "the configuration file is refused; the last good one stays in force"
	}
	return "the configuration file is in force, but a part of it is not: there the node stays as it was"
}

// teller is told how each reading of a changed file went.
type teller func(outcome)

// look reads the file, and takes it over if it is another one than before.
func (r *reloader) look() {
	data, err := readConfigFile(r.from.path)
	if err == nil && len(bytes.TrimSpace(data)) == 0 {
		// All defaults, read literally. It is what a file looks like while it is being written.
		err = fmt.Errorf("%s: the file is empty", r.from.path)
	}
	seen := string(data)
	if err != nil {
		seen = err.Error()
	}
	if seen == r.seen {
		return
	}
	r.seen = seen
	var failed error // of what the file asks for
	if err == nil {
		failed, err = r.takeOver(data)
	}
	o := outcome{refused: err != nil, problems: problemsIn(errors.Join(err, failed))}
	for _, problem := range o.problems {
		r.log.Error(o.text(), "key", keyOf(problem), "err", problem)
	}
	for _, tell := range r.told {
		tell(o)
	}
}

// takeOver makes the file's content the configuration in force. It is refused with err, and nothing has changed, or taken
// over but for what failed.
func (r *reloader) takeOver(data []byte) (failed, err error) {
	next, warnings, err := r.from.parse(data)
	if err != nil {
		return nil, err
	}
	waiting := holdBack(&next, r.current)
	if err := r.check(r.current, next); err != nil {
		return nil, err
	}
	for _, warning := range warnings {
		r.log.Warn(warning)
	}
	if len(waiting) > 0 {
		r.log.Warn("these changes of the configuration file wait for a restart", "keys", strings.Join(waiting, " "))
	}
	changed := differences(r.current, next)
	for _, path := range r.again {
		if !slices.Contains(changed, path) {
			changed = append(changed, path)
		}
	}
	r.current, r.again = next, nil
	if len(changed) > 0 {
		r.again, failed = r.apply(next, changed)
	}
	if failed == nil {
		r.log.Info("the configuration file is taken over", "file", r.from.path, "changed", strings.Join(changed, " "))
	}
	return failed, nil
}

// holdBack gives the keys that need a restart the value that they have in current, and returns those that
// had another one.
func holdBack(next *Config, current Config) (waiting []string) {
	for _, k := range keys() {
		was, is := fieldOf(&current, k.path), fieldOf(next, k.path)
		if k.restart && !reflect.DeepEqual(was.Interface(), is.Interface()) {
			is.Set(was)
			waiting = append(waiting, k.path)
		}
	}
	return waiting
}

// differences returns the keys that have different values.
func differences(a, b Config) (paths []string) {
	for _, k := range keys() {
		if !reflect.DeepEqual(fieldOf(&a, k.path).Interface(), fieldOf(&b, k.path).Interface()) {
			paths = append(paths, k.path)
		}
	}
	return paths
}

// fieldOf returns the field that a key fills. As for viper, the key is its name in another spelling of
// upper and lower case.
func fieldOf(c *Config, path string) reflect.Value {
	v := reflect.ValueOf(c).Elem()
	for name := range strings.SplitSeq(path, ".") {
		v = v.FieldByNameFunc(func(field string) bool { return strings.EqualFold(field, name) })
	}
	return v
}

// problemsIn takes joined errors apart.
func problemsIn(err error) (list []error) {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []error{err}
	}
	for _, e := range joined.Unwrap() {
		list = append(list, problemsIn(e)...)
	}
	return list
}

// keyOf returns the key that an error is about, "" if it is about the file.
func keyOf(err error) string {
	var about *keyError
	if errors.As(err, &about) {
		return about.path
	}
	return ""
}
