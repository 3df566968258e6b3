//go:build linux

package e2e

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// warnings are the Warning events on the Service so far.
func (s *stage) warnings(v *svc) []corev1.Event {
	s.t.Helper()
	events, err := s.api.client.CoreV1().Events(namespace).List(s.t.Context(), metav1.ListOptions{
		FieldSelector: "involvedObject.name=" + v.name + ",type=" + corev1.EventTypeWarning,
	})
	must(s.t, err)
	// The API server itself warns of a cluster IP that it has given out a moment ago, now and then.
	return slices.DeleteFunc(events.Items, func(e corev1.Event) bool { return e.ReportingController == "ipallocator-repair-controller" })
}

// warned waits for a Warning event on the Service.
func (s *stage) warned(v *svc) { s.t.Helper(); s.warnedMore(v, 0) }

// warnedMore waits for more Warning events than there were. An event that comes again is counted in the old one.
func (s *stage) warnedMore(v *svc, before int) {
	s.t.Helper()
	s.within(20*time.Second, "a Warning event on "+v.name, func() error {
		sum := 0
		for _, event := range s.warnings(v) {
			sum += int(max(1, event.Count))
		}
		if sum <= before {
			return fmt.Errorf("%d events", sum)
		}
		return nil
	})
}
