package source

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// manyManifests is n Services, each with a slice of three endpoints.
func manyManifests(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, `---
apiVersion: v1
kind: Service
metadata:
  name: service-%[1]d
  namespace: many
spec:
  clusterIP: 10.%[2]d.%[3]d.1
  ports:
  - name: http
    port: 80
    protocol: TCP
    targetPort: 8080
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: service-%[1]d-1
  namespace: many
  labels:
    kubernetes.io/service-name: service-%[1]d
addressType: IPv4
ports:
- name: http
  port: 8080
  protocol: TCP
endpoints:
- addresses: [10.%[2]d.%[3]d.2]
  conditions: {ready: true}
- addresses: [10.%[2]d.%[3]d.3]
  conditions: {ready: true}
- addresses: [10.%[2]d.%[3]d.4]
  conditions: {ready: true}
`, i, i/250, i%250)
	}
	return text.String()
}

// BenchmarkScan measures one file of 5,000 Services and as many slices: at the start, with one
// changed, and with nothing changed.
func BenchmarkScan(b *testing.B) {
	dir := b.TempDir()
	path := filepath.Join(dir, "many.yaml")
	text := manyManifests(5000)
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	write(text)
	fresh := func() *directory {
		d := newDirectory(dir, slog.New(slog.DiscardHandler))
		if err := d.scan(); err != nil {
			b.Fatal(err)
		}
		if len(d.services.objects) != 5000 || len(d.endpointSlices.objects) != 5000 {
			b.Fatalf("%d Services, %d EndpointSlices", len(d.services.objects), len(d.endpointSlices.objects))
		}
		return d
	}
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			fresh()
		}
	})
	b.Run("one-change", func(b *testing.B) {
		b.ReportAllocs()
		d := fresh()
		version := d.endpointSlices.version
		other := strings.Replace(text, "addresses: [10.7.7.4]", "addresses: [10.7.7.5]", 1)
		n := 0
		for b.Loop() {
			b.StopTimer()
			write([]string{other, text}[n%2])
			n++
			b.StartTimer()
			if err := d.scan(); err != nil {
				b.Fatal(err)
			}
		}
		if d.endpointSlices.version != version+n {
			b.Fatalf("%d changes told in %d scans", d.endpointSlices.version-version, n)
		}
	})
	b.Run("no-change", func(b *testing.B) {
		b.ReportAllocs()
		write(text)
		d := fresh()
		for b.Loop() {
			if err := d.scan(); err != nil {
				b.Fatal(err)
			}
		}
	})
}
