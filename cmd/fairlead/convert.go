package main

import (
	"fmt"
	"reflect"
	"strings"
)

// convertKubeProxy returns a configuration file of Fairlead's that says what a file of kube-proxy says:
// only what differs from the defaults, and as comments what was dropped and why. name is what errors call
// the file.
func convertKubeProxy(name string, data []byte) (string, error) {
	root, err := parseYAML(name, data)
	if err != nil {
		return "", err
	}
	if root == nil || !isKubeProxy(root) {
		return "", fmt.Errorf("%s: not kube-proxy's configuration: kind is not %s", name, kubeProxyKind)
	}
	if _, _, err := mergeConfig(name, data, nil, nil); err != nil {
		return "", err // with the rules between keys
	}
	settings, drops, err := parseKubeProxy(name, root)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("# The configuration of Fairlead, converted from kube-proxy's. What is not here has its\n" +
		"# default: see 'fairlead config defaults'.\n")
	writeKeys(&b, changedKeys(settings), func(k key) string { return k.yaml(settings[k.path].text) })
	writeDropped(&b, drops)
	return b.String(), nil
}

// changedKeys returns the keys that have another value than the default.
func changedKeys(l layer) (changed []key) {
	for _, k := range keys() {
		def, _ := k.parseText(k.def)
		if s, ok := l[k.path]; ok && !reflect.DeepEqual(s.value, def) {
			changed = append(changed, k)
		}
	}
	return changed
}

// writeDropped writes what was dropped, as comments.
func writeDropped(b *strings.Builder, drops []dropped) {
	if len(drops) == 0 {
		return
	}
	b.WriteString("\n# Dropped, for it has no meaning here:\n")
	for _, d := range drops {
		fmt.Fprintf(b, "#\n# %s: %s\n", d.path, printable(d.value))
		for line := range strings.Lines(d.why) {
			fmt.Fprintf(b, "#   %s\n", strings.TrimRight(line, "\n"))
		}
	}
}
