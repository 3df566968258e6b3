package source

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// object is what the kinds in a manifest have in common.
type object interface {
	metav1.Object
	runtime.Object
}

// parse reads the documents of one manifest. Kinds that a proxy has no use for are named in
// ignored. Any error names the document, counted from 1, and means that the file is not to be used
// at all: half a file is a state that nobody wrote.
func parse(data []byte) (objects []object, ignored []string, err error) {
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for n := 1; ; n++ {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, ignored, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("document %d: %w", n, err)
		}
		found, skipped, err := parseDocument(document)
		if err != nil {
			return nil, nil, fmt.Errorf("document %d: %w", n, err)
		}
		objects = append(objects, found...)
		if skipped != "" {
			ignored = append(ignored, fmt.Sprintf("document %d: kind %s is ignored", n, skipped))
		}
	}
}

func parseDocument(document []byte) (objects []object, ignored string, err error) {
	var head struct {
		metav1.TypeMeta `json:",inline"`
		Items           []runtime.RawExtension `json:"items"`
	}
	if err := yaml.Unmarshal(document, &head); err != nil {
		return nil, "", err
	}
	var one object
	switch {
	case head.Kind == "" && len(bytes.TrimSpace(stripComments(document))) == 0:
		return nil, "", nil
	case head.Kind == "List":
		return parseItems(head.Items)
	case head.Kind == "Service" && head.APIVersion == "v1":
		one = new(corev1.Service)
	case head.Kind == "Node" && head.APIVersion == "v1":
		one = new(corev1.Node)
	case head.Kind == "EndpointSlice" && head.APIVersion == "discovery.k8s.io/v1":
		one = new(discoveryv1.EndpointSlice)
	case head.Kind == "" || head.APIVersion == "":
		return nil, "", errors.New("no kind and apiVersion: not a Kubernetes object")
	default:
		return nil, head.APIVersion + " " + head.Kind, nil
	}
	if err := yaml.UnmarshalStrict(document, one); err != nil {
		return nil, "", fmt.Errorf("%s: %w", head.Kind, err)
	}
	if one.GetName() == "" {
		return nil, "", fmt.Errorf("%s without metadata.name", head.Kind)
	}
	if _, isNode := one.(*corev1.Node); one.GetNamespace() == "" && !isNode {
		one.SetNamespace(metav1.NamespaceDefault)
	}
	return []object{one}, "", nil
}

// parseItems reads the items of a List, which is what `kubectl get -o yaml` prints.
func parseItems(items []runtime.RawExtension) (objects []object, ignored string, err error) {
	for i, item := range items {
		found, skipped, err := parseDocument(item.Raw)
		if err != nil {
			return nil, "", fmt.Errorf("item %d: %w", i+1, err)
		}
		objects = append(objects, found...)
		if skipped != "" {
			ignored = skipped
		}
	}
	return objects, ignored, nil
}

// stripComments returns the lines of a document that are not comments or separators.
func stripComments(document []byte) []byte {
	var out []byte
	for line := range bytes.Lines(document) {
		trimmed := bytes.TrimSpace(line)
		if !bytes.HasPrefix(trimmed, []byte("#")) && !bytes.Equal(trimmed, []byte("---")) {
			out = append(out, trimmed...)
		}
	}
	return out
}
