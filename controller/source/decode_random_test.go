package source

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/randfill"
)

// filler fills objects at random. With a chance of 0 that something is absent every field is set, those that
// Kubernetes may add included.
func filler(seed int64, absent float64) *randfill.Filler {
	return randfill.NewWithSeed(seed).NilChance(absent).NumElements(1, 4).Funcs(
		func(at *metav1.Time, c randfill.Continue) { *at = metav1.Unix(int64(c.Uint32()), 0) },
		func(m *map[string]string, c randfill.Continue) { // labels, annotations
			*m = make(map[string]string)
			for _, key := range []string{
				discoveryv1.LabelServiceName, proxyNameLabel, metav1.InitialEventsAnnotationKey, corev1.EndpointsLastChangeTriggerTime,
				"fairlead.io/" + c.String(9), "fairlead.io", "example.com/" + c.String(9), c.String(9),
			} {
				if absent == 0 || c.Bool() {
					(*m)[key] = c.String(20)
				}
			}
		},
	)
}

// TestRandomObjectsAreDecodedAsTheGeneratedCodeDoes, also two in one, which are merged then.
func TestRandomObjectsAreDecodedAsTheGeneratedCodeDoes(t *testing.T) {
	d := newDecoder()
	var before, beforeSlice []byte
	for seed := range int64(300) {
		fill := filler(seed, float64(seed%3)/4)
		var svc corev1.Service
		fill.Fill(&svc)
		data := serialized(t, &svc)
		got, err := d.decodeService(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(trimmedService(&svc), got, cmpopts.EquateEmpty(), cmpopts.IgnoreTypes(metav1.TypeMeta{})); diff != "" {
			t.Fatalf("seed %d: want -, got +:\n%s", seed, diff)
		}
		checkService(t, d, data)
		checkService(t, d, append(bytes.Clone(data), before...))
		before = data

		var slice discoveryv1.EndpointSlice
		fill.Fill(&slice)
		data = serialized(t, &slice)
		gotSlice, err := d.decodeEndpointSlice(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(trimmedSlice(&slice), gotSlice, cmpopts.EquateEmpty(), cmpopts.IgnoreTypes(metav1.TypeMeta{})); diff != "" {
			t.Fatalf("seed %d: want -, got +:\n%s", seed, diff)
		}
		checkSlice(t, d, data)
		checkSlice(t, d, append(bytes.Clone(data), beforeSlice...))
		beforeSlice = data
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// stricter reports that an error is about what the generated code lets pass and protobuf does not: a number of more
// than 64 bits, a field number that is none, a group that ends as another one, and anything in an entry of a map.
func stricter(err error) bool {
	for _, text := range []string{"variable length integer overflow", "invalid field number", "mismatching end group marker", "entry: ", "recursion"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

// generated is what the generated code can do with an object.
type generated interface {
	Marshal() ([]byte, error)
	Unmarshal([]byte) error
}

// checkBytes holds a decoder to the generated code: what that accepts, it reads the same. What both of them can be
// expected to read is what comes out when that is written again.
func checkBytes[T generated](t *testing.T, data []byte, empty func() T, decode func([]byte) (T, error), trimmed func(T) T) {
	t.Helper()
	got, err := decode(data)
	all := empty()
	if all.Unmarshal(data) != nil {
		return
	}
	switch {
	case err == nil:
		if diff := cmp.Diff(trimmed(all), got); diff != "" {
			t.Errorf("want -, got +:\n%s", diff)
		}
	case !stricter(err):
		t.Errorf("the generated code reads what is an error: %v", err)
	}
	data = serialized(t, all)
	if all = empty(); all.Unmarshal(data) != nil {
		return
	}
	if got, err = decode(data); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(trimmed(all), got); diff != "" {
		t.Errorf("written again, want -, got +:\n%s", diff)
	}
}

func checkServiceBytes(t *testing.T, d *decoder, data []byte) {
	t.Helper()
	checkBytes(t, data, func() *corev1.Service { return new(corev1.Service) }, d.decodeService, trimmedService)
}

func checkSliceBytes(t *testing.T, d *decoder, data []byte) {
	t.Helper()
	checkBytes(t, data, func() *discoveryv1.EndpointSlice { return new(discoveryv1.EndpointSlice) }, d.decodeEndpointSlice, trimmedSlice)
}

// TestMutatedObjectsAreDecodedAsTheGeneratedCodeDoes changes, removes, adds and repeats some bytes of good objects.
func TestMutatedObjectsAreDecodedAsTheGeneratedCodeDoes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	mutated := func(data []byte) []byte {
		data = bytes.Clone(data)
		for range 1 + random.IntN(3) {
			at, to := random.IntN(len(data)), random.IntN(len(data))
			switch random.IntN(5) {
			case 0:
				data[at] = byte(random.Uint32())
			case 1:
				data[at] += byte(random.IntN(17)) - 8 // another field, length or type nearby
			case 2:
				data = slices.Delete(data, at, at+1)
			case 3:
				data = slices.Insert(data, at, byte(random.Uint32()))
			case 4:
				data = slices.Insert(data, at, bytes.Clone(data[min(at, to):min(max(at, to), min(at, to)+40)])...)
			}
		}
		return data
	}
	d := newDecoder()
	svc, slice := serialized(t, fullService()), serialized(t, fullSlice())
	for range 4000 {
		data := mutated(svc)
		checkServiceBytes(t, d, data)
		if t.Failed() {
			t.Fatalf("of %x", data)
		}
		data = mutated(slice)
		checkSliceBytes(t, d, data)
		if t.Failed() {
			t.Fatalf("of %x", data)
		}
	}
}

func FuzzDecodeService(f *testing.F) {
	full := serialized(f, fullService())
	for _, data := range [][]byte{full, full[:len(full)/2], append(serialized(f, plainService("a")), full...), serialized(f, bookmark(new(corev1.Service))), nil} {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := newDecoder()
		checkServiceBytes(t, d, data)
		checkServiceBytes(t, d, data) // it knows the names, numbers and hints by now
	})
}

func FuzzDecodeEndpointSlice(f *testing.F) {
	full := serialized(f, fullSlice())
	for _, data := range [][]byte{full, full[:len(full)/2], append(serialized(f, plainSlice("a", 3)), full...), serialized(f, bookmark(new(discoveryv1.EndpointSlice))), nil} {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := newDecoder()
		checkSliceBytes(t, d, data)
		checkSliceBytes(t, d, data)
	})
}

// FuzzDecodeEnvelopes has both envelopes read anything. What the generated code accepts is read the same.
func FuzzDecodeEnvelopes(f *testing.F) {
	f.Add(field(1, []byte("ADDED")))
	f.Add(append(field(1, field(1, []byte("v1")), field(2, []byte("Service"))), field(2, []byte("raw"))...))
	f.Add(append(field(1, []byte("DELETED")), field(2, field(1, []byte("raw")))...))
	f.Fuzz(func(t *testing.T, data []byte) {
		typ, raw, err := decodeWatchEvent(data)
		var event metav1.WatchEvent
		if event.Unmarshal(data) == nil && (err != nil && !stricter(err) || err == nil && (typ != event.Type || !bytes.Equal(raw, event.Object.Raw))) {
			t.Errorf("event %q of %x, %v, want %+v", typ, raw, err, event)
		}
		version, kind, raw, err := decodeUnknown(append([]byte(unknownPrefix), data...))
		var envelope runtime.Unknown
		if envelope.Unmarshal(data) != nil || envelope.ContentEncoding != "" || envelope.ContentType != "" {
			return
		}
		if err != nil && !stricter(err) && !strings.Contains(err.Error(), "content") ||
			err == nil && (version != envelope.APIVersion || kind != envelope.Kind || !bytes.Equal(raw, envelope.Raw)) {
			t.Errorf("object %s %s of %x, %v, want %+v", version, kind, raw, err, envelope)
		}
	})
}
