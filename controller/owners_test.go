package controller

import (
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// hostHas sets the host's own addresses.
func (r *rig) hostHas(addrs ...string) {
	r.c.options.Host.Addresses = func() (list []netip.Addr, err error) {
		for _, addr := range addrs {
			list = append(list, netip.MustParseAddr(addr))
		}
		return list, nil
	}
	r.c.factsChanged()
}

// nodeOfName makes a Node with one address.
func nodeOfName(name, addr string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{
		Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: addr}},
	}}
}

// TestAClusterIPThatIsTheNodesOwnIsRefused: bound, it would leave of the node nothing but the Service.
func TestAClusterIPThatIsTheNodesOwnIsRefused(t *testing.T) {
	const addr = "203.0.113.7"
	for _, c := range []struct {
		name       string
		come, goes func(*rig)
		whose      string // "": it is served all the same
	}{
		{"the host's", func(r *rig) { r.hostHas("192.0.2.1", addr) }, func(r *rig) { r.hostHas("192.0.2.1") }, "this node"},
		{"the Node's", func(r *rig) { r.world.this = nodeOfName(nodeName, addr) },
			func(r *rig) { r.world.this = nodeOfName(nodeName, "192.0.2.1") }, "this node"},
		{"the API server's", func(r *rig) { r.world.slices[apiServer()] = append(r.world.slices[apiServer()], endpoints(addr)) },
			func(r *rig) { delete(r.world.slices, apiServer()) }, "the API server"},
		{"another node's, so it says", func(r *rig) { r.world.others = append(r.world.others, nodeOfName("other", addr)) },
			func(r *rig) { r.world.others = nil }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			name := r.set(service("web", addr), endpoints("10.1.0.1"))
			r.set(service("else", "10.96.0.10"), endpoints("10.1.0.1"))
			r.round()
			both := r.kernel()
			change := func(edit func(*rig)) {
				edit(r)
				r.c.factsChanged()
				r.round()
				r.drained()
			}
			change(c.come)
			if got := strings.Contains(r.kernel(), addr); got != (c.whose == "") {
				t.Errorf("served: %v; the kernel holds\n%s", got, r.kernel())
			}
			want := "cluster IP " + addr + " belongs to " + c.whose
			if got := problemTexts(r, name); c.whose != "" && !strings.Contains(got, want) {
				t.Errorf("problems %q, want %s", got, want)
			}
			change(c.goes)
			r.mustHold(both)
		})
	}
}

func problemTexts(r *rig, name types.NamespacedName) string {
	var texts []string
	for _, p := range r.c.problems.of[name] {
		texts = append(texts, p.Reason+": "+p.Text)
	}
	return strings.Join(texts, "; ")
}
