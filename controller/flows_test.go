package controller

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/fairlead-lb/fairlead/conntrack"
)

// passes runs a round and returns how often the table of connections was read.
func (r *rig) passes() int {
	before := r.flows.Passes
	r.round()
	return r.flows.Passes - before
}

func (r *rig) wantPasses(what string, want int) {
	r.t.Helper()
	if got := r.passes(); got != want {
		r.t.Errorf("%s: %d passes, want %d", what, got, want)
	}
}

// flow is a UDP client's that was balanced to an endpoint.
func (r *rig) flow(client, frontend, endpoint string) conntrack.Flow {
	return conntrack.Flow{
		Protocol: conntrack.UDP,
		Orig:     conntrack.Tuple{Source: r.real(client), Destination: r.real(frontend)},
		Reply:    conntrack.Tuple{Source: r.real(endpoint), Destination: r.real(client)},
	}
}

// TestTheTableOfConnectionsIsReadOnceARound at most, and only where UDP clients may have to be told.
func TestTheTableOfConnectionsIsReadOnceARound(t *testing.T) {
	r := newRig(t)
	r.wantPasses("nothing", 0)
	tcp := func(n int, addrs ...string) { r.set(service(fmt.Sprint("tcp", n), vip(n)), endpoints(addrs...)) }
	dns := func(n int, addrs ...string) {
		r.set(service(fmt.Sprint("udp", n), vip(1000+n), udp, nodePort(int32(30000+n))), endpoints(addrs...))
	}
	for n := range 10 {
		tcp(n, "10.1.0.1", "10.1.0.2")
	}
	r.wantPasses("TCP Services come", 0)
	for n := range 10 {
		tcp(n, "10.1.0.2")
	}
	r.wantPasses("endpoints of TCP go", 0)
	for n := range 10 {
		dns(n)
	}
	r.wantPasses("UDP Services without endpoints come", 0)
	for n := range 10 {
		dns(n, "10.1.0.1", "10.1.0.2")
	}
	r.wantPasses("the first endpoints of ten Services come", 1)
	r.wantPasses("nothing more", 0)
	for n := range 10 {
		dns(n, "10.1.0.1", "10.1.0.2", "10.1.0.3")
	}
	r.wantPasses("an endpoint comes to others", 0)
	for n := range 10 {
		dns(n, "10.1.0.1", "10.1.0.3")
	}
	r.wantPasses("an endpoint of ten Services goes", 1)
	dns(0)
	r.wantPasses("the last endpoints go", 1)
	r.remove(named("udp1"))
	r.wantPasses("a Service goes", 1)
	for n := range 10 {
		r.remove(named(fmt.Sprint("tcp", n)))
	}
	r.wantPasses("TCP Services go", 0)
	r.later(2 * time.Hour)
	r.wantPasses("an audit", 0)
}

// TestStaleFlowsAreLookedForAtTheStart: who knows what happened before it. Not before all is written.
func TestStaleFlowsAreLookedForAtTheStart(t *testing.T) {
	r := newRig(t)
	for n := range 3 * portionSize {
		r.set(service(fmt.Sprint("udp", n), vip(n), udp), endpoints(endpoint(n)))
	}
	r.flows.Passes = 0
	r.complete = true
	r.restart()
	if r.flows.Passes != 1 {
		t.Errorf("%d passes at the start, want 1", r.flows.Passes)
	}
	r.wantPasses("afterwards", 0)
}

// TestExactlyTheFlowsOfEndpointsThatServeNoMoreAreDeleted, at each address of the port.
func TestExactlyTheFlowsOfEndpointsThatServeNoMoreAreDeleted(t *testing.T) {
	r := newRig(t)
	dns := func(addrs ...string) {
		r.set(service("dns", "10.96.0.10", udp, loadBalancer("203.0.113.1"), nodePort(30053)), endpoints(addrs...))
	}
	dns("10.1.0.1", "10.1.0.2")
	r.round()
	stale := []conntrack.Flow{
		r.flow("10.1.0.9:1", "10.96.0.10:80", "10.1.0.1:8080"),
		r.flow("198.51.100.9:2", "203.0.113.1:80", "10.1.0.1:8080"),
		r.flow("198.51.100.9:3", "192.0.2.1:30053", "10.1.0.1:8080"),
	}
	stays := []conntrack.Flow{
		r.flow("10.1.0.9:4", "10.96.0.10:80", "10.1.0.2:8080"),
		r.flow("10.1.0.9:5", "10.96.0.99:80", "10.1.0.1:8080"),
		r.flow("10.1.0.9:6", "10.1.0.1:8080", "10.1.0.1:8080"),
	}
	r.flows.Add(append(stale, stays...)...)
	dns("10.1.0.2", "10.1.0.3")
	r.round()
	if got, want := r.flows.Dump(), conntrack.NewFake(stays...).Dump(); got != want {
		t.Errorf("left:\n%s\nwant:\n%s", got, want)
	}
	if got := testutil.ToFloat64(r.c.Metrics.flows); got != 3 {
		t.Errorf("the metric says %v", got)
	}
	dns()
	r.round()
	if text := r.flows.Dump(); strings.Contains(text, "sport=4") || !strings.Contains(text, "sport=5") {
		t.Errorf("no endpoint is left, and of the flows:\n%s", text)
	}
}

// TestFlowsOfALocalServiceMayLeadToAnyOfItsEndpoints: to a local one from outside, to all from pods.
func TestFlowsOfALocalServiceMayLeadToAnyOfItsEndpoints(t *testing.T) {
	r := newRig(t)
	svc := service("dns", "10.96.0.10", udp, loadBalancer("203.0.113.1"), externalLocal, internalLocal)
	r.set(svc, here(endpoints("10.1.0.1", "10.1.0.2")), endpoints("10.1.0.3"))
	r.round()
	r.flows.Add(
		r.flow("198.51.100.9:1", "203.0.113.1:80", "10.1.0.1:8080"),
		r.flow("10.1.0.9:2", "203.0.113.1:80", "10.1.0.3:8080"),
		r.flow("10.1.0.9:3", "203.0.113.1:80", "10.1.0.4:8080"),
		r.flow("10.1.0.9:4", "10.96.0.10:80", "10.1.0.1:8080"),
	)
	r.set(svc, here(endpoints("10.1.0.1")), endpoints("10.1.0.3"))
	r.wantPasses("a local endpoint goes", 1)
	for port, stays := range map[string]bool{"sport=1 ": true, "sport=2 ": true, "sport=3 ": false, "sport=4 ": true} {
		if strings.Contains(r.flows.Dump(), port) != stays {
			t.Errorf("%s stays: want %v; left:\n%s", port, stays, r.flows.Dump())
		}
	}
}

// TestFlowsThatCannotBeDeletedAreTriedAgain and so are those whose endpoint is still in the kernel: the
// next packet would only bring them back.
func TestFlowsThatCannotBeDeletedAreTriedAgain(t *testing.T) {
	r := newRig(t)
	dns := func(addrs ...string) { r.set(service("dns", "10.96.0.10", udp), endpoints(addrs...)) }
	stale := r.flow("10.1.0.9:1", "10.96.0.10:80", "10.1.0.1:8080")
	dns("10.1.0.1", "10.1.0.2")
	r.round()

	r.flows.Add(stale)
	r.flows.Fail = func(conntrack.Flow) error { return errors.New("the table is busy") }
	dns("10.1.0.2")
	r.wantPasses("refused", 1)
	if !strings.Contains(r.log.String(), "the table is busy") {
		t.Errorf("the log does not say why:\n%s", r.log)
	}
	r.flows.Fail = nil
	r.wantPasses("the retry", 1)
	if text := r.flows.Dump(); text != "" {
		t.Errorf("left: %s", text)
	}
	r.wantPasses("all is done", 0)

	dns("10.1.0.1", "10.1.0.2")
	r.round()
	r.flows.Add(stale)
	r.refuse("-d -u 10.96.0.10:80 -r 10.1.0.1:8080")
	dns("10.1.0.2")
	r.round()
	r.flows.Add(stale) // the next packet
	r.refuse("")
	r.later(lastRetry)
	if text := r.flows.Dump(); text != "" {
		t.Errorf("the endpoint has gone with the second try, and its flow is there: %s", text)
	}
	r.wantPasses("all is done", 0)
}

// TestFlowsWaitForACompleteSource: what has not been read yet may be an endpoint.
func TestFlowsWaitForACompleteSource(t *testing.T) {
	r := newRig(t)
	r.set(service("dns", "10.96.0.10", udp), endpoints("10.1.0.1"))
	r.round()
	flow := r.flow("10.1.0.9:1", "10.96.0.10:80", "10.1.0.1:8080")
	r.flows.Add(flow)
	r.complete = false
	r.remove(named("dns"))
	r.round()
	if text := r.flows.Dump(); text == "" {
		t.Error("deleted, though the endpoint still serves")
	}
	r.complete = true
	r.round()
	if text := r.flows.Dump(); text != "" {
		t.Errorf("left: %s", text)
	}
}
