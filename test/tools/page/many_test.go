package page

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/memory"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/fairlead-lb/fairlead/controller"
	"github.com/fairlead-lb/fairlead/controller/source"
	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/view"
)

// manifest is a Service with one endpoint.
func manifest(namespace, name, vip, endpoint string) string {
	return fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: %[2]s, namespace: %[1]s}, spec: {clusterIP: %[3]s, clusterIPs: [%[3]s], ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: %[2]s-1, namespace: %[1]s, labels: {kubernetes.io/service-name: %[2]s}}, addressType: IPv4, ports: [{port: 80}], endpoints: [{addresses: [%[4]s]}]}
---
`, namespace, name, vip, endpoint)
}

// controlled is a controller as the page knows it, which does not ask for owners.
type controlled struct{ *controller.Controller }

func (controlled) Owners(context.Context) ([]view.Owner, error) { return nil, errors.ErrUnsupported }

// daemon is the real controller on a kernel in memory, with a folder of manifests.
func daemon(t *testing.T, folder string) view.Source {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	src, err := source.Directory(folder, log)
	if err != nil {
		t.Fatal(err)
	}
	c := controller.New(src, controller.Kernel{IPVS: ipvs.NewFake(), Dummyif: dummyif.NewFake(), Masq: masq.NewFake()},
		controller.Options{NodeName: "worker-3", Scheduler: "rr", SyncPeriod: 30 * time.Second}, log)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return controlled{c}
}

func write(t *testing.T, folder, name, text string) {
	t.Helper()
	hidden := filepath.Join(folder, "."+name)
	if err := os.WriteFile(hidden, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(hidden, filepath.Join(folder, name)); err != nil {
		t.Fatal(err)
	}
}

// TestTenThousandServices uses the page of the real controller: what it costs does not grow with their number, and
// it shows a change within a second.
func TestTenThousandServices(t *testing.T) {
	const many = 10_000
	folder := t.TempDir()
	var text strings.Builder
	for i := range many {
		text.WriteString(manifest(fmt.Sprintf("team-%03d", i/100), fmt.Sprintf("web-%05d", i), fmt.Sprintf("10.97.%d.%d", i/250, 1+i%250), fmt.Sprintf("10.244.%d.%d", i/250, 1+i%250)))
	}
	write(t, folder, "all.yaml", text.String())
	source := daemon(t, folder)
	running := func() bool {
		s, err := source.Status(t.Context())
		return err == nil && s.Phase == view.PhaseRunning && s.VirtualServers == view.Count{Total: many}
	}
	for deadline := time.Now().Add(2 * time.Minute); !running(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("they are not in force")
		}
	}
	b := open(t, source, newCluster(), "")
	b.until(10*time.Second, `document.getElementById("range").innerText === "1–50 of 10,000"`)

	first := func(name string) time.Duration {
		t.Helper()
		return b.until(20*time.Second, `document.querySelector("#rows a.name")?.textContent === "`+name+`"`)
	}
	eval[chromedp.Void](b, `document.getElementById("last").click()`)
	t.Logf("the last page after %s", first("team-099/web-09950"))
	eval[chromedp.Void](b, `document.getElementById("previous").click()`)
	t.Logf("the one before after %s", first("team-099/web-09900"))
	for search, name := range map[string]string{
		"web-04321": "team-043/web-04321", "team-077": "team-077/web-07700", "10.97.12.9:": "team-030/web-03008", "10.244.39.250": "team-099/web-09999",
	} {
		b.search(search)
		t.Logf("search for %s: %s", search, first(name))
		b.keys(kb.Escape)
		first("team-000/web-00000")
	}

	for i := range 3 {
		name := fmt.Sprintf("new-%d", i)
		write(t, folder, name+".yaml", manifest("aaa", name, fmt.Sprintf("10.99.0.%d", 1+i), "10.244.200.1"))
		for list := (view.Services{}); list.Total == 0; time.Sleep(5 * time.Millisecond) {
			list, _ = source.Services(b.ctx, view.Filter{Namespace: "aaa", Name: name})
		}
		took := b.until(20*time.Second, `document.querySelector("#rows").innerText.includes("`+name+`")`)
		if t.Logf("a new Service after %s, since the daemon knows it", took); took > time.Second {
			t.Errorf("a new Service is seen after %s", took)
		}
	}

	collected := get(b, func(ctx context.Context, t *chromedp.Target) (memory.GetDOMCountersResult, error) {
		return cdp.Call(ctx, t, memory.GetDOMCounters, cdp.Empty{})
	})
	elements := eval[int](b, `document.querySelectorAll("*").length`)
	if t.Logf("%d elements, %+v", elements, collected); elements > 2000 {
		t.Errorf("the document has %d elements", elements)
	}
}
