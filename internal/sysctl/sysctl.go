// Package sysctl reads and writes kernel parameters of the calling thread's network namespace.
package sysctl

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Read returns the value of a parameter, such as "net/ipv4/vs/conntrack". A parameter that this kernel does not
// have satisfies errors.Is with fs.ErrNotExist.
func Read(name string) (string, error) {
	data, err := os.ReadFile(filepath.Join("/proc/sys", name))
	if err != nil {
		return "", fmt.Errorf("read sysctl %s: %w", name, err)
	}
	return strings.TrimSpace(string(data)), nil
}

// Writable reports whether this process could set a parameter: a container may see it read-only, or a network
// namespace may not own it.
func Writable(name string) bool {
	file, err := os.OpenFile(filepath.Join("/proc/sys", name), os.O_WRONLY, 0) // which changes nothing
	if err != nil {
		return false
	}
	return file.Close() == nil
}

// Ensure gives a parameter, such as "net/ipv4/vs/conntrack", a value unless it has it already. It
// reports the value found before and whether it was changed. A parameter that this kernel does not
// have satisfies errors.Is with fs.ErrNotExist.
func Ensure(name, value string) (before string, changed bool, err error) {
	return set(name, value, func(before string) bool { return before == value })
}

// Raise is Ensure for a number that must not be lowered.
func Raise(name string, least int64) (before string, changed bool, err error) {
	return set(name, strconv.FormatInt(least, 10), func(before string) bool {
		has, err := strconv.ParseInt(before, 10, 64)
		return err == nil && has >= least
	})
}

// set writes the value unless the one before is good enough.
func set(name, value string, good func(before string) bool) (before string, changed bool, err error) {
	if before, err = Read(name); err != nil || good(before) {
		return before, false, err
	}
	if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644); err != nil {
		return before, false, fmt.Errorf("set sysctl %s from %s to %s: %w", name, before, value, err)
	}
	return before, true, nil
}
