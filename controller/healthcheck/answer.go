package healthcheck

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// answer is the body of an answer, in kube-proxy's words.
type answer struct {
	Service struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"service"`
	LocalEndpoints      int64 `json:"localEndpoints"`
	ServiceProxyHealthy bool  `json:"serviceProxyHealthy"`
}

// ServeHTTP answers on any path: 200 if there are local endpoints and the proxy is healthy, else
// 503. The weight is for load balancers that spread by the number of endpoints. It takes no lock.
func (v *service) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	a := answer{LocalEndpoints: v.localEndpoints.Load(), ServiceProxyHealthy: v.servers.healthy()}
	a.Service.Namespace, a.Service.Name = v.name.Namespace, v.name.Name
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Load-Balancing-Endpoint-Weight", strconv.FormatInt(a.LocalEndpoints, 10))
	if a.LocalEndpoints <= 0 || !a.ServiceProxyHealthy {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// The client may have gone; nobody is left to tell.
	_ = json.NewEncoder(w).Encode(a)
}
