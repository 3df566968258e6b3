package controller

import (
	"encoding/json"
	"net/http"
	"time"
)

// healthAnswer is the body of /healthz and /livez, in the words and the order of kube-proxy 1.37
// (ProxyHealth in pkg/proxy/healthcheck/proxy_health.go).
type healthAnswer struct {
	LastUpdated  time.Time               `json:"lastUpdated"`
	CurrentTime  time.Time               `json:"currentTime"`
	NodeEligible *bool                   `json:"nodeEligible,omitempty"`
	Healthy      bool                    `json:"healthy"`
	Status       map[string]familyHealth `json:"status,omitempty"`
}

// familyHealth is the health of one address family. A round writes both families, so they differ in
// nothing; but who reads kube-proxy's answers expects them.
type familyHealth struct {
	LastUpdated time.Time `json:"lastUpdated"`
	Healthy     bool      `json:"healthy"`
}

// Healthz answers whether load balancers should send traffic to this node: 200 if the proxy is
// healthy and the node is eligible, else 503.
func (h *Health) Healthz() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		eligible := h.nodeEligible()
		a := h.answer(time.Now())
		a.NodeEligible = &eligible
		h.healthz(a.write(w, a.Healthy && eligible))
	})
}

// Livez answers whether the proxy is healthy, whatever becomes of the node: 200 or 503. A proxy that
// were restarted because its node is about to go would cut what is left to be served.
func (h *Health) Livez() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		a := h.answer(time.Now())
		h.livez(a.write(w, a.Healthy))
	})
}

func (h *Health) answer(now time.Time) healthAnswer {
	updated, healthy := h.Check(now)
	a := healthAnswer{
		LastUpdated: updated.UTC(), CurrentTime: now.UTC(), Healthy: healthy,
		Status: make(map[string]familyHealth),
	}
	for _, family := range h.families {
		a.Status[family.String()] = familyHealth{LastUpdated: updated.UTC(), Healthy: healthy}
	}
	return a
}

// write sends the answer. With status 200, lastUpdated is the current time, as kube-proxy has it for
// old clients that compare the two; the families' times are the true ones. It returns the status.
func (a healthAnswer) write(w http.ResponseWriter, ok bool) (status int) {
	status = http.StatusOK
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if ok {
		a.LastUpdated = a.CurrentTime
	} else {
		status = http.StatusServiceUnavailable
		w.WriteHeader(status)
	}
	// The client may have gone; nobody is left to tell.
	_ = json.NewEncoder(w).Encode(a)
	return status
}
