//go:build linux

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// proxyEnv chooses the proxy that the conformance tests examine.
const proxyEnv = "FAIRLEAD_TEST_PROXY"

// peerPrefix stands before the mode of kube-proxy in that variable.
const peerPrefix = "kube-proxy-"

// proxyName is the proxy under test: fairlead, kube-proxy-iptables, kube-proxy-nftables, kube-proxy-ipvs.
func proxyName() string {
	if name := os.Getenv(proxyEnv); name != "" {
		return name
	}
	return "fairlead"
}

// peerMode is the mode of kube-proxy under test, and whether it is kube-proxy at all.
func peerMode() (string, bool) { return strings.CutPrefix(proxyName(), peerPrefix) }

// fairleadOnly skips a test of what only Fairlead promises. It is no gap of the others, and no row of theirs.
func fairleadOnly(t testing.TB) {
	t.Helper()
	if mode, peer := peerMode(); peer {
		t.Skipf("not promised by kube-proxy in mode %s", mode)
	}
}

// setup is the part of a proxy's configuration that the contract speaks of. The zero value detects pods by the cluster's
// CIDRs and serves node ports on the fabric's addresses, which has to be said because the modes' defaults differ.
type setup struct {
	noDetector      bool
	masqueradeAll   bool
	interfacePrefix string
	nodePorts       []string
	lines           []string // more of Fairlead's configuration
}

const podNets = "172.17.0.0/16,fd00:17::/32"

// fabricNets are the networks of the nodes' own addresses.
var fabricNets = []string{"192.168.77.0/24", "fd00:77::/64"}

// common are the keys that both proxies spell alike.
func (c setup) common(name string) []string {
	nets := c.nodePorts
	if nets == nil {
		nets = fabricNets
	}
	lines := []string{
		"hostnameOverride: " + name,
		"healthzBindAddress: 0.0.0.0:10256",
		`nodePortAddresses: ["` + strings.Join(nets, `", "`) + `"]`,
	}
	if c.interfacePrefix != "" {
		lines = append(lines, "detectLocalMode: InterfaceNamePrefix", "detectLocal: {interfaceNamePrefix: "+c.interfacePrefix+"}")
	} else if !c.noDetector {
		lines = append(lines, "clusterCIDR: "+podNets)
	}
	return lines
}

func (c setup) fairlead(name, kubeconfig string) []string {
	return append(append(c.common(name),
		"clientConnection: {kubeconfig: "+kubeconfig+", qps: 100, burst: 200}",
		fmt.Sprintf("iptables: {masqueradeAll: %v}", c.masqueradeAll)), c.lines...)
}

// kubeProxy leaves the limits of conntrack alone: they belong to the machine, not to a node of the lab. Its syncs must
// not wait for each other.
func (c setup) kubeProxy(name, kubeconfig, mode string) []string {
	return append(c.common(name),
		"apiVersion: kubeproxy.config.k8s.io/v1alpha1", "kind: KubeProxyConfiguration", "mode: "+mode,
		"clientConnection: {kubeconfig: "+kubeconfig+", qps: 100, burst: 200}",
		fmt.Sprintf("iptables: {masqueradeAll: %v, minSyncPeriod: 10ms}", c.masqueradeAll),
		fmt.Sprintf("nftables: {masqueradeAll: %v, minSyncPeriod: 10ms}", c.masqueradeAll),
		"conntrack: {maxPerCore: 0, min: 0}",
	)
}

// proxy starts the proxy under test on a node.
func (c setup) proxy(t testing.TB, node *lab.Node, name, kubeconfig string) *daemon {
	t.Helper()
	mode, peer := peerMode()
	if !peer {
		return start(t, node, writeConfig(t, c.fairlead(name, kubeconfig)...))
	}
	return launch(t, node, mustEnv(t, "FAIRLEAD_TEST_KUBE_PROXY"), "--config", writeConfig(t, c.kubeProxy(name, kubeconfig, mode)...), "--v=2")
}
