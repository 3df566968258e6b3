package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

func lookForwarding(h *Host) []Finding {
	const v4, v6 = "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"
	var found []Finding
	four, err := h.sysctl(v4)
	switch {
	case err != nil:
		found = unknown("", "cannot read %s: %v", dotted(v4), err)
	case four == "0" && !h.running():
		found = one(Warning, "fairlead run sets it; by hand: sysctl -w net.ipv4.ip_forward=1", "net.ipv4.ip_forward = 0: nothing is forwarded to pods, nor their answers")
	case four == "0":
		found = one(Problem, "sysctl -w net.ipv4.ip_forward=1", "net.ipv4.ip_forward = 0: nothing is forwarded to pods, nor their answers")
	}
	six, err := h.sysctl(v6)
	if errors.Is(err, fs.ErrNotExist) {
		six = "not there"
	} else if err != nil {
		found = append(found, unknown("", "cannot read %s: %v", dotted(v6), err)...)
	}
	if six == "0" || six == "not there" {
		if who := h.usesIPv6(); who != "" {
			do := "sysctl -w net.ipv6.conf.all.forwarding=1, and in /etc/sysctl.d; Fairlead leaves it to the network plugin"
			if six == "not there" {
				do = "boot the kernel without ipv6.disable=1"
			}
			found = append(found, one(Problem, do, "%s = %s, and %s: IPv6 packets are not forwarded", dotted(v6), six, who)...)
		}
	}
	if len(found) > 0 {
		return found
	}
	return ok("net.ipv4.ip_forward = %s, %s = %s", four, dotted(v6), six)
}

// usesIPv6 says what tells that there are IPv6 Services.
func (h *Host) usesIPv6() string {
	if h.Want.IPv6 {
		return "clusterCIDR has IPv6"
	}
	for _, s := range h.Servers.Value {
		if s.Ours && s.Key.Mark == 0 && s.Key.Addr.Addr().Is6() {
			return fmt.Sprintf("there is the virtual server %s", s.Key)
		}
	}
	return ""
}

// ofPod reports whether a device leads to one pod. What plugins make them filter there is against forged addresses,
// and right.
func ofPod(d Device) bool {
	for _, prefix := range []string{"cali", "lxc", "veth", "vnet"} {
		if strings.HasPrefix(d.Name, prefix) {
			return true
		}
	}
	return false
}

func lookRPFilter(h *Host) []Finding {
	if h.Devices.Err != nil {
		return unknown("", "cannot list devices: %v", h.Devices.Err)
	}
	all, err := h.number("proc/sys/net/ipv4/conf/all/rp_filter")
	if err != nil {
		return unknown("", "cannot read net.ipv4.conf.all.rp_filter: %v", err)
	}
	ways := 0
	var strict, set []string
	for _, d := range h.Devices.Value {
		if d.Name == "lo" || d.Type == "dummy" || d.Port || ofPod(d) {
			continue
		}
		name := "net/ipv4/conf/" + d.Name + "/rp_filter"
		own, err := h.number("proc/sys/" + name)
		if err != nil {
			continue // gone meanwhile, or without IPv4
		}
		ways++
		if max(all, own) == 1 { // the kernel takes the greater one, and 2 is loose
			strict = append(strict, d.Name)
			// Without quotes, so that it can be pasted: the names of devices have no white space.
			set = append(set, "net.ipv4.conf."+strings.ReplaceAll(d.Name, ".", "/")+".rp_filter=2")
		}
	}
	const why = "what comes in where the answer would not go out is dropped without a word"
	switch do := "sysctl -w " + strings.Join(set, " ") + ", and in /etc/sysctl.d"; {
	case len(strict) == 0:
		return ok("net.ipv4.conf.all.rp_filter = %d, and no device is strict, those of pods aside", all)
	case ways == 1:
		return one(Note, do, "rp_filter is strict on %s, the only way out: it matters when there is a second one", strict[0])
	default:
		return one(Warning, do, "rp_filter is strict on %s, and there are %d ways: %s", few(strict, 5), ways, why)
	}
}

func lookDevice(h *Host) []Finding {
	if h.Devices.Err != nil {
		return unknown("", "cannot list devices: %v", h.Devices.Err)
	}
	at := slices.IndexFunc(h.Devices.Value, func(d Device) bool { return d.Name == h.Want.Device })
	switch {
	case at >= 0 && h.Devices.Value[at].Type != "dummy":
		return one(Problem, "set dummyInterface.name to another name, or remove that device", "%s is there, and is a %s: Fairlead refuses to start", h.Want.Device, h.Devices.Value[at].Type)
	case at >= 0:
		return ok("%s is a dummy", h.Want.Device)
	case h.running():
		return one(Warning, "look for "+h.Want.Device+" in the log of fairlead run; a restart makes it", "the daemon runs, and %s is not there: VIPs are bound nowhere", h.Want.Device)
	}
	return ok("%s is not there; fairlead run makes it", h.Want.Device)
}

func lookBridge(h *Host) []Finding {
	if h.Devices.Err != nil {
		return unknown("", "cannot list devices: %v", h.Devices.Err)
	}
	var bridges []string
	ports := slices.ContainsFunc(h.Devices.Value, func(d Device) bool { return d.Port })
	for _, d := range h.Devices.Value {
		if d.Type == "bridge" {
			bridges = append(bridges, d.Name)
		}
	}
	if len(bridges) == 0 || !ports {
		return ok("no bridge with anything on it")
	}
	const why = "pods on one bridge answer each other past IPVS, and calls of a Service between them hang"
	value, err := h.sysctl("net/bridge/bridge-nf-call-iptables")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return one(Warning, "modprobe br_netfilter; sysctl -w net.bridge.bridge-nf-call-iptables=1",
			"bridges (%s), and br_netfilter is not loaded: if pods are on them, %s", few(bridges, 3), why)
	case err != nil:
		return unknown("", "cannot read net.bridge.bridge-nf-call-iptables: %v", err)
	case value == "0":
		return one(Warning, "sysctl -w net.bridge.bridge-nf-call-iptables=1",
			"net.bridge.bridge-nf-call-iptables = 0, with bridges (%s): if pods are on them, %s", few(bridges, 3), why)
	}
	return ok("net.bridge.bridge-nf-call-iptables = %s", value)
}

func lookARP(h *Host) []Finding {
	ignore, err := h.sysctl("net/ipv4/conf/all/arp_ignore")
	if err != nil {
		return unknown("", "cannot read net.ipv4.conf.all.arp_ignore: %v", err)
	}
	announce, err := h.sysctl("net/ipv4/conf/all/arp_announce")
	if err != nil {
		return unknown("", "cannot read net.ipv4.conf.all.arp_announce: %v", err)
	}
	evidence := fmt.Sprintf("net.ipv4.conf.all.arp_ignore = %s, arp_announce = %s, ipvs.strictARP: %v", ignore, announce, h.Want.StrictARP)
	strict := ignore != "0" && announce == "2"
	switch announcers := h.processes("speaker", "kube-vip"); {
	case strict:
		return ok("%s", evidence)
	case h.Want.StrictARP && h.running():
		return one(Problem, "sysctl -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2", "%s: somebody has changed it", evidence)
	case h.Want.StrictARP:
		return one(Note, "fairlead run sets it", "%s", evidence)
	case len(announcers) > 0:
		return one(Warning, "set ipvs.strictARP: true", "%s, and %s runs: every node answers for every load balancer's address, not only the one that has it", evidence, announcers[0])
	}
	return ok("%s; nothing is seen that announces addresses by ARP", evidence)
}
