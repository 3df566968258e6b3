package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
)

// plannedNode has the addresses that the test's namespace has.
const plannedNode = `apiVersion: v1
kind: Node
metadata: {name: here}
status: {addresses: [{type: InternalIP, address: 10.0.0.1}, {type: InternalIP, address: "fd00::1"}]}
`

const plannedToo = `---
apiVersion: v1
kind: Service
metadata: {name: dns, namespace: ns}
spec: {clusterIPs: [10.96.0.53, "fd00:96::53"], ipFamilies: [IPv4, IPv6], sessionAffinity: ClientIP, ports: [{name: u, port: 53, protocol: UDP}, {name: s, port: 53, protocol: SCTP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: dns-4, namespace: ns, labels: {kubernetes.io/service-name: dns}}
addressType: IPv4
ports: [{name: u, port: 53, protocol: UDP}, {name: s, port: 53, protocol: SCTP}]
endpoints: [{addresses: [10.1.0.1], nodeName: here}, {addresses: [10.1.0.2], nodeName: there}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: dns-6, namespace: ns, labels: {kubernetes.io/service-name: dns}}
addressType: IPv6
ports: [{name: u, port: 53, protocol: UDP}, {name: s, port: 53, protocol: SCTP}]
endpoints: [{addresses: ["fd00:1::1"], nodeName: here}]
---
apiVersion: v1
kind: Service
metadata: {name: few, namespace: ns}
spec: {type: LoadBalancer, clusterIP: 10.96.0.11, loadBalancerSourceRanges: [192.0.2.0/24], ports: [{port: 80}]}
status: {loadBalancer: {ingress: [{ip: 203.0.113.2}]}}
---
apiVersion: v1
kind: Service
metadata: {name: none, namespace: ns}
spec: {clusterIP: 10.96.0.12, internalTrafficPolicy: Local, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: none, namespace: ns, labels: {kubernetes.io/service-name: none}}
addressType: IPv4
ports: [{port: 80}]
endpoints: [{addresses: [10.1.0.9], nodeName: there}]
`

// TestAPlanThatAShellCarriesOutLeavesNothingToPlan runs the lines of each plan, and of the next one, after each
// change of what is wanted. It is not this program that writes to the kernel.
func TestAPlanThatAShellCarriesOutLeavesNothingToPlan(t *testing.T) {
	kerneltest.Need(t)
	dir := t.TempDir()
	for name, value := range map[string]string{
		"SOURCE_KIND": "directory", "SOURCE_DIRECTORY": dir, "HOSTNAMEOVERRIDE": "here", "CLUSTERCIDR": "10.1.0.0/16,fd00:1::/64",
		"NODEPORTADDRESSES": "192.0.2.0/24",
	} {
		t.Setenv("FAIRLEAD_"+name, value)
	}
	if err := os.WriteFile(filepath.Join(dir, "node.yaml"), []byte(plannedNode), 0o600); err != nil {
		t.Fatal(err)
	}
	const foreign = "-A -f 7 -s rr\n-a -f 7 -r 10.9.9.9:0 -m -w 3\n-A -t 198.51.100.1:443 -s sh\n-a -t 198.51.100.1:443 -r 10.9.9.9:443 -m -w 1\n"
	for line := range strings.Lines(foreign) {
		kerneltest.Run(t, "ipvsadm", strings.Fields(line)...)
	}
	for _, step := range []struct {
		name, manifests string
		environ         map[string]string
		want, wantNot   string
	}{
		{"everything", planned + plannedToo, nil, "ipvsadm -a --sctp-service [fd00:96::53]:53 -r [fd00:1::1]:53 -m -w 1 # ns/dns", " -D "},
		{"another scheduler", planned + plannedToo, map[string]string{"IPVS_SCHEDULER": "mh", "IPVS_SCHEDULERFLAGS": "mh-fallback,mh-port"},
			"ipvsadm -E -t 10.96.0.10:80 -s mh -b mh-fallback,mh-port", "ipvsadm -A"},
		{"timeouts and rules", planned + plannedToo, map[string]string{"IPVS_TCPTIMEOUT": "800s", "IPTABLES_MASQUERADEBIT": "13", "CLUSTERCIDR": "10.1.0.0/17"},
			"ipvsadm --set 800 0 0", "ipset create"},
		{"routes", planned + plannedToo, map[string]string{"DUMMYINTERFACE_BIND": "route"}, "ip -6 route replace local fd00:96::53 dev kube-ipvs0 table local proto 70 metric 1024 src fd00::1", "ipvsadm -A"},
		{"a Service less", planned, nil, "ipvsadm -D -u 10.96.0.53:53", "ipset create"},
		{"none", "", nil, "-w 0", "198.51.100.1"},
	} {
		if err := os.WriteFile(filepath.Join(dir, "all.yaml"), []byte(step.manifests), 0o600); err != nil {
			t.Fatal(err)
		}
		for name, value := range step.environ {
			t.Setenv("FAIRLEAD_"+name, value)
		}
		status, lines, complaints := command("plan")
		if status != statusPlanned || !strings.Contains(lines, step.want) || strings.Contains(lines, step.wantNot) {
			t.Errorf("%s: status %d, want %q and not %q in\n%s%s", step.name, status, step.want, step.wantNot, lines, complaints)
		}
		sh := exec.Command("sh", "-e")
		sh.Stdin = strings.NewReader(lines)
		if out, err := sh.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s\nof\n%s", step.name, err, out, lines)
		}
		if status, lines, complaints = command("plan"); status != 0 || !strings.HasSuffix(lines, "# Nothing to do: the kernel is as it should be.\n") {
			t.Fatalf("%s: then there is still, with status %d,\n%s%s", step.name, status, lines, complaints)
		}
		table := kerneltest.Run(t, "ipvsadm", "-Sn")
		for line := range strings.Lines(foreign) {
			if !strings.Contains(table, line) {
				t.Errorf("%s: %q of somebody else's is gone:\n%s", step.name, line, table)
			}
		}
	}
	// Datagrams have no end to wait for; what is known by its entry as Fairlead's keeps it while it drains.
	if sets := kerneltest.Run(t, "ipset", "save", "FAIRLEAD-6-SERVED"); strings.Contains(sets, "udp:") || !strings.Contains(sets, "sctp:") {
		t.Errorf("in the end:\n%s", sets)
	}
}
