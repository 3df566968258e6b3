//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// The tests named TestTakeover swap Fairlead in where kube-proxy has run, and back, under traffic. Each
// mode is a test of its own, so that one can be run alone.

func TestTakeoverIptables(t *testing.T) { newTakeover(t, "iptables").play() }
func TestTakeoverNftables(t *testing.T) { newTakeover(t, "nftables").play() }
func TestTakeoverIPVS(t *testing.T)     { newTakeover(t, "ipvs").play() }

// TestTakeoverLegacy has kube-proxy write with the legacy variant of iptables and Fairlead with the other.
func TestTakeoverLegacy(t *testing.T) {
	k := newTakeover(t, "iptables")
	k.path = legacyPath(t)
	k.play()
}

// legacyPath is a PATH on which iptables is the legacy variant.
func legacyPath(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, family := range []string{"iptables", "ip6tables"} {
		for _, suffix := range []string{"", "-save", "-restore"} {
			must(t, os.Symlink("/usr/sbin/"+family+"-legacy"+suffix, filepath.Join(dir, family+suffix)))
		}
	}
	return dir + ":" + os.Getenv("PATH")
}

// takeover is a stage where the proxy of the first node changes.
type takeover struct {
	*stage
	mode string
	path string // of kube-proxy, where it is not ours

	services []*svc
	stale    *svc // goes while no proxy runs
	tcp, udp []target
	guarded  target            // of those: a load balancer with source ranges
	before   map[string]string // rules of others, by program
}

func newTakeover(t testing.TB, mode string) *takeover {
	t.Helper()
	k := &takeover{stage: newStage(t), mode: mode}
	for i := range 20 {
		k.services = append(k.services, k.serveKind(i))
	}
	k.stale = k.serve(nil)
	k.api.endpoints(k.stale.name, k.a, k.b)
	return k
}

// serveKind makes the i-th Service: each of the four kinds of frontend in turn, with what changes the rules.
func (k *takeover) serveKind(i int) *svc {
	kinds := [][]frontend{nil, {nodePort}, {nodePort, balancer}, {externalIP}}
	with := kinds[i%len(kinds)]
	var edits []edit
	switch i {
	case 4:
		edits = append(edits, sticky(600))
	case 5, 6:
		edits = append(edits, externalLocal)
	case 8:
		edits = append(edits, internalLocal)
	case 10:
		edits = append(edits, ranges("192.168.77.0/24", "172.17.0.0/16", "fd00::/16"))
	}
	v := k.serve(with, edits...)
	k.api.endpoints(v.name, k.a, k.b, k.c, k.remote)
	k.targets(v, with, i)
	return v
}

// targets adds the ways into a Service: the cluster IP from a pod and from the node, the others from outside.
func (k *takeover) targets(v *svc, with []frontend, i int) {
	add := func(from *lab.Namespace, f frontend) {
		w := []way{tcp4, tcp6}[i/4%2]
		to := target{from, string(f), v.at(f, w)}
		k.tcp = append(k.tcp, to)
		if f == balancer && len(v.object.Spec.LoadBalancerSourceRanges) > 0 {
			k.guarded = to
		}
		if i < 8 {
			u := []way{udp4, udp6}[i/4%2]
			k.udp = append(k.udp, target{from, string(f), v.at(f, u)})
		}
	}
	add(k.caller.Namespace, clusterIP)
	if i%4 == 0 && (k.mode != "ipvs" || i/4%2 == 0) { // in mode ipvs kube-proxy masquerades IPv6 with some VIP
		add(k.node.Namespace, clusterIP)
	}
	for _, f := range with {
		add(k.client.Namespace, f)
	}
}

// kubeProxy starts kube-proxy on the first node and waits until it serves everything.
func (k *takeover) kubeProxy() *daemon {
	k.t.Helper()
	program, args := mustEnv(k.t, "FAIRLEAD_TEST_KUBE_PROXY"), []string{"--config", writeConfig(k.t, setup{}.kubeProxy("node1", k.api.kubeconfig, k.mode)...), "--v=2"}
	switch {
	case k.path != "":
		program, args = "/usr/bin/env", append([]string{"PATH=" + k.path, program}, args...)
	case k.mode == "nftables":
		// Where it can load ip_vs, this mode begins with flushing all of IPVS (docs/migration.md).
		program, args = "unshare", append([]string{"-m", "sh", "-c", `mount -t tmpfs none /lib/modules && exec "$0" "$@"`, program}, args...)
	}
	return launch(k.t, k.node, program, args...)
}

// kill ends a proxy at once: kube-proxy leaves everything as it is in any case.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.done //nolint:errcheck // it was killed
}

// proxyLimit is how long kube-proxy may take: in mode ipvs minutes, on a machine that has nothing else to do.
const proxyLimit = 15 * time.Minute

// served waits until everything answers.
func (k *takeover) served(d *daemon) {
	k.t.Helper()
	d.limit = proxyLimit
	for _, to := range k.tcp {
		k.answers(d, to)
	}
}

func (k *takeover) answers(d *daemon, to target) {
	k.t.Helper()
	d.eventually(to.String(), func() error {
		_, err := lab.Ask(k.t.Context(), to.from, "tcp", to.addr)
		return err
	})
}

// config is Fairlead's configuration: drains are short, for the kernel remembers closed connections for minutes.
func (k *takeover) config(lines ...string) string {
	k.t.Helper()
	return writeConfig(k.t, setup{lines: append(lines, "ipvs: {drainTimeout: 5s}")}.fairlead("node1", k.api.kubeconfig)...)
}

func (k *takeover) play() {
	proxy := k.kubeProxy()
	k.served(proxy)
	k.serves() // mode ipvs writes its sets last, and they tell what is its own
	k.answers(proxy, target{k.caller.Namespace, "stale", k.stale.at(clusterIP, tcp4)})
	k.shadowed()
	k.onePort()
	k.foreign()
	proxy.kill()
	k.stale.delete()
	theirs := k.look()
	traffic := newTraffic(k.t, k.tcp, k.tcp, k.udp)
	traffic.evidence = k.connection
	traffic.more(100)
	started := time.Now()
	config := k.config()
	run := append(k.documented(docRun, config), "--log-level", "debug")
	d := launch(k.t, k.node, run[0], run[1:]...)
	d.eventually("rid of kube-proxy's state", k.nothingOfKubeProxys)
	took := time.Since(started)
	traffic.more(200)
	k.report("takeover", took, traffic.result())
	traffic.stop()
	if strings.Contains(d.log.String(), "level=ERROR") {
		k.t.Error("the daemon has met with errors")
	}
	k.unharmed()
	k.adopted(d, theirs)
	k.otherWay(k.back(d, config), config)
}

// measured is one line of docs/results/takeover.json.
type measured struct {
	Mode, Change string
	Milliseconds int64
	figures
}

// report keeps the figures where the results are collected.
func (k *takeover) report(change string, took time.Duration, f figures) {
	k.t.Helper()
	name := k.mode
	if k.path != "" {
		name += "-legacy"
	}
	line, err := json.Marshal(measured{name, change, took.Milliseconds(), f})
	must(k.t, err)
	k.t.Logf("%s", line)
	dir := os.Getenv("FAIRLEAD_VM_RESULTS")
	if dir == "" {
		return
	}
	turn := map[string]int{"takeover": 1, "back": 2}[change] // the files' names sort as the table does
	must(k.t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("takeover-%s-%d.json", name, turn)), append(line, '\n'), 0o644))
}

// savers are the programs that show all rules of iptables.
func savers() []string {
	return []string{"iptables-nft-save", "ip6tables-nft-save", "iptables-legacy-save", "ip6tables-legacy-save"}
}

// foreign puts rules of others between kube-proxy's, and remembers them.
func (k *takeover) foreign() {
	k.t.Helper()
	for _, family := range []string{"iptables", "ip6tables"} {
		addr := map[string]string{"iptables": "192.0.2.7", "ip6tables": "2001:db8::7"}[family]
		for _, variant := range []string{"-nft", "-legacy"} {
			// kube-proxy makes this one of the kubelet's, too
			_, _ = k.node.Run(k.t.Context(), family+variant, "-t", "filter", "-N", "KUBE-FIREWALL")
			err := k.restore(family+variant, strings.NewReplacer("ADDR", addr, "SECOND", "2").Replace(foreignRules))
			if err != nil { // the chains of the variant that kube-proxy does not use are empty
				err = k.restore(family+variant, strings.NewReplacer("ADDR", addr, "SECOND", "1").Replace(foreignRules))
			}
			must(k.t, err)
		}
	}
	k.before = make(map[string]string)
	for _, program := range savers() {
		k.before[program] = k.others(program)
		k.t.Logf("%s:\n%s", program, k.before[program])
	}
}

func (k *takeover) restore(program, rules string) error {
	cmd := k.node.Command(k.t.Context(), program+"-restore", "--noflush")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s-restore: %w: %s", program, err, out)
	}
	return nil
}

// foreignRules are before, between and behind kube-proxy's jumps. KUBE-FIREWALL and KUBE-KUBELET-CANARY are the
// kubelet's. Table filter is the first: where it fails nothing has been written.
const foreignRules = `*filter
-A KUBE-FIREWALL -s ADDR -j DROP
-I INPUT SECOND -s ADDR -j DROP
-I FORWARD SECOND -s ADDR -j DROP
-A OUTPUT -d ADDR -j ACCEPT
-A INPUT -j KUBE-FIREWALL
COMMIT
*nat
:CNI-HOSTPORT - [0:0]
-A CNI-HOSTPORT -p tcp --dport 81 -j RETURN
-I PREROUTING 1 -d ADDR -j CNI-HOSTPORT
-A PREROUTING -d ADDR -j RETURN
-I OUTPUT 1 -d ADDR -m comment --comment interleaved -j RETURN
-I POSTROUTING 1 -s ADDR -j MASQUERADE
COMMIT
*mangle
:KUBE-KUBELET-CANARY - [0:0]
-A FORWARD -s ADDR -j ACCEPT
COMMIT
`

// others returns the rules that are neither kube-proxy's nor Fairlead's, by the test's own words.
func (k *takeover) others(program string) string {
	k.t.Helper()
	out, err := k.node.Run(k.t.Context(), program)
	must(k.t, err)
	var lines []string
	for line := range strings.Lines(out) {
		kept := !strings.HasPrefix(line, "#") && !strings.Contains(line, "FAIRLEAD-") && !strings.Contains(line, "fairlead: ")
		if strings.Contains(line, "KUBE-") {
			kept = kept && (strings.Contains(line, "KUBE-FIREWALL") || strings.Contains(line, "KUBE-KUBELET-CANARY"))
		}
		if kept && (strings.HasPrefix(line, ":") || strings.HasPrefix(line, "-A") || strings.HasPrefix(line, "*")) {
			line, _, _ = strings.Cut(line, " [") // counters
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return strings.Join(lines, "\n")
}

// nothingOfKubeProxys fails as long as there is anything that only kube-proxy makes.
func (k *takeover) nothingOfKubeProxys() error {
	ctx := context.Background()
	for _, program := range savers() {
		out, err := k.node.Run(ctx, program)
		if err != nil {
			return err
		}
		for line := range strings.Lines(out) {
			theirs := strings.Contains(line, "KUBE-") && !strings.Contains(line, "fairlead: ") &&
				!strings.Contains(line, "KUBE-FIREWALL") && !strings.Contains(line, "KUBE-KUBELET-CANARY") &&
				!strings.HasPrefix(line, ":KUBE-MARK-MASQ ") && !strings.HasPrefix(line, ":KUBE-POSTROUTING ")
			if theirs {
				return fmt.Errorf("%s: %s", program, line)
			}
		}
	}
	if out, err := k.node.Run(ctx, "nft", "list", "tables"); err != nil || strings.Contains(out, "kube-proxy") {
		return fmt.Errorf("nftables: %w %s", err, out)
	}
	if out, err := k.node.Run(ctx, "ipset", "list", "-n"); err != nil || strings.Contains(out, "KUBE-") {
		return fmt.Errorf("ipset: %w %s", err, out)
	}
	return nil
}

// unharmed fails unless the rules of others are what they were.
func (k *takeover) unharmed() {
	k.t.Helper()
	for _, program := range savers() {
		if now := k.others(program); now != k.before[program] {
			k.t.Errorf("%s before:\n%s\nafter:\n%s", program, k.before[program], now)
		}
	}
}
