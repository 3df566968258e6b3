// Package sysctl reads and writes kernel parameters of the calling thread's network namespace.
package sysctl

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Ensure gives a parameter, such as "net/ipv4/vs/conntrack", a value unless it has it already. It
// reports the value found before and whether it was changed. A parameter that this kernel does not
// have satisfies errors.Is with fs.ErrNotExist.
func Ensure(name, value string) (before string, changed bool, err error) {
	path := filepath.Join("/proc/sys", name)
	data, err := os.ReadFile(path)
	if err != nil {
		return "", false, fmt.Errorf("read sysctl %s: %w", name, err)
	}
	before = strings.TrimSpace(string(data))
	if before == value {
		return before, false, nil
	}
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
		return before, false, fmt.Errorf("set sysctl %s from %s to %s: %w", name, before, value, err)
	}
	return before, true, nil
}
