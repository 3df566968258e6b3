package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// groups are the values that hold values of ours; the others are of Kubernetes' kinds.
var groups = []string{"apiServer", "kubeconfig", "config", "image", "init"}

// TestValuesAreDocumented holds the chart's README to values.yaml.
func TestValuesAreDocumented(t *testing.T) {
	text, readme := read(t, chart+"/values.yaml"), read(t, chart+"/README.md")
	var values object
	if err := yaml.UnmarshalStrict([]byte(text), &values); err != nil {
		t.Fatal(err)
	}
	rows := map[string]any{}
	for name, value := range values {
		if !slices.Contains(groups, name) {
			rows[name] = value
			continue
		}
		for sub, value := range value.(object) {
			rows[name+"."+sub] = value
		}
	}
	for name, value := range rows {
		def, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprint(value); text != "" && value == text {
			def = []byte(text)
		}
		if row := fmt.Sprintf("| `%s` | `%s` | ", name, def); !strings.Contains(readme, row) {
			t.Errorf("the chart's README has no row %q", row)
		}
	}
	if documented := strings.Count(readme, "\n| `") - 1; documented != len(rows) { // config.*
		t.Errorf("the chart's README has %d values, values.yaml %d", documented, len(rows))
	}
}

// TestTheSchemaKnowsTheConfiguration holds the schema to config.yaml: it takes every key with its default, and
// has no other keys.
func TestTheSchemaKnowsTheConfiguration(t *testing.T) {
	var config object
	if err := yaml.UnmarshalStrict([]byte(read(t, "../../../config.yaml")), &config); err != nil {
		t.Fatal(err)
	}
	delete(config, "hostnameOverride")
	delete(config, "source")
	delete(at(config, "clientConnection"), "kubeconfig")
	if _, err := chartedWith(chart, object{"apiServer": object{"host": "a"}, "config": config}); err != nil {
		t.Error(err)
	}
	var schema object
	if err := json.Unmarshal([]byte(read(t, chart+"/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	var compare func(path string, schema, config object)
	compare = func(path string, schema, config object) {
		properties := at(schema, "properties")
		want, got := slices.Sorted(maps.Keys(config)), slices.Sorted(maps.Keys(properties))
		if !slices.Equal(want, got) || schema["additionalProperties"] != false {
			t.Errorf("config%s: the schema has %v, config.yaml %v", path, got, want)
		}
		for name, value := range config {
			if sub, ok := value.(object); ok {
				compare(path+"."+name, at(properties, name), sub)
			}
		}
	}
	compare("", at(schema, "properties", "config"), config)
}
