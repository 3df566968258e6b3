package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFileSize bounds what is read of a configuration file, in case somebody
// names a device or a log.
const maxFileSize = 1 << 20

// readConfigFile returns the content of the file at path, or nothing if path
// is empty.
func readConfigFile(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("reading the configuration: %s: larger than %d KiB, so not a configuration file", path, maxFileSize>>10)
	}
	return data, nil
}

// parseFile returns the layer of a configuration file, ours or kube-proxy's, and which fields of
// kube-proxy's file have no meaning here.
func parseFile(name string, data []byte) (layer, []dropped, error) {
	root, err := parseYAML(name, data)
	if root == nil || err != nil {
		return layer{}, nil, err
	}
	if isKubeProxy(root) {
		return parseKubeProxy(name, root)
	}
	l, err := parseFairlead(name, root)
	return l, nil, err
}

// parseFairlead returns the layer of a file of our own. The YAML is read as a
// tree and not decoded into a struct, because only the tree still has what
// good messages need: true spelling, line numbers and duplicates.
func parseFairlead(name string, root *yaml.Node) (layer, error) {
	r := fileReader{name: name, keys: map[string]key{}, found: layer{}}
	for _, k := range keys() {
		r.keys[k.path] = k
		r.known = append(r.known, k.path)
		if section, _ := splitPath(k.path); section != "" && !slices.Contains(r.known, section) {
			r.known = append(r.known, section)
		}
	}
	if root.Kind != yaml.MappingNode {
		return layer{}, fmt.Errorf("%s: %s is not a configuration (lines of KEY: VALUE)", r.origin(root), describe(root))
	}
	r.mapping("", root)
	return r.found, errors.Join(r.errs...)
}

// fileReader walks the tree of one file. Errors are gathered, not returned: one
// mistake must not hide the next.
type fileReader struct {
	name  string
	keys  map[string]key
	known []string // paths of keys and sections
	found layer
	errs  []error
}

func (r *fileReader) fail(at *yaml.Node, path, format string, args ...any) {
	r.errs = append(r.errs, problem(r.origin(at), path, format, args...))
}

func (r *fileReader) origin(at *yaml.Node) string {
	return fmt.Sprintf("%s:%d", r.name, at.Line)
}

// mapping reads the keys of one section, "" being the whole file.
func (r *fileReader) mapping(section string, n *yaml.Node) {
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := resolve(n.Content[i]), resolve(n.Content[i+1])
		if name.Kind != yaml.ScalarNode {
			r.fail(n.Content[i], joinPath(section, "?"), "%s is not a key", describe(name))
			continue
		}
		path := joinPath(section, printable(name.Value))
		if line, again := first[name.Value]; again {
			r.fail(n.Content[i], path, "given twice, first on line %d", line)
		} else {
			first[name.Value] = n.Content[i].Line
		}
		r.entry(section, name, value)
	}
}

// entry reads one key of a section and its value.
func (r *fileReader) entry(section string, name, value *yaml.Node) {
	path := joinPath(section, name.Value)
	k, isKey := r.keys[path]
	switch {
	case strings.Contains(name.Value, ".") || !slices.Contains(r.known, path):
		hint := suggestPath(section, name.Value, r.known)
		if isKey {
			hint = " (write it as a section: the part before the dot, then the rest indented below)"
		}
		r.fail(name, joinPath(section, printable(name.Value)), "unknown key%s", hint)
	case value.ShortTag() == "!!null":
		// As if it were not there: kube-proxy's own files are full of nulls.
	case isKey:
		r.value(k, value)
	case value.Kind != yaml.MappingNode:
		r.fail(value, path, "%s is not a section (lines of KEY: VALUE, indented below)", describe(value))
	default:
		r.mapping(path, value)
	}
}

// value reads the value of key k.
func (r *fileReader) value(k key, n *yaml.Node) {
	items := []*yaml.Node{n}
	if k.kind.list {
		if n.Kind != yaml.SequenceNode {
			r.found[k.path] = setting{bad: true}
			r.fail(n, k.path, "%s is not a list (each item: %s)", describe(n), k.kind.want)
			return
		}
		items = n.Content
	}
	var texts []string
	valid := true
	for i, item := range items {
		item = resolve(item)
		texts = append(texts, item.Value)
		if complaint := k.kind.complaint(item); complaint != "" {
			path := k.path
			if k.kind.list {
				path = fmt.Sprintf("%s[%d]", k.path, i)
			}
			r.fail(item, path, "%s", complaint)
			valid = false
		}
	}
	if !valid {
		r.found[k.path] = setting{bad: true}
		return
	}
	parsed, _ := k.kind.parse(texts)
	r.found[k.path] = setting{value: parsed, origin: r.origin(n)}
}

// complaint says what is wrong with one value of this kind, "" if nothing is.
func (k kind) complaint(n *yaml.Node) string {
	fits := n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null"
	if fits {
		_, bad := k.parse([]string{n.Value})
		fits = bad < 0
	}
	typed := slices.Contains(strings.Fields(k.tags), n.ShortTag())
	hint := ""
	switch {
	case fits && typed:
		return ""
	case fits && n.ShortTag() == tagString:
		hint = "; remove the quotes"
	case fits && k.tags == tagString:
		hint = "; put it in quotes"
	}
	return fmt.Sprintf("%s is not %s%s", describe(n), k.want, hint)
}

// describe names a value in a message, the way it looks in the file.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a section"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == tagString:
		return show(n.Value)
	case n.Value == "":
		return "nothing"
	}
	return printable(n.Value)
}

// printable is text for a message, bare where that is safe.
func printable(text string) string {
	quoted := show(text)
	if bare := strings.Trim(quoted, `"`); bare == text && text != "" {
		return text
	}
	return quoted
}

// resolve follows an alias (*name) to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}
