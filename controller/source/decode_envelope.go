package source

import (
	"bytes"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// decodeWatchEvent returns what a serialized WatchEvent (k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto)
// says has happened, and the object, which decodeUnknown reads. That is part of the input.
func decodeWatchEvent(data []byte) (typ string, raw []byte, err error) {
	m := message{data: data}
	for m.next() {
		switch m.num {
		case 1:
			typ = constant(m.bytes(), string(watch.Added), string(watch.Modified), string(watch.Deleted), string(watch.Bookmark), string(watch.Error))
		case 2:
			in := message{data: m.bytes()} // a RawExtension
			for in.next() {
				if in.num == 1 {
					raw = in.bytes()
				}
			}
			m.within("object", in.err)
		}
	}
	if m.err != nil {
		return "", nil, fmt.Errorf("read a WatchEvent: %w", m.err)
	}
	return typ, raw, nil
}

// unknownPrefix is what every object in protobuf begins with, to tell it from other formats.
const unknownPrefix = "k8s\x00"

// decodeUnknown takes the envelope off an object: the prefix, and a runtime.Unknown
// (k8s.io/apimachinery/pkg/runtime/generated.proto). raw is part of the input. An object in any other encoding
// than protobuf is an error.
func decodeUnknown(data []byte) (apiVersion, kind string, raw []byte, err error) {
	rest, ok := bytes.CutPrefix(data, []byte(unknownPrefix))
	if !ok {
		return "", "", nil, fmt.Errorf("read an object: it does not begin with %q, as those in protobuf do", unknownPrefix)
	}
	m := message{data: rest}
	for m.next() {
		switch m.num {
		case 1:
			in := message{data: m.bytes()} // a TypeMeta
			for in.next() {
				switch in.num {
				case 1:
					apiVersion = constant(in.bytes(), "v1", "discovery.k8s.io/v1")
				case 2:
					kind = constant(in.bytes(), "Service", "EndpointSlice", "Node", "Status")
				}
			}
			m.within("typeMeta", in.err)
		case 2:
			raw = m.bytes()
		case 3:
			if encoding := m.bytes(); len(encoding) > 0 {
				m.within("contentEncoding", fmt.Errorf("%q is not known", encoding))
			}
		case 4:
			if format := m.bytes(); len(format) > 0 && string(format) != runtime.ContentTypeProtobuf {
				m.within("contentType", fmt.Errorf("%q is not %s", format, runtime.ContentTypeProtobuf))
			}
		}
	}
	if m.err != nil {
		return "", "", nil, fmt.Errorf("read an object of kind %q: %w", kind, m.err)
	}
	return apiVersion, kind, raw, nil
}

// constant returns the one of these strings that the text is, or a copy if it is none.
func constant(text []byte, these ...string) string {
	for _, one := range these {
		if string(text) == one {
			return one
		}
	}
	return string(text)
}
