package main

import (
	"fmt"
	"net/netip"
	"strings"
)

// The scenario: an OpenShift cluster that ran kube-proxy in iptables mode.
const (
	vip     = "172.30.15.111"
	service = vip + ":8080"
	vips    = "172.30.0.0/16"
)

// endpoints are the pods behind the Service, in the order in which they come.
var endpoints = []string{"172.17.0.2", "172.17.0.5", "172.17.0.6"}

const clientPod = "172.17.0.9"

// many is how many Services step 5 adds, and firstOfMany the first one's VIP, out of 172.30.100.0/22.
const many = 1000

var firstOfMany = netip.MustParseAddr("172.30.100.1")

// manyService is one of them.
type manyService struct {
	name     string
	vip      netip.Addr
	endpoint string
}

// manyServices lists n Services, each with a VIP of its own and one endpoint; the endpoints take turns.
func manyServices(n int) []manyService {
	all := make([]manyService, 0, n)
	addr := firstOfMany
	for i := range n {
		all = append(all, manyService{fmt.Sprintf("app-%04d", i+1), addr, endpoints[i%len(endpoints)]})
		addr = addr.Next()
	}
	return all
}

// manifestOf is one YAML file for all of them.
func manifestOf(all []manyService) string {
	var out strings.Builder
	for _, s := range all {
		fmt.Fprintf(&out, `---
apiVersion: v1
kind: Service
metadata: {namespace: many, name: %[1]s}
spec:
  clusterIP: %[2]s
  ports: [{port: 8080, protocol: TCP}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  namespace: many
  name: %[1]s-1
  labels: {kubernetes.io/service-name: %[1]s}
addressType: IPv4
ports: [{port: 8080, protocol: TCP}]
endpoints: [{addresses: [%[3]s], conditions: {ready: true}}]
`, s.name, s.vip, s.endpoint)
	}
	return out.String()
}

// iptablesMode is how many rules kube-proxy's iptables mode needs, by the figures of the original note: 2 for each Service
// and 2 or 3 for each endpoint.
func iptablesMode(services, endpoints int) (low, high int) {
	return 2*services + 2*endpoints, 2*services + 3*endpoints
}

// addr is where the Service is reached.
func (s manyService) addr() string { return netip.AddrPortFrom(s.vip, 8080).String() }
