package source

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
)

// body is what arrives, a part for each read, and counts the reads.
type body struct {
	parts  [][]byte
	reads  int
	closed bool
}

func (b *body) Read(p []byte) (int, error) {
	b.reads++
	if len(b.parts) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.parts[0])
	if b.parts[0] = b.parts[0][n:]; len(b.parts[0]) == 0 {
		b.parts = b.parts[1:]
	}
	return n, nil
}

func (b *body) Close() error { b.closed = true; return nil }

// framed returns the frames as they are on the wire, and the framer of watches.
func framed(t *testing.T, frames ...string) ([]byte, *streams, runtime.Framer) {
	t.Helper()
	s := new(streams)
	w := wire{serializer.NewCodecFactory(Scheme()).WithoutConversion(), s}
	info, ok := runtime.SerializerInfoForMediaType(w.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	if !ok {
		t.Fatal("no protobuf")
	}
	var out bytes.Buffer
	for _, frame := range frames {
		if _, err := info.StreamSerializer.Framer.NewFrameWriter(&out).Write([]byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes(), s, info.StreamSerializer.Framer
}

func TestAWatchIsReadInLargePieces(t *testing.T) {
	all, s, framer := framed(t, "one", "two", "three")
	from := &body{parts: [][]byte{all}}
	r := framer.NewFrameReader(from)
	buf := make([]byte, 100)
	for i, want := range []string{"one", "two", "three"} {
		n, err := r.Read(buf)
		if err != nil || string(buf[:n]) != want {
			t.Fatalf("%q, %v; want %q", buf[:n], err, want)
		}
		if more := i < 2; s.coming() != more {
			t.Errorf("after %q, more to come: %v", want, s.coming())
		}
	}
	if from.reads != 1 {
		t.Errorf("%d reads of the body for three frames", from.reads)
	}
	if _, err := r.Read(buf); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

// TestNothingComesOfAClosedWatch, whenever it is closed.
func TestNothingComesOfAClosedWatch(t *testing.T) {
	all, s, framer := framed(t, "one", "two")
	from := &body{parts: [][]byte{all}}
	r := framer.NewFrameReader(from)
	if _, err := r.Read(make([]byte, 100)); err != nil || !s.coming() {
		t.Fatalf("%v, more to come: %v", err, s.coming())
	}
	for range 2 {
		if err := r.Close(); err != nil || !from.closed || s.coming() {
			t.Errorf("%v, body closed: %v, more to come: %v", err, from.closed, s.coming())
		}
	}
	if n, err := r.Read(make([]byte, 2)); n == 0 && err == nil || s.coming() {
		t.Errorf("read on: %d bytes, %v, more to come: %v", n, err, s.coming())
	}
}

// TestAFrameInPiecesIsWhole: what has arrived of a frame counts as more to come.
func TestAFrameInPiecesIsWhole(t *testing.T) {
	long := string(bytes.Repeat([]byte("x"), 3*streamBuffer))
	all, s, framer := framed(t, "one", long)
	r := framer.NewFrameReader(&body{parts: [][]byte{all[:9], all[9:2000], all[2000:]}})
	buf := make([]byte, 4*streamBuffer)
	if n, err := r.Read(buf); err != nil || string(buf[:n]) != "one" || !s.coming() {
		t.Fatalf("%d bytes, %v, more to come: %v", n, err, s.coming())
	}
	if n, err := r.Read(buf); err != nil || string(buf[:n]) != long || s.coming() {
		t.Fatalf("%d bytes, %v, more to come: %v", n, err, s.coming())
	}
}

// TestWhatAWatchBringsIsDecoded: Services and EndpointSlices without what nobody reads, the rest as it is, and what is
// broken is an error.
func TestWhatAWatchBringsIsDecoded(t *testing.T) {
	codecs := serializer.NewCodecFactory(Scheme()).WithoutConversion()
	usual, _ := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	ours, _ := runtime.SerializerInfoForMediaType(wire{codecs, new(streams)}.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	meta := metav1.ObjectMeta{Namespace: "ns", Name: "web", ResourceVersion: "7", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "somebody"}}}
	bare := metav1.ObjectMeta{Namespace: "ns", Name: "web", ResourceVersion: "7"}
	for _, c := range []struct{ sent, want runtime.Object }{
		{&corev1.Service{ObjectMeta: meta}, &corev1.Service{ObjectMeta: bare}},
		{&discoveryv1.EndpointSlice{ObjectMeta: meta}, &discoveryv1.EndpointSlice{ObjectMeta: bare}},
		{&corev1.Node{ObjectMeta: meta}, &corev1.Node{ObjectMeta: meta}},
	} {
		kinds, _, err := Scheme().ObjectKinds(c.sent)
		if err != nil {
			t.Fatal(err)
		}
		c.sent.GetObjectKind().SetGroupVersionKind(kinds[0])
		data, err := runtime.Encode(usual.Serializer, c.sent)
		if err != nil {
			t.Fatal(err)
		}
		wrapped, err := (&metav1.WatchEvent{Type: "ADDED", Object: runtime.RawExtension{Raw: data}}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		var event metav1.WatchEvent
		if _, _, err := ours.StreamSerializer.Serializer.Decode(wrapped, nil, &event); err != nil || event.Type != "ADDED" {
			t.Fatalf("%v: %v", event, err)
		}
		object, kind, err := ours.Serializer.Decode(event.Object.Raw, nil, nil)
		if err != nil || *kind != kinds[0] {
			t.Fatalf("%v, %v", kind, err)
		}
		object.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{}) // as clients do
		if diff := cmp.Diff(c.want, object); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		object, err = runtime.Decode(codecs.DecoderToVersion(ours.Serializer, nil), append(data, 0x0a, 0x7f))
		if err == nil {
			t.Errorf("broken: %v", object)
		}
	}
}
