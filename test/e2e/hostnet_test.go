//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// TestTheNodeReachesItself lets the node be an endpoint, as it is of default/kubernetes on a control plane:
// through the VIP it reaches itself, and its own connections to itself are no business of Fairlead's.
func TestTheNodeReachesItself(t *testing.T) {
	for _, bind := range []string{"address", "route"} {
		for name, cidr := range map[string]string{"pods unknown": "", "pods known": podNets} {
			t.Run(bind+" "+name, func(t *testing.T) {
				i := newIsland(t)
				listen := i.node.Addr4.String() + ":9090"
				_, err := i.node.ServeTCP(listen, "node")
				must(t, err)
				i.write("a.yaml", strings.Replace(manifest("a", "172.30.0.1", i.node.Addr4.String()), "ports: [{port: 8080}]\nend", "ports: [{port: 9090}]\nend", 1))
				d := start(t, i.node, writeConfig(t, "source: {kind: directory, directory: "+i.dir+"}", "hostnameOverride: node1",
					"dummyInterface: {bind: "+bind+"}", fmt.Sprintf("clusterCIDR: %q", cidr)))
				d.waitReals("172.30.0.1:8080", 1)
				for _, addr := range []string{"172.30.0.1:8080", listen} {
					answer, err := lab.Ask(t.Context(), i.node.Namespace, "tcp", addr)
					if err != nil || answer.Server != "node" {
						t.Errorf("%s: %+v, %v", addr, answer, err)
					}
					t.Logf("%s: the server saw %s", addr, answer.Client)
				}
				rules, err := i.node.Run(t.Context(), "iptables", "-t", "nat", "-L", "KUBE-POSTROUTING", "-vnx")
				must(t, err)
				for line := range strings.Lines(rules) {
					if strings.Contains(line, "endpoint to itself") && strings.Fields(line)[0] != "0" {
						t.Errorf("taken for an endpoint that was balanced to itself: %s", line)
					}
				}
			})
		}
	}
}
