//go:build linux

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// fault is something that goes wrong in clusters, the command that names its cause, and words of what that says.
type fault struct {
	number  int
	name    string
	command string // as in docs/operations.md
	words   []string
}

// known is the fault by its last words, where the first ones are also said when all is well.
func (f fault) known() fault {
	f.words = f.words[len(f.words)-1:]
	return f
}

// faults is the table of docs/operations.md. TestFaults makes each fault, and finds the words in what the command says.
var faults = []fault{
	{1, "no endpoints", "fairlead explain NAMESPACE/NAME", []string{"no EndpointSlice of this Service has an address", "connections are refused"}},
	{2, "not ready", "fairlead explain NAMESPACE/NAME", []string{"OUT: not ready", "no endpoint can be used: connections are refused"}},
	{3, "wrong zone", "fairlead explain NAMESPACE/NAME", []string{"OUT: ready, but hinted for zone zone-2; this node is in zone zone-1"}},
	{4, "Local without local", "fairlead explain NAMESPACE/NAME", []string{"externalTrafficPolicy Local, and no usable endpoint on this node: connections from outside are dropped", "on node node2, not on this one"}},
	{5, "source range", "fairlead explain NAMESPACE/NAME", []string{"loadBalancerSourceRanges admit 203.0.113.0/24 to the load balancer's IP; others are dropped"}},
	{6, "missing module", "fairlead doctor --config /etc/fairlead/config.yaml", []string{"modules", "ip_vs_sed"}},
	{7, "foreign flush", "fairlead status", []string{"were changed by somebody else and put right"}},
	{8, "kube-proxy still running", "fairlead status", []string{"kube-proxy", "runs on this node, too"}},
	{9, "conntrack full", "fairlead doctor --config /etc/fairlead/config.yaml", []string{"connections are tracked", "new connections are dropped when it is full"}},
	{10, "wrong iptables variant", "fairlead doctor --config /etc/fairlead/config.yaml", []string{"drops by default, and Fairlead's rule that lets answers pass is in the variant"}},
	{11, "refused address", "fairlead explain NAMESPACE/NAME", []string{"belongs to this node and is not taken away"}},
	{12, "duplicate VIP", "fairlead explain ADDRESS:PORT", []string{"lost to Service", "which wants it, too"}},
	{13, "bad annotation", "fairlead explain NAMESPACE/NAME", []string{"fairlead.io/scheduler", "is none of"}},
	{14, "API server away", "fairlead status", []string{"the API server does not answer", "the kernel keeps serving what it has"}},
	{15, "stuck drain", "fairlead get endpoints --state draining", []string{"draining until", "at the latest"}},
	{16, "firewall", "fairlead doctor --config /etc/fairlead/config.yaml", []string{"drops by default, and IPVS comes", "what no rule of yours accepts reaches no"}},
}

// TestOperationsHasTheFaults holds the table of docs/operations.md to the one that is tested.
func TestOperationsHasTheFaults(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	must(t, err)
	_, rest, found := strings.Cut(string(text), "<!-- faults -->")
	table, _, closed := strings.Cut(rest, "<!-- /faults -->")
	if !found || !closed {
		t.Fatal("docs/operations.md has no table of faults")
	}
	var rows []string
	for line := range strings.Lines(table) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "|") {
			rows = append(rows, line)
		}
	}
	if len(rows) != len(faults)+2 {
		t.Fatalf("docs/operations.md has %d lines in its table of faults, want a head, a rule and %d", len(rows), len(faults))
	}
	for i, f := range faults {
		row := rows[i+2]
		if !strings.HasPrefix(row, fmt.Sprintf("| %d |", f.number)) || !strings.Contains(row, "| `"+f.command+"` |") {
			t.Errorf("row %d is not number %d with the command %q: %s", i+1, f.number, f.command, row)
		}
		for _, words := range f.words {
			if !strings.Contains(row, words) {
				t.Errorf("row %d does not say %q: %s", f.number, words, row)
			}
		}
	}
}
