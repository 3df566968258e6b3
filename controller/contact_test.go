package controller

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fairlead-lb/fairlead/controller/source"
	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

func TestSilenceIsToldOnceForEachReason(t *testing.T) {
	now := time.Date(2026, 11, 25, 3, 10, 0, 0, time.Local)
	refused := apierrors.NewForbidden(schema.GroupResource{Resource: "nodes"}, "", nil)
	silent := func(kind string, seconds int) source.Contact {
		return source.Contact{Kind: kind, Answered: now.Add(-time.Hour), Since: now.Add(-time.Duration(seconds) * time.Second), Err: os.ErrDeadlineExceeded}
	}
	got := silenceNotes([]source.Contact{
		silent("Service", 60), silent("EndpointSlice", 61), {Kind: "Node", Since: now, Err: refused},
	}, now)
	want := []string{
		"the API server does not answer: asked for Services, EndpointSlices since 03:08:59 (1m1s): i/o timeout; the kernel keeps serving what it has, and changes wait",
		"the API server answers with an error: asked for Nodes since 03:10:00 (0s): " + refused.Error() + "; the kernel keeps serving what it has, and changes wait",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	asked := source.Contact{Kind: "Node", Answered: now.Add(-time.Hour), Asked: now.Add(-11 * time.Second)}
	if got := strings.Join(silenceNotes([]source.Contact{asked}, now), "\n"); !strings.Contains(got, "asked for Nodes since 03:09:49 (11s): there is no answer yet; the kernel keeps") {
		t.Errorf("packets are dropped: %q", got)
	}
	if heardOf(asked, now) {
		t.Error("packets are dropped, and the metric does not tell")
	}
	asked.Asked = now.Add(-9 * time.Second)
	if got := silenceNotes([]source.Contact{asked, {Kind: "Service"}}, now); got != nil {
		t.Errorf("all is well: %q", got)
	}
	if !heardOf(asked, now) {
		t.Error("all is well, and the metric does not tell")
	}
}

// journal is a log that is written and read by several goroutines.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// TestAnAPIServerThatForbidsShows runs a controller whose API server refuses all, and then nothing but lists what is
// not there: status, metrics and log say so, and no more of it when it is over.
func TestAnAPIServerThatForbidsShows(t *testing.T) {
	var empty atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case !empty.Load():
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"nobody may"}`))
		case r.URL.Query().Has("sendInitialEvents"):
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`))
		case r.URL.Query().Has("watch"):
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		default:
			kind := map[string]string{"services": `"v1","kind":"Service`, "nodes": `"v1","kind":"Node`, "endpointslices": `"discovery.k8s.io/v1","kind":"EndpointSlice`}[filepath.Base(r.URL.Path)]
			_, _ = w.Write([]byte(`{"apiVersion":` + kind + `List","metadata":{"resourceVersion":"7"},"items":[]}`))
		}
	}))
	t.Cleanup(func() { server.CloseClientConnections(); go server.Close() })
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters: [{name: x, cluster: {server: '" + server.URL + "'}}]\n" +
		"contexts: [{name: x, context: {cluster: x, user: x}}]\nusers: [{name: x, user: {}}]\n"
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := source.Connection{Kubeconfig: kubeconfig, QPS: 100, Burst: 100}.Client()
	if err != nil {
		t.Fatal(err)
	}
	log := new(journal)
	c := New(source.Kubernetes(client, nodeName, false), Kernel{IPVS: ipvs.NewFake(), Dummyif: dummyif.NewFake(), Masq: masq.NewFake()}, Options{
		NodeName: nodeName, Scheduler: "rr", SyncPeriod: time.Minute, Masq: masq.Options{MasqueradeBit: 14, Marks: testMarks},
	}, slog.New(slog.NewTextHandler(log, nil)))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-ended //nolint:errcheck // other tests look at how it ends
	})
	notes := func() string {
		s, err := c.Status(ctx)
		if err != nil {
			t.Error(err)
		}
		return strings.Join(s.Notes, "\n")
	}
	const refusal = "the API server answers with an error: asked for Services, EndpointSlices, Nodes since "
	eventually(t, func() bool { return strings.Contains(notes(), refusal) && strings.Contains(notes(), "): nobody may; ") }, notes)
	if got := gauges(t, c); got != "EndpointSlice=0 Node=0 Service=0 " {
		t.Errorf("fairlead_source_connected: %s", got)
	}
	s, err := c.Status(ctx)
	if err != nil || len(s.Contacts) != 3 || s.Contacts[0].Connected || s.Contacts[0].Since == nil || s.Contacts[0].Answered != nil || s.Contacts[0].Error != "nobody may" {
		t.Errorf("contacts %+v, %v", s.Contacts, err)
	}
	empty.Store(true)
	eventually(t, func() bool { return notes() == "" }, notes)
	if got := gauges(t, c); got != "EndpointSlice=1 Node=1 Service=1 " {
		t.Errorf("fairlead_source_connected: %s", got)
	}
	for words, n := range map[string]int{"the API server answers with an error; the kernel keeps": 3, "the API server answers again": 3} {
		if got := strings.Count(log.String(), words); got != n {
			t.Errorf("%q is logged %d times, want %d:\n%s", words, got, n, log)
		}
	}
}

// gauges returns fairlead_source_connected, by kind.
func gauges(t *testing.T, c *Controller) (text string) {
	t.Helper()
	families, err := c.Metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "fairlead_source_connected" {
			continue
		}
		for _, m := range f.GetMetric() {
			text += m.GetLabel()[0].GetValue() + "=" + map[float64]string{0: "0", 1: "1"}[m.GetGauge().GetValue()] + " "
		}
	}
	return text
}
