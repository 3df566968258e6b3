package kerneltest

import (
	"slices"
	"strings"
)

// Lines returns the lines of a text, without indentation and empty ones.
func Lines(text string) []string {
	all := strings.Split(text, "\n")
	for i, line := range all {
		all[i] = strings.TrimSpace(line)
	}
	return slices.DeleteFunc(all, func(line string) bool { return line == "" })
}
