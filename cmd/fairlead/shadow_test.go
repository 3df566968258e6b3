package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/shadow"
)

const shadowed = `apiVersion: v1
kind: Service
metadata: {name: web, namespace: ns}
spec: {type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 31999, clusterIP: 10.96.0.10, ports: [{port: 80, nodePort: 30080}]}
status: {loadBalancer: {ingress: [{ip: 203.0.113.1}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web, namespace: ns, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.1.0.1], nodeName: here}, {addresses: [10.1.0.2], nodeName: there}]
`

// TestARehearsalTellsWhatWouldBeProgrammed runs the controller over a directory of manifests and kernels in memory.
func TestARehearsalTellsWhatWouldBeProgrammed(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "web.yaml"), []byte(shadowed), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := loadConfig("", nil, []string{"FAIRLEAD_SOURCE_KIND=directory", "FAIRLEAD_SOURCE_DIRECTORY=" + dir, "FAIRLEAD_HOSTNAMEOVERRIDE=here"})
	if err != nil {
		t.Fatal(err)
	}
	for mode, skipped := range map[string]bool{modeIPVS: true, modeIPTables: false} {
		ours, err := rehearse(t.Context(), cfg, mode, time.Minute, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		both := []netip.AddrPort{netip.MustParseAddrPort("10.1.0.1:8080"), netip.MustParseAddrPort("10.1.0.2:8080")}
		theirs := make(shadow.State)
		for _, f := range []shadow.Frontend{
			{Addr: netip.MustParseAddr("10.96.0.10"), Port: 80, Protocol: ipvs.TCP},
			{Addr: netip.MustParseAddr("203.0.113.1"), Port: 80, Protocol: ipvs.TCP},
			{Addr: netip.IPv4Unspecified(), Port: 30080, Protocol: ipvs.TCP},
		} {
			theirs.Add(f, both...)
			if got := ours.Services[f]; got != "ns/web" {
				t.Errorf("%s belongs to %q", f, got)
			}
		}
		report := shadow.Compare(mode, theirs, ours)
		var text strings.Builder
		if err := report.Write(&text); err != nil {
			t.Fatal(err)
		}
		if !report.Parity() || report.Services != 1 || (len(report.NotCompared) == 2) != skipped || report.Compared+len(report.NotCompared) != 3 {
			t.Errorf("%s:\n%s", mode, &text)
		}
	}
}

// TestARehearsalDoesNotWaitForever has an API server that takes connections and never answers.
func TestARehearsalDoesNotWaitForever(t *testing.T) {
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer silent.Close()
	kubeconfig := writeFile(t, fmt.Sprintf("{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: %q}}], "+
		"contexts: [{name: c, context: {cluster: c}}]}", silent.URL))
	cfg, _, err := loadConfig("", nil, []string{"FAIRLEAD_CLIENTCONNECTION_KUBECONFIG=" + kubeconfig, "FAIRLEAD_HOSTNAMEOVERRIDE=here"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = rehearse(t.Context(), cfg, modeIPVS, 300*time.Millisecond, slog.New(slog.DiscardHandler))
	if err == nil || err.Error() != "the source has not told of all Services within 300ms" {
		t.Errorf("%v", err)
	}
}
