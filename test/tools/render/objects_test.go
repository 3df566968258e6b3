package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const (
	chart    = "../../../deploy/chart/fairlead"
	overlays = "../../../deploy/kustomize/overlays/"
)

type object = map[string]any

// objects reads rendered manifests, by kind and name.
func objects(t *testing.T, text string) map[string]object {
	t.Helper()
	all := map[string]object{}
	for _, document := range regexp.MustCompile(`(?m)^---$`).Split(text, -1) {
		var o object
		if err := yaml.UnmarshalStrict([]byte(document), &o); err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if len(o) > 0 {
			all[fmt.Sprint(o["kind"], " ", at(o, "metadata")["name"])] = o
		}
	}
	return all
}

func at(o object, path ...string) object {
	for _, name := range path {
		o, _ = o[name].(object)
	}
	return o
}

func list(o object, name string) []any {
	items, _ := o[name].([]any)
	return items
}

// plain reads manifests and takes away what the two ways may do differently: kustomize puts a hash behind the
// ConfigMap's name where the chart has a checksum in the Pods, the chart has Helm's labels, lists by name are
// in another order, and the configuration is written in other words.
func plain(t *testing.T, text string) map[string]object {
	t.Helper()
	all := objects(t, regexp.MustCompile(`(name: fairlead)-[0-9a-z]{10}\b`).ReplaceAllString(text, "$1"))
	for _, o := range all {
		for _, labels := range []object{at(o, "metadata", "labels"), at(o, "spec", "template", "metadata", "labels")} {
			for _, helms := range []string{"helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version"} {
				delete(labels, helms)
			}
		}
		delete(at(o, "spec", "template", "metadata", "annotations"), "checksum/config")
		if data := at(o, "data"); data != nil {
			var config any
			if err := yaml.Unmarshal([]byte(data["config.yaml"].(string)), &config); err != nil {
				t.Fatal(err)
			}
			data["config.yaml"] = config
		}
		pod := at(o, "spec", "template", "spec")
		byName(list(pod, "volumes"))
		for _, container := range slices.Concat(list(pod, "initContainers"), list(pod, "containers")) {
			byName(list(container.(object), "env"))
			byName(list(container.(object), "volumeMounts"))
		}
	}
	return all
}

func byName(items []any) {
	slices.SortFunc(items, func(a, b any) int {
		return cmp.Compare(fmt.Sprint(a.(object)["name"]), fmt.Sprint(b.(object)["name"]))
	})
}

func render(t *testing.T, set ...string) string {
	t.Helper()
	r, err := charted(chart, set...)
	if err != nil {
		t.Fatal(err)
	}
	return r.manifests
}

// wants fails for each text that is not in the manifests.
func wants(t *testing.T, manifests string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(manifests, text) {
			t.Errorf("%q is not in\n%s", text, manifests)
		}
	}
}
