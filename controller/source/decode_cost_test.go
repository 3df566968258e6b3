package source

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// TestDecodingAllocatesLittle pins what an object costs when its like has been seen. What is more than one, or not
// plain, costs more.
func TestDecodingAllocatesLittle(t *testing.T) {
	d := newDecoder()
	svc, slice, large := serialized(t, plainService("web")), serialized(t, plainSlice("web", 2)), serialized(t, plainSlice("web", 100))
	for _, c := range []struct {
		name   string
		want   float64
		decode func() error
	}{
		// The Service, with room for one port and one cluster IP, and one text.
		{"a Service of one port", 2, func() error { _, err := d.decodeService(svc); return err }},
		// The slice, with room for one port, two texts, endpoints, their addresses, and a map, its room and its
		// value, once for labels and once for annotations.
		{"a slice of two endpoints", 11, func() error { _, err := d.decodeEndpointSlice(slice); return err }},
		{"a slice of 100 endpoints", 11, func() error { _, err := d.decodeEndpointSlice(large); return err }},
	} {
		if got := testing.AllocsPerRun(100, func() {
			if err := c.decode(); err != nil {
				t.Fatal(err)
			}
		}); got != c.want {
			t.Errorf("%s: %v allocations, want %v", c.name, got, c.want)
		}
	}
}

// BenchmarkDecode compares with the generated code, on objects as an API server sends them.
func BenchmarkDecode(b *testing.B) {
	run := func(name string, data []byte, lean func(*decoder, []byte) error, full func([]byte) error) {
		b.Run(name+"/lean", func(b *testing.B) {
			d := newDecoder()
			b.ReportAllocs()
			for b.Loop() {
				if err := lean(d, data); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/generated", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := full(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("service", serialized(b, plainService("web")),
		func(d *decoder, data []byte) error { _, err := d.decodeService(data); return err },
		func(data []byte) error { return new(corev1.Service).Unmarshal(data) })
	for _, n := range []int{2, 100} {
		run(fmt.Sprintf("slice-%d", n), serialized(b, plainSlice("web", n)),
			func(d *decoder, data []byte) error { _, err := d.decodeEndpointSlice(data); return err },
			func(data []byte) error { return new(discoveryv1.EndpointSlice).Unmarshal(data) })
	}
}
