package source

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apicontent "k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	jsonserializer "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"sigs.k8s.io/yaml"
)

// object is what the kinds in a manifest have in common.
type object interface {
	metav1.Object
	runtime.Object
}

type digest [sha256.Size]byte

// document is what one document of a manifest says. It is never changed: a document that stays as
// it was keeps its objects, so that nobody has to compare them.
type document struct {
	objects []object
	ignored []string // kinds that a proxy has no use for
}

// parse reads the documents of one manifest; those in known are not read again. Any error names the
// document, counted from 1 without empty ones, and means that the file is not to be used at all:
// half a file is a state that nobody wrote.
func parse(data []byte, known map[digest]document) (documents map[digest]document, order []digest, err error) {
	documents = make(map[digest]document)
	for line, text := range split(data) {
		if empty(text) {
			continue
		}
		sum := digest(sha256.Sum256(text))
		d, exists := known[sum]
		if !exists {
			if d, err = parseDocument(text); err != nil {
				return nil, nil, fmt.Errorf("document %d (from line %d): %w", len(order)+1, line, err)
			}
		}
		documents[sum] = d
		order = append(order, sum)
	}
	return documents, order, nil
}

// split yields the documents of a YAML stream, each with the number of its first line.
func split(data []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		data = bytes.TrimPrefix(data, []byte("\ufeff"))
		first, start, line, end := 1, 0, 0, 0
		for text := range bytes.Lines(data) {
			line++
			if begins(text) {
				if !yield(first, data[start:end]) {
					return
				}
				rest := bytes.TrimLeft(text[len("---"):], " \t\r")
				first, start = line, end+len(text)-len(rest)
			}
			end += len(text)
		}
		yield(first, data[start:end])
	}
}

// begins reports whether a line begins a document. What follows on the line belongs to it.
func begins(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || strings.ContainsRune(" \t\r\n", rune(rest[0])))
}

// empty reports whether there is nothing but comments and directives.
func empty(text []byte) bool { return len(content(text)) == 0 }

// content returns the text from its first line that is no comment or directive.
func content(text []byte) []byte {
	for line := range bytes.Lines(text) {
		if trimmed := bytes.TrimSpace(line); len(trimmed) > 0 && trimmed[0] != '#' && trimmed[0] != '%' {
			return text
		}
		text = text[len(line):]
	}
	return nil
}

func parseDocument(text []byte) (d document, err error) {
	if before, after, found := bytes.Cut(text, []byte("\n...")); found {
		if next, rest, _ := bytes.Cut(after, []byte("\n")); empty(next) {
			if !empty(rest) {
				return d, errors.New("something follows the end of the document (...)")
			}
			text = before
		}
	}
	values, err := toJSON(text)
	if err != nil {
		return d, err
	}
	for n, value := range values {
		if err := d.add(value); err != nil && len(values) > 1 {
			return d, fmt.Errorf("object %d: %w", n+1, err)
		} else if err != nil {
			return d, err
		}
	}
	return d, nil
}

// toJSON returns a document as JSON. A document that is JSON may be several objects in a row. One
// that is YAML in braces is read as the only item of a sequence, because the YAML library would
// pass over whatever follows it.
func toJSON(text []byte) (values []json.RawMessage, err error) {
	if !bytes.HasPrefix(bytes.TrimSpace(content(text)), []byte("{")) {
		value, err := yaml.YAMLToJSONStrict(text)
		return []json.RawMessage{value}, err
	}
	for decoder := json.NewDecoder(bytes.NewReader(text)); ; {
		var value json.RawMessage
		err := decoder.Decode(&value)
		if err == nil {
			values = append(values, value)
			continue
		}
		if errors.Is(err, io.EOF) {
			return values, nil
		}
		break
	}
	sequence, err := yaml.YAMLToJSONStrict(slices.Concat([]byte("[ "), text, []byte("\n]")))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(sequence, &values); err != nil {
		return nil, err
	}
	if len(values) != 1 {
		return nil, errors.New("several objects with commas between them")
	}
	return values, nil
}

// add adds the object that a JSON text describes, or those in the list that it describes.
func (d *document) add(text []byte) error {
	var head metav1.TypeMeta
	if err := json.Unmarshal(text, &head); err != nil {
		return fmt.Errorf("not a Kubernetes object: %w", err)
	}
	var one object
	switch head {
	case metav1.TypeMeta{Kind: "Service", APIVersion: "v1"}:
		one = new(corev1.Service)
	case metav1.TypeMeta{Kind: "Node", APIVersion: "v1"}:
		one = new(corev1.Node)
	case metav1.TypeMeta{Kind: "EndpointSlice", APIVersion: "discovery.k8s.io/v1"}:
		one = new(discoveryv1.EndpointSlice)
	case metav1.TypeMeta{Kind: "List", APIVersion: "v1"}:
		return d.addItems(text)
	default:
		if head.Kind == "" || head.APIVersion == "" {
			return errors.New("no kind and apiVersion: not a Kubernetes object")
		}
		d.ignored = append(d.ignored, head.APIVersion+" "+head.Kind)
		return nil
	}
	scheme := Scheme()
	strict := jsonserializer.NewSerializerWithOptions(jsonserializer.DefaultMetaFactory, scheme, scheme,
		jsonserializer.SerializerOptions{Strict: true})
	_, _, err := strict.Decode(text, nil, one)
	if err == nil {
		err = admit(one)
	}
	if err != nil {
		return fmt.Errorf("%s %q: %w", head.Kind, one.GetName(), err)
	}
	d.objects = append(d.objects, one)
	return nil
}

// admit checks an object's name and namespace and does the part of the API server.
func admit(o object) error {
	if o.GetName() == "" {
		return errors.New("metadata.name is missing")
	}
	for _, name := range []string{o.GetName(), o.GetNamespace()} {
		if faults := apicontent.IsPathSegmentName(name); len(faults) > 0 {
			return fmt.Errorf("name %q: %s", name, strings.Join(faults, ", "))
		}
	}
	switch _, isNode := o.(*corev1.Node); {
	case isNode:
		o.SetNamespace("")
	case o.GetNamespace() == "":
		o.SetNamespace(metav1.NamespaceDefault)
	}
	o.SetResourceVersion("") // that of the cluster where `kubectl get -o yaml` was said
	return nil
}

// addItems adds the items of a List, which is what `kubectl get -o yaml` prints.
func (d *document) addItems(text []byte) error {
	var list struct {
		metav1.TypeMeta
		Metadata json.RawMessage
		Items    []json.RawMessage
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&list); err != nil {
		return fmt.Errorf("List: %w", err)
	}
	if list.Items == nil {
		return errors.New("List without items")
	}
	for i, item := range list.Items {
		if err := d.add(item); err != nil {
			return fmt.Errorf("item %d: %w", i+1, err)
		}
	}
	return nil
}
