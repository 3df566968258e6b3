package doctor

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

func lookKubeProxy(h *Host) []Finding {
	k := h.KubeProxy.Value
	var found []Finding
	if h.KubeProxy.Err != nil {
		found = unknown("iptables-save | grep KUBE-; ipset list -n; nft list tables", "cannot look everywhere for what kube-proxy left: %v", h.KubeProxy.Err)
	}
	if len(k.Running) > 0 {
		found = append(found, one(Problem, "stop it on this node, without --cleanup (docs/migration.md): systemctl stop kube-proxy, or keep the DaemonSet away by a label",
			"%s runs on this node, too", strings.Join(k.Running, ", "))...)
	}
	if len(k.Left) > 0 {
		found = append(found, h.leftByKubeProxy(k)...)
	}
	if len(k.Stay) > 0 {
		found = append(found, one(Note, "remove the rule that leads there, if nobody needs it", "rules of others lead to chains of kube-proxy's: %s", few(k.Stay, 3))...)
	}
	if len(found) > 0 {
		return found
	}
	return ok("none is seen to run, and nothing of one is left")
}

// leftByKubeProxy says what becomes of what is there of kube-proxy's.
func (h *Host) leftByKubeProxy(k KubeProxy) []Finding {
	evidence := fmt.Sprintf("kube-proxy's: %s", few(k.Left, 6))
	switch {
	case len(k.Running) > 0:
		return one(Note, "stop kube-proxy on this node, without --cleanup", "%s; it stays until kube-proxy has stopped", evidence)
	case !h.Want.RemoveKubeProxy:
		return one(Warning, "set takeover.removeKubeProxy: true", "%s; it is in force, and stays as takeover.removeKubeProxy is false", evidence)
	case h.running():
		return one(Warning, "look for 'kube-proxy' in the log of fairlead run", "%s; it is in force, and the daemon has not removed it (yet)", evidence)
	}
	return one(Warning, "fairlead run, which removes it once its own is in force", "%s; it is in force", evidence)
}

func lookIPVSUsers(h *Host) []Finding {
	var found []Finding
	for _, p := range h.processes("keepalived") {
		found = append(found, one(Note, "ipvs.excludeCIDRs: [the addresses of its virtual servers]; do not use its option lvs_flush",
			"%s runs: if it has virtual servers, they share timeouts and sysctls with Fairlead's", p)...)
	}
	var foreign []string
	for _, s := range h.Servers.Value {
		if !s.Ours && !s.KubeProxys {
			foreign = append(foreign, s.Key.String())
		}
	}
	slices.Sort(foreign)
	if len(foreign) > 0 {
		found = append(found, one(Note, "ipvs.excludeCIDRs: [their addresses] keeps Services from taking them; those that nobody needs: ipvsadm -D",
			"%d virtual servers are somebody else's, and are left alone: %s", len(foreign), few(foreign, 3))...)
	}
	switch {
	case len(found) > 0:
		return found
	case !h.hasIPVS():
		return noIPVS(h)
	case h.Servers.Err != nil:
		return unknown("ipvsadm -Ln", "cannot read the virtual servers: %v", h.Servers.Err)
	}
	return ok("all %d virtual servers are Fairlead's or kube-proxy's", len(h.Servers.Value))
}

func lookClashes(h *Host) []Finding {
	var found []Finding
	for _, look := range []func(*Host) []Finding{lookCilium, lookKubeRouter, lookOthers} {
		found = append(found, look(h)...)
	}
	switch {
	case len(found) > 0:
		return found
	case h.Devices.Err != nil:
		return unknown("", "cannot list devices: %v", h.Devices.Err)
	}
	return ok("none that is known is seen")
}

// lookCilium reads the agent's configuration where it is mounted in its own file system.
func lookCilium(h *Host) []Finding {
	agents := h.processes("cilium-agent")
	if len(agents) == 0 {
		if h.device("cilium_host") {
			return one(Note, "if Cilium is gone from this node: ip link delete cilium_host", "device cilium_host is there, and no cilium-agent can be seen from here")
		}
		return nil
	}
	const key = "kube-proxy-replacement"
	value, err := fs.ReadFile(h.Files, "proc/"+agents[0].pid+"/root/tmp/cilium/config-map/"+key)
	setting := strings.TrimSpace(string(value))
	for _, arg := range agents[0].command {
		if given, is := strings.CutPrefix(arg, "--"+key+"="); is {
			setting, err = given, nil
		}
	}
	const off = "helm upgrade cilium ... --set kubeProxyReplacement=false, or do without Fairlead on this node"
	switch {
	case err != nil:
		return one(Warning, "kubectl -n kube-system get configmap cilium-config -o jsonpath='{.data.kube-proxy-replacement}'; if true or strict: "+off,
			"%s runs, and whether it replaces kube-proxy cannot be seen from here (%v)", agents[0], err)
	case setting == "true" || setting == "strict" || setting == "partial" || setting == "probe":
		return one(Problem, off, "%s runs with %s: %s: its programs take Services before IPVS sees them", agents[0], key, setting)
	}
	return nil
}

func lookKubeRouter(h *Host) []Finding {
	for _, p := range h.processes("kube-router") {
		if !slices.Contains(p.command, "--run-service-proxy=false") {
			return one(Problem, "start kube-router with --run-service-proxy=false", "%s runs without --run-service-proxy=false: it writes the IPVS table, and deletes what it does not know", p)
		}
	}
	if h.device("kube-dummy-if") {
		return one(Warning, "ip link delete kube-dummy-if, and ipvsadm -D for its virtual servers", "device kube-dummy-if is there: kube-router's service proxy has left its addresses")
	}
	return nil
}

// lookOthers knows others by a device or a process of theirs.
func lookOthers(h *Host) (found []Finding) {
	for _, o := range []struct {
		device, process string
		verdict         Verdict
		what, do        string
	}{
		{"bpfin.cali", "", Problem, "Calico's eBPF data plane is on: its programs take Services before IPVS sees them",
			`kubectl patch felixconfiguration default --type merge -p '{"spec":{"bpfEnabled":false}}', or do without Fairlead on this node`},
		{"ovn-k8s-mp0", "", Problem, "OVN-Kubernetes serves Services itself", "do without Fairlead on this node"},
		{"antrea-gw0", "", Warning, "Antrea's AntreaProxy takes Services that pods call, unless it is off", "set featureGates.AntreaProxy: false in antrea-agent.conf, or do without Fairlead on this node"},
		{"", "firewalld", Warning, "firewalld can refuse what goes to VIPs and node ports, and a reload of it can remove rules", "systemctl disable --now firewalld, or allow the node ports and put pods' devices into the zone trusted"},
	} {
		switch running := h.processes(o.process); {
		case o.device != "" && h.device(o.device):
			found = append(found, one(o.verdict, o.do, "device %s is there: %s", o.device, o.what)...)
		case o.process != "" && len(running) > 0:
			found = append(found, one(o.verdict, o.do, "%s runs: %s", running[0], o.what)...)
		}
	}
	return found
}
