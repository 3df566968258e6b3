package source

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"github.com/fairlead-lb/fairlead/controller/render"
)

// checkService compares what a decoder reads with what the generated code does.
func checkService(t *testing.T, d *decoder, data []byte) {
	t.Helper()
	var all corev1.Service
	if err := all.Unmarshal(data); err != nil {
		t.Fatal(err)
	}
	got, err := d.decodeService(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(trimmedService(&all), got); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

func checkSlice(t *testing.T, d *decoder, data []byte) {
	t.Helper()
	var all discoveryv1.EndpointSlice
	if err := all.Unmarshal(data); err != nil {
		t.Fatal(err)
	}
	got, err := d.decodeEndpointSlice(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(trimmedSlice(&all), got); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

func TestServicesAreDecodedAsTheGeneratedCodeDoes(t *testing.T) {
	d := newDecoder()
	for name, svc := range map[string]*corev1.Service{
		"full": fullService(), "plain": plainService("web"), "empty": {}, "bookmark": bookmark(new(corev1.Service)),
		"headless": {ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: corev1.ServiceSpec{ClusterIP: "None", ClusterIPs: []string{"None"}}},
		"without a value behind pointers": {Spec: corev1.ServiceSpec{
			InternalTrafficPolicy: ptr(corev1.ServiceInternalTrafficPolicy("")),
			SessionAffinityConfig: &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: ptr(int32(0))}}}},
		"with empty configuration": {Spec: corev1.ServiceSpec{SessionAffinityConfig: &corev1.SessionAffinityConfig{ClientIP: new(corev1.ClientIPConfig)}}},
		"with less":                {Spec: corev1.ServiceSpec{SessionAffinityConfig: new(corev1.SessionAffinityConfig)}},
		"with negative numbers":    {Spec: corev1.ServiceSpec{HealthCheckNodePort: -1, Ports: []corev1.ServicePort{{Port: -80, NodePort: -2}}}},
		"with empty strings":       {Spec: corev1.ServiceSpec{ClusterIPs: []string{"", "10.96.0.1", ""}, ExternalIPs: []string{""}}},
		"with a zero time":         {ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: new(metav1.Time)}},
	} {
		t.Run(name, func(t *testing.T) {
			data := serialized(t, svc)
			checkService(t, d, data)
			checkService(t, d, data) // what it remembers makes no difference
			checkService(t, d, append(bytes.Clone(data), serialized(t, fullService())...))
			checkService(t, d, append(serialized(t, fullService()), data...))
		})
	}
}

func TestEndpointSlicesAreDecodedAsTheGeneratedCodeDoes(t *testing.T) {
	d := newDecoder()
	for name, slice := range map[string]*discoveryv1.EndpointSlice{
		"full": fullSlice(), "plain": plainSlice("web", 2), "empty": {}, "bookmark": bookmark(new(discoveryv1.EndpointSlice)),
		"large":                           plainSlice("web", 100),
		"without endpoints":               plainSlice("web", 0),
		"with endpoints of no address":    {Endpoints: make([]discoveryv1.Endpoint, 3)},
		"with many addresses":             {Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"a", "b", "c"}}, {Addresses: []string{"d"}}, {}, {Addresses: []string{"", "e"}}}},
		"without a value behind pointers": {Endpoints: []discoveryv1.Endpoint{{NodeName: ptr("")}}},
	} {
		t.Run(name, func(t *testing.T) {
			data := serialized(t, slice)
			checkSlice(t, d, data)
			checkSlice(t, d, data)
			checkSlice(t, d, append(bytes.Clone(data), serialized(t, fullSlice())...))
			checkSlice(t, d, append(serialized(t, fullSlice()), data...))
		})
	}
}

// TestABookmarkKeepsItsAnnotation, as the reflector would wait for it for ever.
func TestABookmarkKeepsItsAnnotation(t *testing.T) {
	d := newDecoder()
	svc, err := d.decodeService(serialized(t, bookmark(new(corev1.Service))))
	if err != nil || svc.Annotations[metav1.InitialEventsAnnotationKey] != "true" || svc.ResourceVersion != "4711" {
		t.Errorf("%+v, %v", svc, err)
	}
	slice, err := d.decodeEndpointSlice(serialized(t, bookmark(new(discoveryv1.EndpointSlice))))
	if err != nil || slice.Annotations[metav1.InitialEventsAnnotationKey] != "true" || slice.ResourceVersion != "4711" {
		t.Errorf("%+v, %v", slice, err)
	}
}

// TestNothingThatIsLeftOutMakesADifference renders what was decoded both ways.
func TestNothingThatIsLeftOutMakesADifference(t *testing.T) {
	d := newDecoder()
	slice, err := d.decodeEndpointSlice(serialized(t, fullSlice()))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := render.NewSlice(slice), render.NewSlice(fullSlice()); !reflect.DeepEqual(got, want) {
		t.Errorf("the slice is %+v, want %+v", got, want)
	}
	other := fullService()
	delete(other.Labels, proxyNameLabel)
	for _, full := range []*corev1.Service{fullService(), other, plainService("web")} {
		svc, err := d.decodeService(serialized(t, full))
		if err != nil {
			t.Fatal(err)
		}
		options := render.Options{Scheduler: "rr", NodeName: "node-1", Zone: "zone-1", IPv6: true}
		got := render.Service(svc, []*render.Slice{render.NewSlice(slice)}, options, render.Settings{})
		want := render.Service(full, []*render.Slice{render.NewSlice(fullSlice())}, options, render.Settings{})
		if !reflect.DeepEqual(got, want) {
			t.Errorf("rendered to %+v, want %+v", got, want)
		}
		if served := full.Labels[proxyNameLabel] == ""; served != (len(want.Servers) > 0) {
			t.Errorf("%d virtual servers", len(want.Servers))
		}
	}
}

// field is a field of a message that holds bytes.
func field(num protowire.Number, parts ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), bytes.Join(parts, nil))
}

func text(s string) []byte { return []byte(s) }

// TestFieldsInAnUnusualOrderAreDecoded: protobuf allows any order, and a field twice.
func TestFieldsInAnUnusualOrderAreDecoded(t *testing.T) {
	ip := func(s string) []byte { return field(18, text(s)) }
	port := func(name string) []byte { return field(1, field(1, text(name))) }
	unknown := bytes.Join([][]byte{
		field(1000, text("new")), protowire.AppendVarint(protowire.AppendTag(nil, 1001, protowire.VarintType), 7),
		protowire.AppendFixed32(protowire.AppendTag(nil, 1002, protowire.Fixed32Type), 7),
		protowire.AppendFixed64(protowire.AppendTag(nil, 1003, protowire.Fixed64Type), 7),
		protowire.AppendGroup(protowire.AppendTag(nil, 1004, protowire.StartGroupType), 1004, field(1, text("in a group"))),
	}, nil)
	checkService(t, newDecoder(), field(2, ip("a"), port("x"), ip("b"), unknown, port("y"), ip("c"), ip("d"), ip("e"),
		field(3, text("first")), field(3, text("last")), port("z"), field(14, field(1)), field(14, field(1, []byte{8, 9}))))
	label := func(parts ...[]byte) []byte { return field(1, field(11, parts...)) }
	checkService(t, newDecoder(), bytes.Join([][]byte{
		label(field(2, text("v")), field(1, text(proxyNameLabel))), label(field(1, text(proxyNameLabel))), label(), unknown,
		field(1, field(12, field(1, text("fairlead.io/a")), field(1, text("fairlead.io/b")), field(2, text("1")))),
		field(1, field(8, []byte{8, 9}), field(8)), // the zero time is no bytes
	}, nil))

	address := func(s string) []byte { return field(1, text(s)) }
	zone := func(s string) []byte { return field(8, field(1, field(1, text(s)))) }
	node := func(s string) []byte { return field(8, field(2, field(1, text(s)))) }
	d := newDecoder()
	for range 2 { // the second time the hints are known
		checkSlice(t, d, bytes.Join([][]byte{
			field(2, address("a"), zone("z1")), field(3, field(1, text("p"))),
			field(2, address("b"), zone("z1"), address("c"), zone("z2"), node("n1"), address("d")), unknown,
			field(2, zone("z1")), field(3), field(2, address("e")), field(2, address("f"), address("g")),
			field(2, address("h"), zone("z1"), address("i")), field(2, address("j")),
			field(2, field(2, []byte{8, 1}), field(2, []byte{8, 0, 16, 2})),
		}, nil))
	}
}

func TestMalformedObjectsAreErrors(t *testing.T) {
	for name, data := range map[string][]byte{
		"a metadata that is a number":   {8, 1},
		"a tag without a value":         {10},
		"a text that ends too early":    {10, 5, 10, 9, 'a'},
		"field 0":                       {2, 0},
		"a wire type that is none":      {0x0f, 0},
		"the end of a group":            {0x0c},
		"a group without an end":        {0x4b},
		"a number without end":          {0x50, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1},
		"a length beyond everything":    {10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
		"a name that is a number":       field(1, []byte{8, 1}),
		"a label whose key is a number": field(1, field(11, []byte{8, 1})),
		"a label that ends too early":   field(1, field(11, []byte{10, 9, 'a'})),
		"a time that ends too early":    field(1, field(8, []byte{8})),
		"a time of text":                field(1, field(9, []byte{10, 0})),
	} {
		t.Run(name, func(t *testing.T) {
			d := newDecoder()
			if svc, err := d.decodeService(data); err == nil || svc != nil || !strings.Contains(err.Error(), "Service: ") {
				t.Errorf("Service %v, error %v", svc, err)
			}
			if slice, err := d.decodeEndpointSlice(data); err == nil || slice != nil || !strings.Contains(err.Error(), "EndpointSlice: ") {
				t.Errorf("EndpointSlice %v, error %v", slice, err)
			}
			checkService(t, d, serialized(t, fullService())) // nothing is left of it
			checkSlice(t, d, serialized(t, fullSlice()))
		})
	}
}

// TestTruncatedObjectsAreErrors, or what the generated code makes of them if a field ends just there.
func TestTruncatedObjectsAreErrors(t *testing.T) {
	d := newDecoder()
	whole := serialized(t, fullService())
	refused := 0
	for n := range whole {
		if new(corev1.Service).Unmarshal(whole[:n]) == nil {
			checkService(t, d, whole[:n])
			continue
		}
		refused++
		if svc, err := d.decodeService(whole[:n]); err == nil {
			t.Errorf("%d of %d bytes are read as %v", n, len(whole), svc)
		}
	}
	if n := len(whole) - refused; n != 3 {
		t.Errorf("%d beginnings are good, want 3: nothing, metadata, spec", n)
	}
	whole = serialized(t, fullSlice())
	for n := range whole {
		if new(discoveryv1.EndpointSlice).Unmarshal(whole[:n]) == nil {
			checkSlice(t, d, whole[:n])
		} else if slice, err := d.decodeEndpointSlice(whole[:n]); err == nil {
			t.Errorf("%d of %d bytes are read as %v", n, len(whole), slice)
		}
	}
}

// TestErrorsSayWhere names kind and field.
func TestErrorsSayWhere(t *testing.T) {
	_, err := newDecoder().decodeService(field(2, field(14, field(1, []byte{10, 0}))))
	if want := "read a Service: spec: sessionAffinityConfig: clientIP: field 1 has wire type 2"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	_, err = newDecoder().decodeEndpointSlice(field(2, field(8, field(1, []byte{10}))))
	if want := "read an EndpointSlice: endpoints: hints: forZones: unexpected EOF"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestObjectsKeepNothingOfTheInput overwrites the input afterwards, and decodes something else.
func TestObjectsKeepNothingOfTheInput(t *testing.T) {
	d := newDecoder()
	data := serialized(t, fullService())
	svc, err := d.decodeService(data)
	if err != nil {
		t.Fatal(err)
	}
	clobber(data)
	data = serialized(t, fullSlice())
	slice, err := d.decodeEndpointSlice(data)
	if err != nil {
		t.Fatal(err)
	}
	clobber(data)
	checkService(t, d, serialized(t, plainService("other")))
	checkSlice(t, d, serialized(t, plainSlice("other", 5)))
	if diff := cmp.Diff(trimmedService(fullService()), svc); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(trimmedSlice(fullSlice()), slice); diff != "" {
		t.Error(diff)
	}
	if len(d.pending) != 0 || cap(d.pending) == 0 || d.pending[:1][0].into != nil || d.pending[:1][0].from != nil || d.addresses != nil {
		t.Errorf("the decoder holds on to an object: %v, %v", d.pending[:1], d.addresses)
	}
}

func clobber(data []byte) {
	for i := range data {
		data[i] = '!'
	}
}

// TestADecoderRemembersOnlySoMuch has it meet ever new names, numbers and hints.
func TestADecoderRemembersOnlySoMuch(t *testing.T) {
	d := newDecoder()
	for n := range 2*mostShared + 10 {
		digits := []byte{byte(n), byte(n >> 8), byte(n >> 16)}
		e := new(discoveryv1.Endpoint)
		if err := d.addHints(e, field(1, field(1, digits))); err != nil || e.Hints.ForZones[0].Name != string(digits) {
			t.Fatal(e.Hints, err)
		}
		if *d.number(int32(n)) != int32(n) || d.name(digits) != string(digits) {
			t.Fatalf("%d is taken for another", n)
		}
	}
	if len(d.names) > mostShared || len(d.numbers) > mostShared || len(d.hints) > mostShared {
		t.Errorf("%d names, %d numbers, %d hints", len(d.names), len(d.numbers), len(d.hints))
	}
}

// TestAWatchIsDecoded takes apart what an API server's own serializer makes of an event.
func TestAWatchIsDecoded(t *testing.T) {
	media, ok := runtime.SerializerInfoForMediaType(serializer.NewCodecFactory(Scheme()).SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	if !ok {
		t.Fatal("no protobuf")
	}
	encode := func(e runtime.Encoder, o runtime.Object) []byte {
		data, err := runtime.Encode(e, o)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for _, o := range []object{fullService(), fullSlice(), &corev1.Node{}} {
		kinds, _, err := Scheme().ObjectKinds(o)
		if err != nil {
			t.Fatal(err)
		}
		o.GetObjectKind().SetGroupVersionKind(kinds[0])
		for _, want := range []string{"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR", "SOMETHING"} {
			frame := encode(media.StreamSerializer.Serializer, &metav1.WatchEvent{Type: want, Object: runtime.RawExtension{Raw: encode(media.Serializer, o)}})
			typ, raw, err := decodeWatchEvent(frame)
			if err != nil || typ != want {
				t.Fatalf("%q, %v, want %s", typ, err, want)
			}
			version, kind, raw, err := decodeUnknown(raw)
			if err != nil || version != kinds[0].GroupVersion().String() || kind != kinds[0].Kind {
				t.Fatalf("%s %s, %v, want %s", version, kind, err, kinds[0])
			}
			if !bytes.Equal(raw, serialized(t, o.(interface{ Marshal() ([]byte, error) }))) {
				t.Error("the object is another one")
			}
			if before := frame[len(frame)-1]; len(raw) > 0 {
				raw[0]++
				if !bytes.Contains(frame, raw) || frame[len(frame)-1] != before {
					t.Error("the object is not part of the input")
				}
			}
		}
	}
}

func TestEnvelopesThatCannotBeReadAreErrors(t *testing.T) {
	for _, data := range [][]byte{{8, 1}, {10}, {18, 1}, field(2, []byte{8, 1}), field(2, []byte{10, 9})} {
		if typ, raw, err := decodeWatchEvent(data); err == nil || typ != "" || raw != nil || !strings.Contains(err.Error(), "WatchEvent: ") {
			t.Errorf("%x is %q with %x, error %v", data, typ, raw, err)
		}
	}
	prefixed := func(parts ...[]byte) []byte { return append([]byte("k8s\x00"), bytes.Join(parts, nil)...) }
	for text, data := range map[string][]byte{
		"does not begin with":                  []byte(`{"kind":"Service"}`),
		"not begin with":                       []byte("k8s"),
		"begin with":                           nil,
		`kind "": typeMeta: field 1 has`:       prefixed(field(1, []byte{8, 1})),
		`kind "Pod": unexpected EOF`:           prefixed(field(1, field(2, []byte("Pod"))), []byte{18, 2}),
		`contentEncoding: "gzip"`:              prefixed(field(3, []byte("gzip"))),
		`contentType: "application/json" is n`: prefixed(field(4, []byte("application/json"))),
	} {
		if _, _, raw, err := decodeUnknown(data); err == nil || raw != nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: error %v, want %s", data, err, text)
		}
	}
	if _, _, raw, err := decodeUnknown(prefixed(field(2, []byte("x")), field(3), field(4, []byte(runtime.ContentTypeProtobuf)))); err != nil || string(raw) != "x" {
		t.Errorf("%q, %v", raw, err)
	}
}
