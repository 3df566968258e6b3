package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kube-proxy/config/v1alpha1"
	kjson "sigs.k8s.io/json"
)

// kubeProxyKind is what kube-proxy's configuration calls itself.
const kubeProxyKind = "KubeProxyConfiguration"

// isKubeProxy tells whether a file is kube-proxy's own, in whatever version.
func isKubeProxy(root *yaml.Node) bool {
	return topValue(root, "kind").Value == kubeProxyKind ||
		strings.HasPrefix(topValue(root, "apiVersion").Value, v1alpha1.GroupName+"/")
}

// topValue returns the value of a key at the top of a file, or an empty node.
func topValue(root *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(root.Content) && root.Kind == yaml.MappingNode; i += 2 {
		if root.Content[i].Value == name {
			return resolve(root.Content[i+1])
		}
	}
	return &yaml.Node{Line: 1}
}

// dropped is a field of kube-proxy's file that has no meaning here.
type dropped struct {
	path, value, why string
}

// parseKubeProxy returns the layer of a file of kube-proxy, and which of its fields are dropped.
func parseKubeProxy(name string, root *yaml.Node) (layer, []dropped, error) {
	r := kubeProxyReader{name: name, lines: map[string]int{}}
	r.header(root)
	r.section(nil, root)
	r.mode()
	if len(r.errs) > 0 {
		return layer{}, nil, errors.Join(r.errs...)
	}
	l, drops := layer{}, r.drops
	fields := kubeProxyFields(&r.config)
	slices.SortStableFunc(fields, func(a, b kubeProxyField) int { return r.lines[a.path] - r.lines[b.path] })
	for _, f := range fields {
		text, ok := f.says()
		switch {
		case !ok:
		case f.key == "":
			drops = append(drops, dropped{f.path, text, f.why})
		default:
			r.errs = append(r.errs, l.put(keyAt(f.key), r.origin(f.path), text))
		}
	}
	for _, i := range implied(&r.config) {
		r.errs = append(r.errs, l.put(keyAt(i.key), r.origin(i.path), i.text))
	}
	return l, drops, errors.Join(r.errs...)
}

// dropWarning lists fields that are dropped in one line, "" if there are none.
func dropWarning(name string, drops []dropped) string {
	if len(drops) == 0 {
		return ""
	}
	var paths []string
	for _, d := range drops {
		paths = append(paths, d.path)
	}
	return fmt.Sprintf("%s: fields of kube-proxy without a meaning here: %s ('fairlead config convert' says why)", name, strings.Join(paths, ", "))
}

// keyAt returns the key of that path.
func keyAt(path string) key {
	all := keys()
	return all[slices.IndexFunc(all, func(k key) bool { return k.path == path })]
}

// kubeProxyReader decodes a file of kube-proxy with kube-proxy's types: one field at a time, so that each
// mistake is told, and with the line that it is on.
type kubeProxyReader struct {
	name   string
	config v1alpha1.KubeProxyConfiguration
	lines  map[string]int // of fields, by path
	drops  []dropped      // that kube-proxy itself no longer has
	errs   []error
}

// origin is the place of a field: the file, where the field is not in it.
func (r *kubeProxyReader) origin(path string) string {
	if line := r.lines[path]; line > 0 {
		return fmt.Sprintf("%s:%d", r.name, line)
	}
	return r.name
}

// header wants the one kind and version that there is.
func (r *kubeProxyReader) header(root *yaml.Node) {
	for _, field := range [][2]string{{"apiVersion", v1alpha1.SchemeGroupVersion.String()}, {"kind", kubeProxyKind}} {
		path, want := field[0], field[1]
		if at := topValue(root, path); at.Value != want {
			r.lines[path] = at.Line
			r.errs = append(r.errs, problem(r.origin(path), path, "%s is not %s", describe(at), want))
		}
	}
}

// mode wants a mode that kube-proxy has: of a misspelled one nobody knows which defaults were meant.
func (r *kubeProxyReader) mode() {
	modes := []string{modeIPTables, modeIPVS, modeNFTables, modeKernelspace}
	if mode := string(r.config.Mode); mode != "" && !slices.Contains(modes, mode) {
		r.errs = append(r.errs, problem(r.origin("mode"), "mode", "%s is not %s, or empty", show(mode), strings.Join(modes, ", ")))
	}
}

// section reads the fields of one section; none is the whole file.
func (r *kubeProxyReader) section(section []string, n *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		steps := append(slices.Clone(section), n.Content[i].Value)
		path, value := printable(strings.Join(steps, ".")), resolve(n.Content[i+1])
		line, again := r.lines[path]
		r.lines[path] = n.Content[i].Line
		switch {
		case path == "apiVersion" || path == "kind":
		case again:
			r.errs = append(r.errs, problem(r.origin(path), path, "given twice, first on line %d", line))
		case value.Kind == yaml.MappingNode && isSection(path): // and no other, or aliases would make the walk endless
			r.section(steps, value)
		default:
			r.field(steps, path, value)
		}
	}
}

// field decodes one field.
func (r *kubeProxyReader) field(steps []string, path string, n *yaml.Node) {
	value, err := plain(n)
	if err != nil {
		r.errs = append(r.errs, problem(r.origin(path), path, "%v", err))
		return
	}
	for _, step := range slices.Backward(steps) {
		value = map[string]any{step: value}
	}
	data, err := json.Marshal(value)
	var strict []error
	if err == nil {
		strict, err = kjson.UnmarshalStrict(data, &r.config)
	}
	switch {
	case len(strict) > 0 && bygone(path):
		if !slices.Contains([]string{"", "0", "0s", "null"}, n.Value) {
			r.drops = append(r.drops, dropped{path, n.Value, "kube-proxy itself has it no longer."})
		}
	case len(strict) > 0:
		r.errs = append(r.errs, problem(r.origin(path), path, "unknown key%s", suggestKubeProxy(path)))
	case err != nil:
		r.errs = append(r.errs, problem(r.origin(path), path, "%s is not %s", describe(n), wanted(path)))
	}
}

// bygone tells whether earlier versions of kube-proxy had a field. kubeadm keeps its ConfigMap over
// upgrades, and kube-proxy still takes it.
func bygone(path string) bool {
	return slices.Contains([]string{"udpIdleTimeout", "resourceContainer", "conntrack.max"}, path)
}

// plain returns a value as JSON has it. kube-proxy reads YAML 1.1, where a bare yes is true.
func plain(n *yaml.Node) (value any, err error) {
	if n.Kind == yaml.ScalarNode && n.Style == 0 {
		switch strings.ToLower(n.Value) {
		case "yes", "on":
			return true, nil
		case "no", "off":
			return false, nil
		}
	}
	err = n.Decode(&value)
	return value, err
}

// isSection tells whether there are fields of kube-proxy below a path.
func isSection(path string) bool {
	return slices.ContainsFunc(kubeProxyFields(&v1alpha1.KubeProxyConfiguration{}), func(f kubeProxyField) bool {
		return strings.HasPrefix(f.path, path+".")
	})
}

// suggestKubeProxy is the tail of a message about a field that kube-proxy does not have.
func suggestKubeProxy(path string) string {
	var paths []string
	for _, f := range kubeProxyFields(&v1alpha1.KubeProxyConfiguration{}) {
		paths = append(paths, f.path)
	}
	if hint := didYouMean(path, paths); hint != "" {
		return hint
	}
	return " (kube-proxy 1.37 has no such field)"
}

// wanted says what a field of kube-proxy takes.
func wanted(path string) string {
	if isSection(path) {
		return "a section (lines of KEY: VALUE, indented below)"
	}
	for _, f := range kubeProxyFields(&v1alpha1.KubeProxyConfiguration{}) {
		if f.path != path {
			continue
		}
		kind := reflect.TypeOf(f.value)
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		switch {
		case kind == reflect.TypeFor[metav1.Duration]():
			return "a duration with a unit (such as 30s or 15m)"
		case kind.Kind() == reflect.Bool:
			return "true or false"
		case kind.Kind() == reflect.String:
			return "a text; put it in quotes"
		case kind.Kind() == reflect.Slice:
			return "a list"
		case kind.Kind() == reflect.Map || kind.Kind() == reflect.Struct:
			return "what kube-proxy takes there"
		}
		return "a number of kube-proxy's size (" + kind.Kind().String() + ")"
	}
	return "what kube-proxy takes there"
}
