package controller

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// ask returns the status, the header and the body of an answer.
func ask(h http.Handler) (code int, header http.Header, body string) {
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	return recorder.Code, recorder.Header(), recorder.Body.String()
}

func getHealth(h http.Handler) (code int, body map[string]any) {
	code, _, text := ask(h)
	_ = json.Unmarshal([]byte(text), &body)
	return code, body
}

func TestHealthTellsOfChangesThatWaitTooLong(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	waiting, any := start, false
	h := newHealth(time.Minute, nil)
	h.since = func() (time.Time, bool) { return waiting, any }
	check := func(after time.Duration, want bool, when string) {
		t.Helper()
		if _, got := h.Check(start.Add(after)); got != want {
			t.Errorf("%s: healthy is %v", when, got)
		}
	}
	check(0, false, "before the first round")
	h.finished(start, true)
	check(time.Hour, true, "an hour without changes")
	any = true
	check(59*time.Second, true, "a change waits for 59 s")
	check(61*time.Second, false, "a change waits for 61 s")
	h.started(waiting, true)
	any = false
	check(61*time.Second, false, "a round works on it for 61 s")
	h.finished(start, true)
	check(61*time.Second, true, "the round has ended")
	h.started(start, true)
	h.finished(start, false)
	check(61*time.Second, true, "the round has ended, though not all could be read")
}

// TestOneFailedReadAmongManyIsForgivenByTheNextAudit: where virtual servers are many, an audit takes several sync periods.
// A read that fails once must not have the daemon started anew before the next audit has read it.
func TestOneFailedReadAmongManyIsForgivenByTheNextAudit(t *testing.T) {
	r := newRig(t)
	kernel := &unreadableReals{Fake: r.ipvs}
	r.ipvs.Hidden = func(k ipvs.Key) bool { return k == kernel.of }
	r.c = newTestController(r.world, Kernel{IPVS: kernel, Dummyif: r.dummyif, Masq: r.masq}, r.log, func() bool { return true })
	for n := range manyServers + 1 {
		r.set(service("web"+vip(n), vip(n)), endpoints(endpoint(n)))
	}
	r.round()
	kernel.of = r.key(vip(7)+":80", ipvs.TCP)
	for end := r.now.Add(2 * r.c.auditPeriod()); r.c.readable && r.now.Before(end); {
		r.later(time.Second)
	}
	if r.c.readable {
		t.Fatal("two audits have read what cannot be read")
	}
	r.c.dirty.add(r.set(service("web"+vip(3), vip(3)), endpoints(endpoint(4))))
	r.round()
	period := r.c.options.SyncPeriod
	if _, healthy := r.c.Health.Check(time.Now().Add(3 * period)); !healthy {
		t.Error("unhealthy three sync periods after a failed read, while an audit takes two")
	}
	if _, healthy := r.c.Health.Check(time.Now().Add(5 * period)); healthy {
		t.Error("healthy five sync periods after a failed read that no audit has made up for")
	}

	kernel.of = ipvs.Key{}
	for range 4 * auditSteps {
		r.later(period / auditSteps)
	}
	if !r.c.readable {
		t.Fatal("an audit has read everything, and it still counts as unreadable")
	}
	r.c.auditCycle = 4 * period // where real servers are so many that an audit takes longer than it should
	_ = r.c.unreadable(errors.New("cannot be read"))
	if _, healthy := r.c.Health.Check(time.Now().Add(7 * period)); !healthy {
		t.Error("unhealthy seven sync periods after a failed read, while an audit takes four")
	}
	r.c.audited(time.Now().Add(100 * period))
	if r.c.auditCycle != 4*period {
		t.Errorf("an audit is believed to take %v, most of which the kernel could not be read", r.c.auditCycle)
	}
}

// TestHealthAnswersAreKubeProxys compares whole bodies, but for the current time.
func TestHealthAnswersAreKubeProxys(t *testing.T) {
	h := newHealth(time.Hour, []masq.Family{masq.IPv4, masq.IPv6})
	var waiting time.Time
	h.since = func() (time.Time, bool) { return waiting, !waiting.IsZero() }
	updated := time.Now().Add(-time.Minute).UTC()
	then, never := updated.Format(time.RFC3339Nano), "0001-01-01T00:00:00Z"
	check := func(when string, handler http.Handler, code int, healthy bool, families, eligible, lastUpdated string) {
		t.Helper()
		got, header, body := ask(handler)
		var times struct {
			CurrentTime time.Time `json:"currentTime"`
		}
		if err := json.Unmarshal([]byte(body), &times); err != nil || time.Since(times.CurrentTime) > time.Minute {
			t.Errorf("%s: %s: %v", when, body, err)
		}
		now := times.CurrentTime.Format(time.RFC3339Nano)
		if lastUpdated == "" {
			lastUpdated = now
		}
		status := fmt.Sprintf(`{"lastUpdated":%q,"healthy":%v}`, families, healthy)
		want := fmt.Sprintf(`{"lastUpdated":%q,"currentTime":%q,%s"healthy":%v,"status":{"IPv4":%s,"IPv6":%[5]s}}`+"\n",
			lastUpdated, now, eligible, healthy, status)
		if got != code || body != want {
			t.Errorf("%s: %d %swant %d %s", when, got, body, code, want)
		}
		if header.Get("Content-Type") != "application/json" || header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", when, header)
		}
	}
	const yes, no, unsaid = `"nodeEligible":true,`, `"nodeEligible":false,`, ""
	check("before the first round", h.Healthz(), 503, false, never, yes, never)
	check("before the first round", h.Livez(), 503, false, never, unsaid, never)
	h.finished(updated, true)
	check("all is well", h.Healthz(), 200, true, then, yes, "")
	check("all is well", h.Livez(), 200, true, then, unsaid, "")
	h.SetNodeEligible(false)
	check("the node is about to go", h.Healthz(), 503, true, then, no, then)
	check("the node is about to go", h.Livez(), 200, true, then, unsaid, "")
	if !h.Healthy() {
		t.Error("the node's eligibility is taken for the proxy's health")
	}
	h.SetNodeEligible(true)
	waiting = time.Now().Add(-2 * time.Hour)
	check("a change waits", h.Healthz(), 503, false, then, yes, then)
	check("a change waits", h.Livez(), 503, false, then, unsaid, then)
	h.families = []masq.Family{masq.IPv4}
	if _, body := getHealth(h.Livez()); len(body["status"].(map[string]any)) != 1 {
		t.Errorf("a node without IPv6 answers %v", body)
	}
}

// TestANodeThatIsAboutToGoIsNotEligible follows a Node from before it is registered until it comes back.
func TestANodeThatIsAboutToGoIsNotEligible(t *testing.T) {
	r := newRig(t)
	node := func(edit func(*corev1.Node)) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName}}
		edit(n)
		return n
	}
	taint := func(key string) func(*corev1.Node) {
		return func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "other"}, {Key: key}} }
	}
	now := metav1.Now()
	for _, c := range []struct {
		what string
		node *corev1.Node
		code int
	}{
		{"no Node object yet", nil, 200},
		{"a Node", node(func(*corev1.Node) {}), 200},
		{"another taint", node(taint("node.kubernetes.io/unschedulable")), 200},
		{"the autoscaler's taint", node(taint("ToBeDeletedByClusterAutoscaler")), 503},
		{"the taint is taken away", node(func(*corev1.Node) {}), 200},
		{"deleted, and waiting for its finalizers", node(func(n *corev1.Node) { n.DeletionTimestamp = &now }), 503},
		{"gone", nil, 503},
		{"still gone", nil, 503},
		{"registered again", node(func(*corev1.Node) {}), 200},
	} {
		r.world.this = c.node
		r.c.feed.factsChanged()
		r.round()
		if code, body := getHealth(r.c.Health.Healthz()); code != c.code || body["nodeEligible"] != (c.code == 200) {
			t.Errorf("%s: /healthz %d %v", c.what, code, body)
		}
		if code, body := getHealth(r.c.Health.Livez()); code != 200 || body["nodeEligible"] != nil {
			t.Errorf("%s: /livez %d %v", c.what, code, body)
		}
	}
}

// TestTrimKeepsWhatIsReadOfANode compares what is known about a Node before and after it is cached.
func TestTrimKeepsWhatIsReadOfANode(t *testing.T) {
	now := metav1.Now()
	full := func() *corev1.Node {
		return &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{
				Name: nodeName, Labels: map[string]string{corev1.LabelTopologyZone: "a"},
				Annotations: map[string]string{"other": "x"}, Finalizers: []string{"x"}, DeletionTimestamp: &now,
			},
			Spec: corev1.NodeSpec{PodCIDRs: []string{"10.244.3.0/24"}, Taints: []corev1.Taint{{Key: toBeDeleted}}},
			Status: corev1.NodeStatus{
				Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.7"}},
				Images:    []corev1.ContainerImage{{Names: []string{"x"}}},
			},
		}
	}
	for _, edit := range []func(*corev1.Node){
		func(*corev1.Node) {},
		func(n *corev1.Node) { n.DeletionTimestamp = nil },
		func(n *corev1.Node) { n.Spec.Taints = nil },
	} {
		before, object := full(), full()
		edit(before)
		edit(object)
		trimmed, err := trimNodes(object.Name)(object)
		if err != nil {
			t.Fatal(err)
		}
		want, got := nodeOf(before, nil), nodeOf(trimmed, nil)
		if !got.equal(want) || got.eligible || !slices.Equal(got.ips, []netip.Addr{netip.MustParseAddr("192.0.2.7")}) {
			t.Errorf("after trim %+v, before %+v", got, want)
		}
		if object.Status.Images != nil || object.Annotations["other"] != "" {
			t.Errorf("left: %+v", object)
		}
	}
}
