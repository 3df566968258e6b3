package source

import (
	"bufio"
	"io"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// streamBuffer is what is read of a watch at once, in bytes. HTTP/2 tells the server of every read how much it may send
// now: with the small reads of client-go that is a write for each event.
const streamBuffer = 64 << 10

// streams are the watches of a client.
type streams struct {
	full    atomic.Int32 // how many have received more than was handed on
	sockets sockets
}

// coming reports whether anything has arrived that is still to be read: changes, as good as always.
func (s *streams) coming() bool { return s.full.Load() > 0 || s.sockets.unread() }

// wire is a serializer for one client. Its watches are read through buffers that are watched themselves, and what comes
// often is decoded by a decoder, a new one for each watch.
type wire struct {
	runtime.NegotiatedSerializer
	streams *streams
}

// SupportedMediaTypes implements runtime.NegotiatedSerializer. It is called for each request.
func (w wire) SupportedMediaTypes() []runtime.SerializerInfo {
	types := w.NegotiatedSerializer.SupportedMediaTypes()
	list := make([]runtime.SerializerInfo, 0, len(types))
	for _, info := range types {
		if info.MediaType == runtime.ContentTypeProtobuf {
			stream := *info.StreamSerializer
			stream.Framer = framer{stream.Framer, w.streams}
			stream.Serializer = events{stream.Serializer}
			info.StreamSerializer = &stream
			info.Serializer = lean{info.Serializer, newDecoder()}
		}
		list = append(list, info)
	}
	return list
}

// events decodes the events of a watch, with the object in each as it is on the wire, and valid until the next event.
type events struct{ runtime.Serializer }

// Decode implements runtime.Decoder.
func (e events) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	event, ok := into.(*metav1.WatchEvent)
	if !ok {
		return e.Serializer.Decode(data, defaults, into)
	}
	var err error
	if event.Type, event.Object.Raw, err = decodeWatchEvent(data); err != nil {
		return nil, nil, err
	}
	return event, nil, nil
}

// lean decodes Services and EndpointSlices by the decoder, and the rest as it is usual.
type lean struct {
	runtime.Serializer
	decoder *decoder
}

// Decode implements runtime.Decoder.
func (l lean) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	version, kind, raw, err := decodeUnknown(data)
	if into != nil || err != nil {
		return l.Serializer.Decode(data, defaults, into)
	}
	var object runtime.Object
	gvk := schema.FromAPIVersionAndKind(version, kind)
	switch gvk {
	case corev1.SchemeGroupVersion.WithKind("Service"):
		object, err = l.decoder.decodeService(raw)
	case discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"):
		object, err = l.decoder.decodeEndpointSlice(raw)
	default:
		return l.Serializer.Decode(data, defaults, into)
	}
	if err != nil {
		return nil, nil, err
	}
	return object, &gvk, nil
}

type framer struct {
	runtime.Framer
	streams *streams
}

// NewFrameReader implements runtime.Framer.
func (f framer) NewFrameReader(r io.ReadCloser) io.ReadCloser {
	return f.Framer.NewFrameReader(&stream{body: r, buffer: bufio.NewReaderSize(r, streamBuffer), streams: f.streams})
}

// stream is the body of a watch. One goroutine reads it, and any may close it.
type stream struct {
	body    io.ReadCloser
	buffer  *bufio.Reader
	streams *streams

	mu           sync.Mutex
	full, closed bool
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.buffer.Read(p)
	s.note(err == nil && s.buffer.Buffered() > 0, false)
	return n, err
}

// Close implements io.Closer. What is buffered then will not be read.
func (s *stream) Close() error {
	s.note(false, true)
	return s.body.Close()
}

// note counts the stream among the full ones, or not any more. A closed one never is: it may be closed while it is read.
func (s *stream) note(full, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = s.closed || closed
	full = full && !s.closed
	if full != s.full {
		s.full = full
		if full {
			s.streams.full.Add(1)
		} else {
			s.streams.full.Add(-1)
		}
	}
}
