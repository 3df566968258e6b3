package controller

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/controller/source"
)

// startInNodeCIDR starts a daemon in mode NodeCIDR over the rig's kernel: as Run does, it sees to the
// rules before it knows the Node.
func (r *rig) startInNodeCIDR() {
	o := r.c.options
	o.NodeCIDR = true
	o.Masq.Pods.CIDRs = nil
	r.c = New(source.Source{Complete: func() bool { return true }}, Kernel{IPVS: r.ipvs, Dummyif: r.dummyif, Masq: r.masq}, o, r.c.log)
	r.c.objects, r.c.beside = r.world, atOnce
	if err := r.c.resync(r.now); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) setNode(node *corev1.Node) {
	r.world.this = node
	r.c.feed.factsChanged()
	r.round()
}

func nodeWithPods(cidrs ...string) *corev1.Node {
	return &corev1.Node{Spec: corev1.NodeSpec{PodCIDRs: cidrs}}
}

func TestInNodeCIDRModeARestartWritesNothing(t *testing.T) {
	r := newRig(t)
	r.startInNodeCIDR()
	if strings.Contains(r.masq.Rules(), "pods") || r.masq.RuleCount() == 0 {
		t.Fatalf("without a Node:\n%s", r.masq.Rules())
	}
	r.setNode(nodeWithPods("10.244.3.0/24"))
	before, writes := r.masq.Rules(), r.masq.Writes
	if !strings.Contains(before, "FAIRLEAD-SERVICES: from pods, source 10.244.3.0/24") {
		t.Fatalf("with a Node:\n%s", before)
	}
	mustBeSame := func(when string) {
		t.Helper()
		if r.masq.Writes != writes || r.masq.Rules() != before {
			t.Errorf("%s: %d writes; rules\n%s", when, r.masq.Writes-writes, r.masq.Rules())
		}
	}
	r.startInNodeCIDR()
	mustBeSame("before the Node is known")
	r.later(2 * time.Hour)
	mustBeSame("when it is")
	if got := r.drift(); got != 0 {
		t.Errorf("drift %v", got)
	}
}

func TestInNodeCIDRModeOnlyAnotherCIDRChangesRules(t *testing.T) {
	r := newRig(t)
	r.startInNodeCIDR()
	r.setNode(nodeWithPods("10.244.3.0/24"))
	before := r.masq.Rules()
	for name, node := range map[string]*corev1.Node{
		"no Node any more": nil, "a Node without pod CIDRs": nodeWithPods(), "the same again": nodeWithPods("10.244.3.0/24"),
	} {
		r.setNode(node)
		r.later(2 * time.Hour)
		if r.masq.Rules() != before {
			t.Errorf("%s: rules\n%s", name, r.masq.Rules())
		}
	}
	messages := r.messages()
	r.setNode(nodeWithPods("10.244.9.0/24"))
	if got := r.messages() - messages; got != 0 {
		t.Errorf("another CIDR cost %d messages: nothing but the rules was to be looked at", got)
	}
	if now := r.masq.Rules(); strings.Contains(now, "10.244.3.0/24") || !strings.Contains(now, "10.244.9.0/24") || r.drift() != 0 {
		t.Errorf("drift %v, rules\n%s", r.drift(), now)
	}
}
