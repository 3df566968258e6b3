//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/shadow"
)

// shadowed has Fairlead say, before it has written anything, whether it would do as kube-proxy does: it would, it
// has compared most of what there is, and nothing in the kernel is another.
func (k *takeover) shadowed() {
	k.t.Helper()
	before := k.kernel()
	command := append(k.documented(docShadow, k.config()), "-o", "json")
	cmd := k.node.Command(k.t.Context(), command[0], command[1:]...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	var report shadow.Report
	if jsonErr := json.Unmarshal(out.Bytes(), &report); jsonErr != nil {
		k.t.Fatalf("fairlead run --shadow: %v\n%s\n%s", err, &out, &log)
	}
	k.t.Logf("shadow: mode %s, %d frontends of %d Services compared, %d the same, %d not compared", report.Mode, report.Compared, report.Services, report.Same, len(report.NotCompared))
	if err != nil || !report.Parity() || report.Mode != k.mode || report.Compared < 2*len(k.services) {
		k.t.Errorf("fairlead run --shadow: %v\n%s\n%s", err, &out, &log)
	}
	if diff := cmp.Diff(before, k.kernel()); diff != "" {
		k.t.Errorf("fairlead run --shadow has changed the kernel (-before +after):\n%s", diff)
	}
}

// kernel is what there is of addresses, sets' names, virtual servers and rules, without counters.
func (k *takeover) kernel() map[string]string {
	k.t.Helper()
	all := make(map[string]string)
	for _, command := range [][]string{
		{"ip", "-br", "addr"}, {"ip", "route", "show", "table", "local"}, {"ipset", "list", "-n"}, {"ipvsadm", "-Sn"},
		{"iptables-nft", "-t", "nat", "-S"}, {"ip6tables-nft", "-t", "nat", "-S"}, {"sysctl", "net.ipv4.vs"},
	} {
		out, err := k.node.Run(k.t.Context(), command[0], command[1:]...)
		if err != nil {
			out = err.Error()
		}
		all[command[0]+" "+command[len(command)-1]] = out
	}
	return all
}
