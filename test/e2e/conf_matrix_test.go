//go:build linux

package e2e

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/test/lab"
	"github.com/fairlead-lb/fairlead/view"
)

// flows is the contract's table of who reaches what: C is the cluster's endpoints, L this node's, M masqueraded. The
// columns are the policies: default, external Local, internal Local.
var flows = []struct {
	from string
	to   frontend
	want [3]string
}{
	{"pod", clusterIP, [3]string{"C", "C", "L"}},
	{"pod", nodePort, [3]string{"C M", "C", "C M"}},
	{"pod", balancer, [3]string{"C M", "C", "C M"}},
	{"pod", externalIP, [3]string{"C M", "C", "C M"}},
	{"node", clusterIP, [3]string{"C M", "C M", "L M"}},
	{"node", nodePort, [3]string{"C M", "C M", "C M"}},
	{"node", balancer, [3]string{"C M", "C M", "C M"}},
	{"node", externalIP, [3]string{"C M", "C M", "C M"}},
	{"external", clusterIP, [3]string{"C M", "C M", "L M"}},
	{"external", nodePort, [3]string{"C M", "L", "C M"}},
	{"external", balancer, [3]string{"C M", "L", "C M"}},
	{"external", externalIP, [3]string{"C M", "L", "C M"}},
}

var policies = [3]string{"default", "external Local", "internal Local"}

// matrixSetups are the contract's configurations and what differs in each. Without a detector nobody is known to be a pod:
// traffic to ClusterIPs is taken for theirs, and under external Local they are served as outsiders are.
var matrixSetups = []struct {
	name      string
	setup     setup
	different map[string]string
}{
	{"ClusterCIDR", setup{}, nil},
	{"no detector", setup{noDetector: true}, map[string]string{
		"node -> ClusterIP, default": "C", "node -> ClusterIP, external Local": "C", "node -> ClusterIP, internal Local": "L",
		"external -> ClusterIP, default": "C", "external -> ClusterIP, external Local": "C", "external -> ClusterIP, internal Local": "L",
		"pod -> NodePort, external Local": "L", "pod -> LB VIP, external Local": "L", "pod -> externalIP, external Local": "L",
	}},
	{"masqueradeAll", setup{masqueradeAll: true}, map[string]string{
		"pod -> ClusterIP, default": "C M", "pod -> ClusterIP, external Local": "C M", "pod -> ClusterIP, internal Local": "L M",
	}},
	{"InterfaceNamePrefix", setup{interfacePrefix: "veth"}, nil},
	{"NodeCIDR", setup{lines: []string{"detectLocalMode: NodeCIDR"}}, nil},
	// The device by which the caller's packets come in. The lab's pods hang on no bridge; the rule only names a device.
	{"BridgeInterface", setup{lines: []string{"detectLocalMode: BridgeInterface", "detectLocal: {bridgeInterface: veth4}"}}, nil},
	// Fairlead's other way to bind VIPs: the node's own connections have another source then.
	{"VIPs bound as routes", setup{lines: []string{"dummyInterface: {bind: route}"}}, nil},
}

// TestConformanceMatrix sends every flow of the contract's section 4 in the contract's four configurations and one of Fairlead's, by TCP and UDP over IPv4 and
// IPv6, and looks at who answers and whose address the endpoints see.
func TestConformanceMatrix(t *testing.T) {
	s := newStage(t)
	var services [3]*svc
	for i, edits := range [3][]edit{nil, {externalLocal}, {internalLocal}} {
		services[i] = s.serve(everyFrontend, edits...)
		services[i].pods(s.a, s.remote)
	}
	socket := filepath.Join(t.TempDir(), "fairlead.sock")
	for _, c := range matrixSetups {
		if _, peer := peerMode(); peer && c.setup.lines != nil {
			continue // a choice that only Fairlead has
		}
		c.setup.lines = append(slices.Clone(c.setup.lines), "socketPath: "+socket)
		s.row(c.name, func(sub *stage) {
			if s.proxy != nil {
				s.proxy.stop()
			}
			sub.proxy = c.setup.proxy(s.t, s.node, "node1", s.api.kubeconfig)
			s.proxy = sub.proxy
			sub.settle()
			used := 0
			for policy, name := range policies {
				for _, f := range flows {
					key := f.from + " -> " + string(f.to) + ", " + name
					want := f.want[policy]
					if other, ok := c.different[key]; ok {
						want = other
						used++
					}
					sub.row(key, func(s *stage) {
						s.flow(f.from, services[policy], f.to, want)
						if _, peer := peerMode(); !peer {
							s.explained(socket, f.from, services[policy], f.to, want)
						}
					})
				}
			}
			if used != len(c.different) {
				sub.t.Errorf("%d differences are of no row", len(c.different)-used)
			}
		})
	}
}

// flow checks one cell. The node has no address but its own to be seen with, masqueraded or not: never the VIP.
func (s *stage) flow(from string, v *svc, to frontend, want string) {
	s.t.Helper()
	place := map[string]place{"pod": s.pod(), "node": s.host(), "external": s.outside()}[from]
	names := []string{"a", "remote"}
	if strings.HasPrefix(want, "L") {
		names = names[:1]
	}
	sees := place.addrs
	if strings.HasSuffix(want, "M") {
		sees = []netip.Addr{s.node.Addr4, s.node.Addr6}
	}
	s.reaches(place, v, to, sees, names...)
}

// explained checks that `fairlead explain` says of one cell what the packets have shown: which endpoints, and whether they
// see the client's address.
func (s *stage) explained(socket, from string, v *svc, to frontend, want string) {
	s.t.Helper()
	list, err := view.NewClient(socket).Explain(s.t.Context(), namespace+"/"+v.name)
	must(s.t, err)
	client := map[string]string{"pod": "a pod", "node": "this node", "external": "outside"}[from]
	pods := []*lab.Pod{s.a, s.remote}
	if strings.HasPrefix(want, "L") {
		pods = pods[:1]
	}
	for _, w := range ways {
		server := w.network + " " + v.at(to, w)
		at := slices.IndexFunc(list[0].Paths, func(p view.Path) bool { return p.Server == server && p.From == client })
		if at < 0 {
			s.t.Errorf("explain does not say how %s fares at %s", client, server)
			continue
		}
		var addrs []string
		for _, pod := range pods {
			port := map[string]uint16{"tcp": 8080, "udp": 5353}[w.network]
			addr := pod.Addr4()
			if w.six {
				addr = pod.Addr6()
			}
			addrs = append(addrs, addrPort(addr, port).String())
		}
		path := list[0].Paths[at]
		slices.Sort(path.Endpoints)
		slices.Sort(addrs)
		if masqueraded := strings.HasPrefix(path.Masquerade, "masqueraded:"); !slices.Equal(path.Endpoints, addrs) || masqueraded != strings.HasSuffix(want, "M") {
			s.t.Errorf("explain says of %s at %s: %+v; want %v, %q", client, server, path, addrs, want)
		}
	}
}
