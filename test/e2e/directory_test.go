//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
	"github.com/fairlead-lb/fairlead/test/lab"
)

// island is a node with one pod and a daemon that reads manifests: no cluster.
type island struct {
	t    *testing.T
	lab  *lab.Lab
	node *lab.Node
	pod  *lab.Pod
	dir  string
}

func newIsland(t *testing.T) *island {
	t.Helper()
	kerneltest.Want(t)
	lab.NeedIPVS(t)
	i := &island{t: t, lab: lab.New(t), dir: t.TempDir()}
	var err error
	i.node, err = i.lab.AddNode("node1", "172.17.0.0/24", "fd00:17::/64")
	must(t, err)
	i.pod, err = i.node.AddPod("a", "172.17.0.2", "fd00:17::2")
	must(t, err)
	_, err = i.pod.ServeTCP("172.17.0.2:8080", "a")
	must(t, err)
	return i
}

func (i *island) config() string {
	return writeConfig(i.t, "source: {kind: directory, directory: "+i.dir+"}", "hostnameOverride: node1",
		"ipvs: {drainTimeout: 3s}") // a closed connection counts for two minutes: TIME_WAIT
}

func (i *island) write(file, text string) {
	i.t.Helper()
	must(i.t, os.WriteFile(filepath.Join(i.dir, file), []byte(text), 0o600))
}

// manifest is a Service with one TCP port and one endpoint.
func manifest(name, vip, endpoint string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec: {clusterIP: %[2]s, ports: [{port: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [%[3]s]}]
---
`, name, vip, endpoint)
}

// TestThousandServices shows that the number of iptables rules is the same with none, one and 1,000
// Services, and that all of them are served and go again.
func TestThousandServices(t *testing.T) {
	i := newIsland(t)
	d := start(t, i.node, i.config())
	counts := make(map[int]int)
	for _, n := range []int{0, 1, 1000} {
		var text strings.Builder
		for s := range n {
			text.WriteString(manifest(fmt.Sprint("many-", s), fmt.Sprintf("172.30.%d.%d", s/250, 1+s%250), "172.17.0.2"))
		}
		i.write("many.yaml", text.String())
		d.eventually(fmt.Sprint(n, " Services served"), func() error {
			if got := strings.Count(ipvs(t, i.node), "-A "); got != n {
				return fmt.Errorf("%d virtual servers", got)
			}
			return nil
		})
		var err error
		counts[n], err = i.node.RuleCount(t.Context())
		must(t, err)
	}
	if counts[0] == 0 || counts[0] != counts[1] || counts[0] != counts[1000] {
		t.Errorf("iptables rules by number of Services: %v", counts)
	}
	for _, vip := range []string{"172.30.0.1", "172.30.1.125", "172.30.3.250"} {
		if _, err := lab.Ask(t.Context(), i.node.Namespace, "tcp", vip+":8080"); err != nil {
			t.Error(err)
		}
	}
	i.write("many.yaml", "{apiVersion: v1, kind: List, items: []}")
	d.eventually("rid of them all", func() error {
		sets, err := i.node.Run(t.Context(), "ipset", "save")
		must(t, err)
		addrs, err := i.node.Run(t.Context(), "ip", "-o", "addr", "show", "dev", "kube-ipvs0")
		must(t, err)
		if table := ipvs(t, i.node); table != "" || strings.Contains(sets, "add ") || strings.Contains(addrs, "inet") {
			return fmt.Errorf("left: %d lines of ipvsadm, %d of ipset, %d of ip addr", strings.Count(table, "\n"),
				strings.Count(sets, "add "), strings.Count(addrs, "\n"))
		}
		return nil
	})
}

// TestBadInput feeds the daemon what it must survive: the rest goes on, nothing that was good is lost,
// and the log names the object.
func TestBadInput(t *testing.T) {
	i := newIsland(t)
	i.write("good.yaml", manifest("good", "172.30.0.1", "172.17.0.2"))
	d := start(t, i.node, i.config())
	d.waitReals("172.30.0.1:8080", 1)
	held, err := lab.Hold(t.Context(), i.node.Namespace, "172.30.0.1:8080")
	must(t, err)

	i.write("good.yaml", "kind: [this is\n\tnot YAML")
	i.write("ports.yaml", strings.Replace(manifest("ports", "172.30.0.2", "172.17.0.2"), "port: 8080", "port: 70000", 1))
	i.write("vip.yaml", manifest("vip", "172.30.0.999", "172.17.0.2"))
	i.write("endpoint.yaml", manifest("endpoint", "172.30.0.3", "not-an-address"))
	i.write("fqdn.yaml", strings.Replace(manifest("fqdn", "172.30.0.4", "example.com"), "IPv4", "FQDN", 1))
	i.write("family.yaml", strings.Replace(manifest("family", "172.30.0.5", "172.17.0.2"), "IPv4", "IPv6", 1))
	i.write("twice.yaml", manifest("twice", "172.30.0.1", "172.17.0.9"))
	i.write("zgood.yaml", manifest("zgood", "172.30.0.6", "172.17.0.2"))
	d.waitReals("172.30.0.6:8080", 1)
	for _, vip := range []string{"172.30.0.1", "172.30.0.6"} {
		if answer, err := lab.Ask(t.Context(), i.node.Namespace, "tcp", vip+":8080"); err != nil || answer.Server != "a" {
			t.Errorf("%s: %+v, %v", vip, answer, err)
		}
	}
	must(t, held.Ping())
	for _, name := range []string{"good.yaml", "default/ports", "default/vip", "default/endpoint", "default/fqdn", "default/family", "default/twice"} {
		d.eventually("a word about "+name, func() error {
			for line := range strings.Lines(d.log.String()) {
				if strings.Contains(line, name) && (strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR")) {
					return nil
				}
			}
			return fmt.Errorf("the log does not name it")
		})
	}
}

// TestForeignThingsStay surrounds the daemon with other people's virtual servers, addresses, rules and
// sets, lets it work and clean up, and compares.
func TestForeignThingsStay(t *testing.T) {
	i := newIsland(t)
	ctx := t.Context()
	for _, command := range []string{
		"ipvsadm -A -t 192.0.2.1:80 -s wlc",
		"ipvsadm -a -t 192.0.2.1:80 -r 172.17.0.2:8080 -m",
		"ipvsadm -A -f 7 -s rr",
		"ip link add kube-ipvs0 type dummy",
		"ip addr add 192.0.2.9/32 dev kube-ipvs0",
		"ip link set kube-ipvs0 up",
		"ipset create SOMEBODYS hash:ip",
		"ipset add SOMEBODYS 192.0.2.33",
		"iptables -t nat -N KUBE-MARK-MASQ",
		"iptables -t nat -A KUBE-MARK-MASQ -j MARK --or-mark 0x4000",
		"iptables -t nat -A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE",
		"iptables -A INPUT -s 192.0.2.66 -j DROP",
		"ip6tables -A FORWARD -s 2001:db8::/32 -j ACCEPT",
	} {
		fields := strings.Fields(command)
		_, err := i.node.Run(ctx, fields[0], fields[1:]...)
		must(t, err)
	}
	before, err := i.node.Dump(ctx)
	must(t, err)
	i.write("a.yaml", manifest("a", "172.30.0.1", "172.17.0.2"))
	config := i.config()
	d := start(t, i.node, config)
	d.waitReals("172.30.0.1:8080", 1)
	d.stop()
	i.write("a.yaml", manifest("a", "172.30.0.2", "172.17.0.2"))
	d = start(t, i.node, config)
	d.waitReals("172.30.0.2:8080", 1)
	d.eventually("rid of the old VIP", func() error {
		if table := ipvs(t, i.node); strings.Contains(table, "172.30.0.1:") {
			return fmt.Errorf("the table is\n%s", table)
		}
		return nil
	})
	d.stop()
	out, err := i.node.Run(ctx, mustEnv(t, "FAIRLEAD_TEST_BIN"), "cleanup", "--config", config)
	must(t, err)
	t.Log(out)
	after, err := i.node.Dump(ctx)
	must(t, err)
	if after != before {
		t.Errorf("before:\n%+v\nafter cleanup:\n%+v", before, after)
	}
	if out, err := i.node.Run(ctx, mustEnv(t, "FAIRLEAD_TEST_BIN"), "cleanup", "--config", config); err != nil {
		t.Errorf("a second cleanup: %v\n%s", err, out)
	}
}

// TestDriftIsHealed breaks the kernel state behind the daemon's back.
func TestDriftIsHealed(t *testing.T) {
	i := newIsland(t)
	i.write("a.yaml", manifest("a", "172.30.0.1", "172.17.0.2"))
	config := writeConfig(t, "source: {kind: directory, directory: "+i.dir+"}", "ipvs: {syncPeriod: 2s}")
	d := start(t, i.node, config)
	d.waitReals("172.30.0.1:8080", 1)
	healthy, err := i.node.Dump(t.Context())
	must(t, err)
	for _, command := range []string{
		"ipvsadm -C",
		"ipvsadm -d -t 172.30.0.1:8080 -r 172.17.0.2:8080",
		"ip link del kube-ipvs0",
		"ip addr del 172.30.0.1/32 dev kube-ipvs0",
		"ipset flush FAIRLEAD-SERVED",
		"iptables -t nat -F",
		"iptables -F FAIRLEAD-INPUT",
	} {
		fields := strings.Fields(command)
		_, err := i.node.Run(t.Context(), fields[0], fields[1:]...)
		must(t, err)
		d.eventually("healed after "+command, func() error {
			now, err := i.node.Dump(t.Context())
			must(t, err)
			if now != healthy {
				return fmt.Errorf("now:\n%+v\nwant:\n%+v", now, healthy)
			}
			return nil
		})
	}
}
