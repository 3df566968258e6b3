package controller

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestAnEndpointThatWasSeenToGoGetsNoConnectionsFromAnIncompleteSource: it is a bad file about something
// else that makes it so. What was there before, nobody can tell.
func TestAnEndpointThatWasSeenToGoGetsNoConnectionsFromAnIncompleteSource(t *testing.T) {
	r := newRig(t)
	r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1", "10.1.0.2", "10.1.0.3"))
	r.set(service("dns", "10.96.0.11", udp), endpoints("10.1.0.1", "10.1.0.2", "10.1.0.3"))
	r.round()
	r.complete = false
	r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1", "10.1.0.2")) // 10.1.0.3 may be in the bad file
	r.set(service("dns", "10.96.0.11", udp), endpoints("10.1.0.1", "10.1.0.2"))
	r.restart()
	r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1"))
	r.set(service("dns", "10.96.0.11", udp), endpoints("10.1.0.1"))
	r.round()
	const rest = `
		add FAIRLEAD-VIP 10.96.0.10
		add FAIRLEAD-VIP 10.96.0.11
		add FAIRLEAD-SERVED 10.96.0.10,tcp:80
		add FAIRLEAD-SERVED 10.96.0.11,udp:80
		inet 10.96.0.10/32 scope host
		inet 10.96.0.11/32 scope host
	`
	r.mustHold(`
		-A -t 10.96.0.10:80 -s rr
		-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1
		-a -t 10.96.0.10:80 -r 10.1.0.2:8080 -m -w 0
		-a -t 10.96.0.10:80 -r 10.1.0.3:8080 -m -w 1
		-A -u 10.96.0.11:80 -s rr
		-a -u 10.96.0.11:80 -r 10.1.0.1:8080 -m -w 1
		-a -u 10.96.0.11:80 -r 10.1.0.2:8080 -m -w 0
		-a -u 10.96.0.11:80 -r 10.1.0.3:8080 -m -w 1` + rest)
	before := r.messages()
	r.round()
	if got := r.messages() - before; got != 0 {
		t.Errorf("nothing new cost %d messages", got)
	}
	r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1", "10.1.0.2"))
	r.round()
	if got := r.ipvs.Dump(); !strings.Contains(got, "-a -t 10.96.0.10:80 -r 10.1.0.2:8080 -m -w 1") {
		t.Errorf("the endpoint that came back:\n%s", got)
	}
	r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1"))
	r.complete = true
	r.round()
	r.drained()
	r.mustHold(`
		-A -t 10.96.0.10:80 -s rr
		-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1
		-A -u 10.96.0.11:80 -s rr
		-a -u 10.96.0.11:80 -r 10.1.0.1:8080 -m -w 1` + rest)
}

func TestAnIncompleteSourceIsTold(t *testing.T) {
	r := newRig(t)
	for _, complete := range []bool{true, false, true, false} {
		r.complete = complete
		r.log.Reset()
		r.round()
		r.round()
		want := map[bool]int{true: 0, false: 1}[complete]
		if got := strings.Count(r.log.String(), "level=WARN"); got != want {
			t.Errorf("complete %v: %d warnings:\n%s", complete, got, r.log)
		}
		if got := testutil.ToFloat64(r.c.Metrics.complete); got != float64(1-want) {
			t.Errorf("complete %v: the metric says %v", complete, got)
		}
	}
}
