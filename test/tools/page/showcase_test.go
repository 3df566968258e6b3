package page

import (
	"fmt"
	"time"

	"github.com/fairlead-lb/fairlead/view"
)

// showcase is a cluster with some of everything, for pictures.
func showcase() *cluster {
	c := newCluster()
	namespaces := []struct {
		name     string
		services []string
	}{
		{"billing", []string{"invoices", "ledger", "payments", "tax-rates"}},
		{"default", []string{"kubernetes"}},
		{"ingress", []string{"gateway"}},
		{"kube-system", []string{"kube-dns", "metrics-server"}},
		{"search", []string{"index", "query", "suggest"}},
		{"shop", []string{"cart", "catalog", "checkout", "images", "reviews", "sessions", "stock"}},
	}
	n := 0
	for _, ns := range namespaces {
		for _, name := range ns.services {
			n++
			var endpoints []string
			for i := range 1 + n*7%6 {
				endpoints = append(endpoints, fmt.Sprintf("10.244.%d.%d:8080", 1+i%4, 10+n*3+i))
			}
			c.explanations = append(c.explanations, service(ns.name, name, fmt.Sprintf("10.96.%d.%d", n*13%32, 10+n*37%240), endpoints...))
		}
	}
	c.perService = true
	c.find("kube-dns").Servers = append(c.find("kube-dns").Servers, port(c.find("kube-dns").Servers[0], "udp", "53"))
	gateway(c.find("gateway"))
	*c.find("tax-rates") = service("billing", "tax-rates", "10.96.20.161")
	reviews := c.find("reviews")
	reviews.State = view.Impaired
	reviews.Problems = []view.Problem{{Reason: "AddressNotAllowed", Text: "external IP 192.0.2.9 is another node's address"}}
	checkout(c.find("checkout"))
	now := time.Now()
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	s := &c.status
	c.written()
	s.LastSync.Ended, s.LastSync.Writes = now.Add(-9*time.Second), 4
	s.VirtualServers, s.RealServers = view.Count{Total: 26}, 71
	s.Addresses, s.Entries = view.Count{Total: 22}, view.Count{Total: 48}
	s.Draining, s.Connections = 1, 20310
	s.Drift = view.Drift{Servers: 1, Last: ago(47 * time.Minute)}
	s.Audit.Ended = ago(12 * time.Second)
	s.Problems = []view.Reason{{Reason: "AddressNotAllowed", Count: 1}}
	s.NoLocal.External = 1
	s.Recent = []view.Occurrence{
		{At: *ago(47 * time.Minute), Text: "the kernel was not as Fairlead left it; it has been put right"},
		{At: *ago(31 * time.Minute), Service: "shop/reviews", Text: "AddressNotAllowed: external IP 192.0.2.9 is another node's address"},
		{At: *ago(4 * time.Minute), Text: "the configuration file is taken over: ipvs.scheduler"},
	}
	deadline := now.Add(14*time.Minute + 20*time.Second)
	c.drains = []view.Endpoint{{Namespace: "shop", Name: "checkout", Server: "tcp 10.96.9.17:80", Real: view.Real{Address: "10.244.3.70:8080", State: view.Draining, Deadline: &deadline}}}
	return c
}

func (c *cluster) find(name string) *view.Explanation {
	for i := range c.explanations {
		if c.explanations[i].Name == name {
			return &c.explanations[i]
		}
	}
	panic(name)
}

// port returns the same virtual server at another port.
func port(s view.Server, protocol, number string) view.Server {
	s.Name = protocol + s.Name[3:len(s.Name)-2] + number
	return s
}

// gateway makes a Service one of type LoadBalancer with a Local policy.
func gateway(e *view.Explanation) {
	e.Type, e.External = "LoadBalancer", "Local"
	for _, more := range []struct{ name, kind string }{{"tcp 203.0.113.20:80", "LoadBalancer"}, {"tcp 192.0.2.13:31080", "NodePort"}, {"mark 0x50000001 IPv4", "Local"}} {
		s := e.Servers[0]
		s.Name, s.Kind = more.name, more.kind
		e.Servers = append(e.Servers, s)
	}
	for i := range e.Verdicts {
		e.Verdicts[i].Local = e.Verdicts[i].Node == "worker-1"
		e.Verdicts[i].WhyLocal = "on this node"
		if !e.Verdicts[i].Local {
			e.Verdicts[i].WhyLocal = "on another node"
		}
	}
}

// checkout has one of each kind of endpoint.
func checkout(e *view.Explanation) {
	*e = service("shop", "checkout", "10.96.9.17", "10.244.1.71:8080", "10.244.2.72:8080", "10.244.1.73:8080")
	e.Affinity = "ClientIP"
	e.Settings = []string{"drain timeout 15m0s", "scheduler wrr"}
	e.Remarks = []string{"session affinity ClientIP: one client address always meets one endpoint; test with several clients"}
	v := &e.Verdicts[2]
	v.Ready, v.Serving, v.In, v.Weight, v.Why = false, false, false, 0, "not ready, and others are"
	e.Verdicts = append(e.Verdicts, view.Verdict{Port: "http", Protocol: "TCP", Address: "10.244.3.70:8080", Node: "worker-3", Slice: "checkout-x7kq2",
		Serving: true, Terminating: true, Why: "terminating, and others are ready"})
	s := &e.Servers[0]
	config := &view.Config{Scheduler: "wrr", Persistence: 10800, Text: "-A -t 10.96.9.17:80 -s wrr -p 10800"}
	s.Desired, s.Kernel = config, config
	zero := 0
	s.Reals = append(s.Reals[:2], view.Real{Address: "10.244.3.70:8080", State: view.Draining, Kernel: &zero})
	s.Endpoints, s.InForce, s.Draining = 2, 2, 1
	for i := range e.Paths {
		e.Paths[i].Endpoints = []string{"10.244.1.71:8080", "10.244.2.72:8080"}
	}
}
