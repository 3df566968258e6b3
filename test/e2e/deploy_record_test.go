//go:build linux

package e2e

import (
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// recorder stands before the API server and remembers what it is asked, as rules of a role would say it.
type recorder struct {
	server *httptest.Server
	url    string // inside the node
	ca     []byte

	mu      sync.Mutex
	asked   map[string]bool // "list services", "create events"
	refused []string
}

// newRecorder starts a recorder that a node reaches. To the first watch that asks for the list with it, it
// answers as an API server that is too old for that, so that the daemon lists, too.
func newRecorder(t testing.TB, a *api, n *lab.Namespace) *recorder {
	t.Helper()
	r := &recorder{asked: map[string]bool{}}
	target, err := url.Parse(a.config.Host)
	must(t, err)
	transport, err := rest.TransportFor(rest.AnonymousClientConfig(a.config))
	must(t, err)
	proxy := &httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1,
		Rewrite:        func(p *httputil.ProxyRequest) { p.SetURL(target) },
		ModifyResponse: r.answered,
	}
	r.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.URL.Query().Has("sendInitialEvents") {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422,"message":"sendInitialEvents is forbidden"}`))
			return
		}
		proxy.ServeHTTP(w, request)
	}))
	t.Cleanup(func() { r.server.CloseClientConnections(); r.server.Close() })
	r.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.server.Certificate().Raw})
	relay, err := lab.Relay(t.Context(), n, "127.0.0.1:6443", r.server.Listener.Addr().String())
	must(t, err)
	t.Cleanup(func() { _ = relay.Close() })
	r.url = "https://127.0.0.1:6443"
	return r
}

// answered remembers a request and whether it was allowed.
func (r *recorder) answered(response *http.Response) error {
	what := ruleOf(response.Request)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked[what] = true
	if code := response.StatusCode; code == http.StatusForbidden || code == http.StatusUnauthorized {
		r.refused = append(r.refused, what+": "+response.Status)
	}
	return nil
}

// used returns what was asked so far, and what was refused.
func (r *recorder) used() (asked, refused []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.asked)), slices.Clone(r.refused)
}

// ruleOf says which right a request takes: the verb, the resource and the API group.
func ruleOf(request *http.Request) string {
	parts := strings.Split(strings.Trim(request.URL.Path, "/"), "/")
	group := ""
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		group, parts = "."+parts[1], parts[3:]
	default:
		return request.Method + " " + request.URL.Path
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	verb := map[string]string{http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete"}[request.Method]
	switch {
	case verb != "":
	case request.URL.Query().Has("watch"):
		verb = "watch"
	case len(parts) > 1:
		verb = "get"
	default:
		verb = "list"
	}
	return verb + " " + parts[0] + group
}
