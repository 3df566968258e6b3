package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/doctor"
	"github.com/fairlead-lb/fairlead/view"
)

// kubeconfigOf returns the path of a kubeconfig for a server.
func kubeconfigOf(t *testing.T, url string) string {
	t.Helper()
	return writeFile(t, fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: k, user: u}}],
clusters: [{name: k, cluster: {server: %q, insecure-skip-tls-verify: true}}], users: [{name: u, user: {token: secret}}]}`, url))
}

func askAt(t *testing.T, kubeconfig string) (doctor.Source, doctor.Answer[time.Duration]) {
	t.Helper()
	cfg := defaults(t)
	cfg.ClientConnection.Kubeconfig = kubeconfig
	return askSource(t.Context(), cfg)
}

func TestTheAPIServerIsAskedForWhatFairleadReads(t *testing.T) {
	var asked []string
	status := http.StatusOK
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.String()+" "+r.Header.Get("Authorization"))
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		if strings.HasSuffix(r.URL.Path, "/nodes") {
			w.WriteHeader(status)
			fmt.Fprint(w, "nodes is forbidden\nfor ever")
		}
	}))
	defer server.Close()
	path := kubeconfigOf(t, server.URL)
	s, clock := askAt(t, path)
	if s.Err != nil || !s.API || s.Name != "API server "+server.URL {
		t.Errorf("%+v", s)
	}
	if ahead := clock.Value.Round(time.Minute); clock.Err != nil || ahead != time.Hour {
		t.Errorf("ahead %s, %v", ahead, clock.Err)
	}
	const credentials = " Bearer secret"
	want := "/api/v1/services?limit=1" + credentials + " /apis/discovery.k8s.io/v1/endpointslices?limit=1" + credentials + " /api/v1/nodes?limit=1" + credentials
	if got := strings.Join(asked, " "); got != want {
		t.Errorf("asked %s", got)
	}
	status = http.StatusForbidden
	if s, clock = askAt(t, path); s.Status != 403 || !strings.HasSuffix(s.Request, "/api/v1/nodes?limit=1") || s.Err.Error() != "403 Forbidden nodes is forbidden" || clock.Err != nil {
		t.Errorf("%+v, %+v", s, clock)
	}
}

func TestAnAPIServerThatIsNotThere(t *testing.T) {
	s, clock := askAt(t, kubeconfigOf(t, "https://"+freePorts(t, 1)[0].String()))
	if s.Status != 0 || s.Err == nil || !strings.Contains(s.Err.Error(), "connection refused") || clock.Err == nil {
		t.Errorf("%+v, %+v", s, clock)
	}
	if s, _ = askAt(t, "/no/such/file"); s.Name != "" || s.Err == nil || !strings.Contains(s.Err.Error(), "/no/such/file") {
		t.Errorf("%+v", s)
	}
}

func TestAnAPIServerThatDoesNotAnswerInTime(t *testing.T) {
	hold := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }))
	defer server.Close()
	defer close(hold)
	begin := time.Now()
	s, _ := askAt(t, kubeconfigOf(t, server.URL))
	if took := time.Since(begin); !errors.Is(s.Err, context.DeadlineExceeded) || took > 3*askLimit {
		t.Errorf("after %s: %v", took, s.Err)
	}
}

func TestADirectoryIsLookedAt(t *testing.T) {
	cfg := defaults(t)
	cfg.Source = SourceConfig{Kind: sourceDirectory, Directory: t.TempDir()}
	if s, clock := askSource(t.Context(), cfg); s.Err != nil || s.API || !errors.Is(clock.Err, doctor.ErrNoClock) {
		t.Errorf("%+v, %+v", s, clock)
	}
	cfg.Source.Directory = filepath.Join(cfg.Source.Directory, "gone")
	if s, _ := askSource(t.Context(), cfg); s.Err == nil || !strings.Contains(s.Err.Error(), "gone") {
		t.Errorf("%+v", s)
	}
}

func TestTheDaemonIsAskedOnce(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		w.WriteHeader(map[string]int{"/livez": http.StatusServiceUnavailable}[r.URL.Path])
		fmt.Fprint(w, `{"healthy":false}`)
	}))
	defer server.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	ask := askDaemon(t.Context(), Config{HealthzBindAddress: netip.MustParseAddrPort("0.0.0.0:" + port), SocketPath: filepath.Join(t.TempDir(), "of-a-pod.sock")})
	for range 2 {
		if err := ask(); !errors.Is(err, doctor.ErrUnhealthy) || !strings.Contains(err.Error(), `503 Service Unavailable {"healthy":false}`) {
			t.Error(err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	if err := askDaemon(t.Context(), Config{HealthzBindAddress: freePorts(t, 1)[0]})(); !errors.Is(err, doctor.ErrNotRunning) {
		t.Error(err)
	}
	if askDaemon(t.Context(), Config{}) != nil {
		t.Error("nobody listens, and somebody is asked")
	}
}

// statusSource is a daemon that tells how it is, and no more.
type statusSource struct {
	view.Source
	status view.Status
}

func (s statusSource) Status(context.Context) (view.Status, error) { return s.status, nil }

func TestTheDaemonIsAskedByItsSocket(t *testing.T) {
	ask := func(status view.Status) error {
		path := filepath.Join(t.TempDir(), "fairlead.sock")
		if err := askDaemon(t.Context(), Config{SocketPath: path})(); !errors.Is(err, doctor.ErrNotRunning) || !strings.Contains(err.Error(), path) {
			t.Errorf("before there is a socket: %v", err)
		}
		listener, err := listenUnix(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: view.Handler(statusSource{status: status})}
		go func() { _ = server.Serve(listener) }() // until it is closed
		defer server.Close()
		return askDaemon(t.Context(), Config{SocketPath: path})()
	}
	if err := ask(view.Status{Healthy: true}); err != nil {
		t.Error(err)
	}
	if err := ask(view.Status{Eligible: true}); !errors.Is(err, doctor.ErrUnhealthy) || !strings.Contains(err.Error(), "NOT HEALTHY; the last round ended never; last error: none") {
		t.Error(err)
	}
}

func TestDoctorCommand(t *testing.T) {
	status, stdout, stderr := command("doctor", "--list")
	if status != 0 || stderr != "" || strings.Count(stdout, "\n") != len(doctor.Checks()) || !strings.HasPrefix(stdout, "privileges        whether ") {
		t.Errorf("status %d, stdout\n%s\nstderr %s", status, stdout, stderr)
	}
	var checks []struct{ Name, About string }
	if _, stdout, _ = command("doctor", "--list", "-o", "json"); json.Unmarshal([]byte(stdout), &checks) != nil || len(checks) != len(doctor.Checks()) || checks[0].About == "" {
		t.Error(stdout)
	}
	if status, _, stderr = command("doctor", "-o", "xml"); status != 1 || !strings.Contains(stderr, `"xml" is not text or json`) {
		t.Errorf("status %d, %s", status, stderr)
	}
}
