package source

import (
	"bufio"
	"io"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime"
)

// streamBuffer is what is read of a watch at once, in bytes. HTTP/2 tells the server of every read how much it may send
// now: with the small reads of client-go that is a write for each event.
const streamBuffer = 64 << 10

// streams is how many watches have received more than has been handed on.
type streams struct{ full atomic.Int32 }

// coming reports whether changes have arrived that are still to be read.
func (s *streams) coming() bool { return s.full.Load() > 0 }

// wire is a serializer whose watches are read through buffers that are watched themselves.
type wire struct {
	runtime.NegotiatedSerializer
	streams *streams
}

// SupportedMediaTypes implements runtime.NegotiatedSerializer.
func (w wire) SupportedMediaTypes() []runtime.SerializerInfo {
	types := w.NegotiatedSerializer.SupportedMediaTypes()
	list := make([]runtime.SerializerInfo, 0, len(types))
	for _, info := range types {
		if info.MediaType == runtime.ContentTypeProtobuf {
			stream := *info.StreamSerializer
			stream.Framer = framer{stream.Framer, w.streams}
			info.StreamSerializer = &stream
		}
		list = append(list, info)
	}
	return list
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
