package main

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"
)

// layer holds what one source of configuration sets, by path.
type layer map[string]setting

// setting is one value in a layer.
type setting struct {
	value  any    // of the type of its field in Config
	text   string // as in the environment; of kube-proxy's files, variables and flags
	origin string // "config.yaml:3", "FAIRLEAD_IPVS_SCHEDULER", "--log-level"
	bad    bool   // no valid value: reported already, and never merged
}

// nested returns the valid values of l in the shape of a configuration file.
func (l layer) nested() map[string]any {
	tree := map[string]any{}
	for path, s := range l {
		if s.bad {
			continue
		}
		section, name, ok := strings.Cut(path, ".")
		if !ok {
			tree[path] = s.value
			continue
		}
		if _, ok := tree[section]; !ok {
			tree[section] = map[string]any{}
		}
		tree[section].(map[string]any)[name] = s.value
	}
	return tree
}

// put parses text given at origin for key k into l.
func (l layer) put(k key, origin, text string) error {
	value, bad := k.parseText(text)
	l[k.path] = setting{value: value, text: text, origin: origin, bad: bad >= 0}
	switch {
	case bad < 0:
		return nil
	case k.kind.list:
		text = splitList(text)[bad]
	}
	return problem(origin, k.path, "%s is not %s", show(text), k.kind.want)
}

// parseText parses what an environment variable or a flag holds. bad is the
// index of the first item that does not fit, or -1.
func (k key) parseText(text string) (value any, bad int) {
	if k.kind.list {
		return k.kind.parse(splitList(text))
	}
	return k.kind.parse([]string{text})
}

// anyInvalid tells whether one of the paths was given an invalid value.
func anyInvalid(paths []string, layers []layer) bool {
	for _, path := range paths {
		for _, l := range layers {
			if l[path].bad {
				return true
			}
		}
	}
	return false
}

// originOf returns where the value in force of the first of these paths comes
// from that is not at its default.
func originOf(paths []string, layers []layer) string {
	for _, path := range paths {
		for i := len(layers) - 1; i >= 0; i-- {
			if s, ok := layers[i][path]; ok {
				return s.origin
			}
		}
	}
	return ""
}

// addConfigFlags adds --config and the flags that set configuration keys.
func addConfigFlags(flags *pflag.FlagSet) {
	flags.String("config", "", "configuration file (default: built-in defaults; see 'fairlead config defaults')")
	for _, k := range keys() {
		if k.flag != "" {
			flags.String(k.flag, "", k.flagHelp)
		}
	}
}

// parseFlags returns the layer of the flags that were given.
func parseFlags(flags *pflag.FlagSet) (layer, error) {
	l := layer{}
	if flags == nil {
		return l, nil
	}
	var errs []error
	for _, k := range keys() {
		f := flags.Lookup(k.flag)
		if k.flag == "" || f == nil || !f.Changed {
			continue
		}
		origin := "--" + k.flag
		errs = append(errs, l.put(k, origin, f.Value.String()))
		if k.path == "source.directory" {
			l["source.kind"] = setting{value: sourceDirectory, origin: origin}
		}
	}
	return l, errors.Join(errs...)
}

// show quotes a value for a message, and shortens what would fill the screen.
func show(text string) string {
	const most = 80
	if utf8.RuneCountInString(text) > most {
		return fmt.Sprintf("%q...", string([]rune(text)[:most]))
	}
	return fmt.Sprintf("%q", text)
}
