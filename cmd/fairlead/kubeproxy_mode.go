package main

import (
	"fmt"
	"net/netip"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kube-proxy/config/v1alpha1"
)

// The modes of kube-proxy.
const (
	modeIPTables    = "iptables"
	modeIPVS        = "ipvs"
	modeNFTables    = "nftables"
	modeKernelspace = "kernelspace" // on Windows
)

// modeOf returns the mode that kube-proxy would run in.
func modeOf(c *v1alpha1.KubeProxyConfiguration) string {
	if c.Mode == "" {
		return modeIPTables // kube-proxy's default on Linux
	}
	return string(c.Mode)
}

// modeFields are those that kube-proxy has once for each mode. What its own mode says counts, so that
// somebody who comes from iptables mode finds here what was there.
func modeFields(c *v1alpha1.KubeProxyConfiguration) []kubeProxyField {
	mode := modeOf(c)
	asked := c.Mode
	if mode == modeIPVS {
		asked = ""
	}
	fields := []kubeProxyField{
		{path: "mode", value: asked, why: "Fairlead balances with IPVS, whatever the mode."},
		{path: "iptables.localhostNodePorts", value: notTaken(c), why: "nodePortAddresses says which addresses serve node ports. Only in mode iptables does\nkube-proxy have the loopback among them by default, and so has Fairlead."},
	}
	fields = append(fields, periodFields(c, mode)...)
	return append(fields, masqueradeFields(c, mode)...)
}

// periodFields takes both periods from the section of kube-proxy's mode. Where that has none, those of
// ipvs are as good: nobody else would have written them.
func periodFields(c *v1alpha1.KubeProxyConfiguration, mode string) (fields []kubeProxyField) {
	sections := []struct {
		name      string
		sync, min metav1.Duration
	}{
		{modeIPVS, c.IPVS.SyncPeriod, c.IPVS.MinSyncPeriod},
		{modeIPTables, c.IPTables.SyncPeriod, c.IPTables.MinSyncPeriod},
		{modeNFTables, c.NFTables.SyncPeriod, c.NFTables.MinSyncPeriod},
	}
	counts := modeIPVS
	for _, s := range sections {
		if s.name == mode && (s.sync.Duration != 0 || s.min.Duration != 0) {
			counts = mode
		}
	}
	for _, s := range sections {
		sync := kubeProxyField{path: s.name + ".syncPeriod", value: s.sync, key: "ipvs.syncPeriod"}
		least := kubeProxyField{path: s.name + ".minSyncPeriod", value: s.min, key: "ipvs.minSyncPeriod"}
		for _, f := range []kubeProxyField{sync, least} {
			if s.name != counts {
				f.key, f.why = "", fmt.Sprintf("The mode is %s, and the periods of section %s count.", mode, counts)
			}
			fields = append(fields, f)
		}
	}
	return fields
}

// masqueradeFields takes what is masqueraded from section nftables in that mode, and otherwise from
// section iptables, which kube-proxy's mode ipvs reads, too.
func masqueradeFields(c *v1alpha1.KubeProxyConfiguration, mode string) []kubeProxyField {
	fields := []kubeProxyField{
		{path: "iptables.masqueradeAll", value: c.IPTables.MasqueradeAll, key: "iptables.masqueradeAll"},
		{path: "iptables.masqueradeBit", value: c.IPTables.MasqueradeBit, key: "iptables.masqueradeBit"},
		{path: "nftables.masqueradeAll", value: c.NFTables.MasqueradeAll, key: "iptables.masqueradeAll"},
		{path: "nftables.masqueradeBit", value: c.NFTables.MasqueradeBit, key: "iptables.masqueradeBit"},
	}
	strangers := fields[2:]
	if mode == modeNFTables {
		strangers = fields[:2]
	}
	for i := range strangers {
		strangers[i].key, strangers[i].why = "", fmt.Sprintf("The mode is %s, which does not read it.", mode)
	}
	return fields
}

// setting that follows from a field of kube-proxy, under another name than the field's.
type implication struct {
	path, key, text string
}

// implied returns what kube-proxy's defaults make of fields that are not given, where that is not what
// Fairlead's own defaults are.
func implied(c *v1alpha1.KubeProxyConfiguration) (list []implication) {
	if ip, err := netip.ParseAddr(c.BindAddress); err == nil && ip.Is6() {
		if c.HealthzBindAddress == "" {
			list = append(list, implication{"bindAddress", "healthzBindAddress", "[::]:10256"})
		}
		if c.MetricsBindAddress == "" {
			list = append(list, implication{"bindAddress", "metricsBindAddress", "[::1]:10249"})
		}
	}
	if modeOf(c) == modeNFTables && len(c.NodePortAddresses) == 0 {
		list = append(list, implication{"mode", "nodePortAddresses", "primary"})
	}
	if loopback(c) {
		list = append(list, implication{"iptables.localhostNodePorts", "nodePortAddresses", "all,localhost"})
	}
	bit := c.IPTables.MasqueradeBit
	if modeOf(c) == modeNFTables {
		bit = c.NFTables.MasqueradeBit
	}
	if bit != nil && (*bit == 28 || *bit == 30) { // bits of the default base of our own marks
		list = append(list, implication{"iptables.masqueradeBit", "ipvs.fwmarkBase", "0xa0000000"})
	}
	return list
}

// loopback reports whether node ports are to be served on the loopback because that is what mode
// iptables does.
func loopback(c *v1alpha1.KubeProxyConfiguration) bool {
	wanted := c.IPTables.LocalhostNodePorts == nil || *c.IPTables.LocalhostNodePorts
	everywhere := len(c.NodePortAddresses) == 0 || slices.Contains(c.NodePortAddresses, "all")
	return modeOf(c) == modeIPTables && wanted && everywhere
}

// notTaken returns localhostNodePorts where something else decides.
func notTaken(c *v1alpha1.KubeProxyConfiguration) *bool {
	if v := c.IPTables.LocalhostNodePorts; v == nil || *v == loopback(c) {
		return nil
	}
	return c.IPTables.LocalhostNodePorts
}
