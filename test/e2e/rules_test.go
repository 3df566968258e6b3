//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// full is a Service that uses every feature that has something per Service in the kernel: node ports, a LoadBalancer
// address with source ranges, an external address, both Local policies, affinity, and endpoints here and elsewhere. Every
// third one has none here, and every fifth none at all.
func full(n int) string {
	high, low := n/250, 1+n%250
	endpoints := `[{addresses: [172.17.0.2], nodeName: node1}, {addresses: [172.17.1.7], nodeName: node2}]`
	switch {
	case n%5 == 4:
		endpoints = `[]`
	case n%3 == 2:
		endpoints = `[{addresses: [172.17.1.7], nodeName: node2}]`
	}
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: full-%[1]d}
spec:
  type: LoadBalancer
  clusterIP: 172.30.%[2]d.%[3]d
  externalIPs: [172.32.%[2]d.%[3]d]
  externalTrafficPolicy: Local
  internalTrafficPolicy: Local
  healthCheckNodePort: %[5]d
  sessionAffinity: ClientIP
  loadBalancerSourceRanges: [192.168.77.0/24, 203.0.113.%[3]d/32]
  ports: [{name: web, port: 8080, nodePort: %[4]d}]
status: {loadBalancer: {ingress: [{ip: 172.31.%[2]d.%[3]d}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: full-%[1]d, labels: {kubernetes.io/service-name: full-%[1]d}}
addressType: IPv4
ports: [{name: web, port: 8080}]
endpoints: %[6]s
---
`, n, high, low, 30000+n, 32000+n%700, endpoints)
}

const nodeManifest = `apiVersion: v1
kind: Node
metadata: {name: node1, labels: {topology.kubernetes.io/zone: zone-1}}
spec: {podCIDRs: [172.17.0.0/24, "fd00:17::/64"]}
status: {addresses: [{type: InternalIP, address: 192.168.77.10}, {type: InternalIP, address: "fd00:77::10"}]}
`

// TestRulesAreConstant counts the iptables rules with none, 10 and 1,000 Services that use every feature.
func TestRulesAreConstant(t *testing.T) {
	i := newIsland(t)
	i.write("node.yaml", nodeManifest)
	client, err := i.lab.AddClient("client")
	must(t, err)
	for _, prefix := range []string{"172.30.0.0/16", "172.31.0.0/16", "172.32.0.0/16"} {
		must(t, client.AddRoute(prefix, i.node))
	}
	d := start(t, i.node, writeConfig(t, "source: {kind: directory, directory: "+i.dir+"}", "hostnameOverride: node1", "clusterCIDR: "+podNets))
	counts := make(map[int]int)
	for _, n := range []int{0, 10, 1000} {
		var text strings.Builder
		for s := range n {
			text.WriteString(full(s))
		}
		i.write("full.yaml", text.String())
		d.eventually(fmt.Sprint(n, " Services served"), func() error {
			table := ipvs(t, i.node)
			served := 0
			for line := range strings.Lines(table) {
				if strings.HasPrefix(line, "-A -t 172.31.") {
					served++
				}
			}
			if served < n-2*n/5 { // those without endpoints need no virtual server
				return fmt.Errorf("%d LoadBalancer addresses are served", served)
			}
			return nil
		})
		counts[n], err = i.node.RuleCount(t.Context())
		must(t, err)
		if n > 0 {
			i.fullWorks(client, n-10) // the last of them
		}
	}
	if counts[0] == 0 || counts[0] != counts[10] || counts[0] != counts[1000] {
		t.Errorf("iptables rules by number of Services: %v", counts)
	}
}

// fullWorks asks at the frontends of one Service that has an endpoint here.
func (i *island) fullWorks(client *lab.Client, n int) {
	i.t.Helper()
	high, low := n/250, 1+n%250
	for _, addr := range []string{
		fmt.Sprintf("172.31.%d.%d:8080", high, low), fmt.Sprintf("172.32.%d.%d:8080", high, low), fmt.Sprintf("192.168.77.10:%d", 30000+n),
	} {
		answer, err := lab.Ask(i.t.Context(), client.Namespace, "tcp", addr)
		if err != nil || answer.Server != "a" || answer.Client.Addr() != client.Addr4 {
			i.t.Errorf("%s: %+v, %v; want pod a to see %s", addr, answer, err, client.Addr4)
		}
	}
}
