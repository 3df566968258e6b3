package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
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
# 'fairlead config validate FILE'. The daemon follows changes of its file, most
# of them without a restart: see docs/configuration.md.
`)
	writeKeys(&b, keys(), func(k key) string { return k.yaml(k.def) })
	return b.String()
}

// writeKeys writes keys with their comments and values, under their sections.
func writeKeys(b *strings.Builder, list []key, value func(key) string) {
	comments, last := sectionComments(), ""
	for _, k := range list {
		section, name := splitPath(k.path)
		b.WriteByte('\n')
		indent := ""
		if section != "" {
			indent = "  "
		}
		if section != last && section != "" {
			writeComment(b, "", comments[section])
			b.WriteString(section + ":\n")
		}
		last = section
		writeComment(b, indent, k.comment)
		fmt.Fprintf(b, "%s%s: %s\n", indent, name, value(k))
	}
}

func writeComment(b *strings.Builder, indent, comment string) {
	for line := range strings.Lines(comment) {
		fmt.Fprintf(b, "%s# %s\n", indent, strings.TrimRight(line, "\n"))
	}
}

// yaml returns a value in YAML that is given as one would write it in the environment.
func (k key) yaml(text string) string {
	switch {
	case k.kind.list:
		var items []string
		for _, item := range splitList(text) {
			items = append(items, quoted(item))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case k.kind.tags == tagString:
		return quoted(text)
	}
	return text
}

// quoted puts text into quotes unless it is plainly a string without them.
func quoted(text string) string {
	bare := regexp.MustCompile(`^[A-Za-z0-9/]([-A-Za-z0-9_./:]*[-A-Za-z0-9_./])?$`)
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err == nil && value == text && bare.MatchString(text) {
		return text
	}
	return strconv.Quote(text)
}
