package main

import (
	"fmt"
	"strings"
)

// defaultsYAML returns the text of /config.yaml: every key with its default
// and its comment. It is made from the table of keys, so that the file that is
// shipped and read by people cannot say anything else than the program does.
func defaultsYAML() string {
	var b strings.Builder
	b.WriteString(`# The configuration of Fairlead: every key, with its default.
#
# Keys that are left out, or have no value, keep their default. A key that does
# not exist is an error. Each key can also be set in the environment, which wins
# over this file: FAIRLEAD_ before the key, in upper case, dots as underscores.
# ipvs.scheduler is FAIRLEAD_IPVS_SCHEDULER; lists are separated by commas:
# FAIRLEAD_IPVS_EXCLUDECIDRS=10.1.0.0/16,10.2.0.0/16. Flags win over both.
#
# Durations have a unit: 500ms, 30s, 15m, 1h30m. Check a file with
# 'fairlead config validate FILE'.
`)
	comments, last := sectionComments(), ""
	for _, k := range keys() {
		section, name := splitPath(k.path)
		if section != last && section != "" {
			b.WriteByte('\n')
			writeComment(&b, "", comments[section])
			b.WriteString(section + ":\n")
		} else {
			b.WriteByte('\n')
		}
		last = section
		indent := ""
		if section != "" {
			indent = "  "
		}
		writeComment(&b, indent, k.comment)
		fmt.Fprintf(&b, "%s%s: %s\n", indent, name, k.defaultYAML())
	}
	return b.String()
}

func writeComment(b *strings.Builder, indent, comment string) {
	for line := range strings.Lines(comment) {
		fmt.Fprintf(b, "%s# %s\n", indent, strings.TrimRight(line, "\n"))
	}
}

// defaultYAML returns the default in YAML. Defaults are plain words that need
// no quotes, or nothing; the test that reads the text back would tell.
func (k key) defaultYAML() string {
	switch {
	case k.kind.list:
		return "[" + strings.Join(splitList(k.def), ", ") + "]"
	case k.def == "":
		return `""`
	}
	return k.def
}
