package doctor

import (
	"errors"
	"testing"
)

func TestForwarding(t *testing.T) {
	const v4, v6 = "proc/sys/net/ipv4/ip_forward", "proc/sys/net/ipv6/conf/all/forwarding"
	ipv6 := func(h *Host) {
		h.Servers.Value = append(h.Servers.Value, Server{Key: key("tcp [fd00::10]:53"), Ours: true})
	}
	runCases(t, "forwarding", []nodeCase{
		{"none", func(_ *Host, files tree) { files.put(v4, "0") }, []finding{{Problem, "net.ipv4.ip_forward = 0", "net.ipv4.ip_forward=1"}}},
		{"none yet", func(h *Host, files tree) { files.put(v4, "0"); h.Daemon = func() error { return ErrNotRunning } }, []finding{{Warning, "net.ipv4.ip_forward = 0", "fairlead run sets it"}}},
		{"none of IPv6, and no IPv6", func(_ *Host, files tree) { files.put(v6, "0") }, []finding{{OK, "forwarding = 0", ""}}},
		{"none of IPv6, which pods have", func(h *Host, files tree) { h.Want.IPv6 = true; files.put(v6, "0") }, []finding{{Problem, "clusterCIDR has IPv6", "net.ipv6.conf.all.forwarding=1"}}},
		{"none of IPv6, which a Service has", func(h *Host, files tree) { ipv6(h); files.put(v6, "0") }, []finding{{Problem, "virtual server tcp [fd00::10]:53", "net.ipv6.conf.all.forwarding=1"}}},
		{"no IPv6 at all", func(h *Host, files tree) { h.Want.IPv6 = true; delete(files, v6) }, []finding{{Problem, "not there", "ipv6.disable=1"}}},
		{"neither is known", func(_ *Host, files tree) { delete(files, v4) }, []finding{{Unknown, "net.ipv4.ip_forward", "as root"}}},
	})
}

func TestRPFilter(t *testing.T) {
	const all, one = "proc/sys/net/ipv4/conf/all/rp_filter", "proc/sys/net/ipv4/conf/eth1.5/rp_filter"
	runCases(t, "rp-filter", []nodeCase{
		{"strict for all, but loose on one", func(_ *Host, files tree) { files.put(all, "1") },
			[]finding{{Warning, "strict on eth0, br0, and there are 3 ways", "sysctl -w net.ipv4.conf.eth0.rp_filter=2 net.ipv4.conf.br0.rp_filter=2"}}},
		{"strict on one of two", func(_ *Host, files tree) { files.put(one, "1") }, []finding{{Warning, "strict on eth1.5", "sysctl -w net.ipv4.conf.eth1/5.rp_filter=2"}}},
		{"strict on the only one", func(h *Host, files tree) {
			h.Devices.Value = h.Devices.Value[:2]
			files.put("proc/sys/net/ipv4/conf/eth0/rp_filter", "1")
		}, []finding{{Note, "the only way out", "eth0.rp_filter=2"}}},
		{"loose for all", func(_ *Host, files tree) { files.put(all, "2"); files.put(one, "1") }, []finding{{OK, "all.rp_filter = 2", ""}}},
		{"not there", func(_ *Host, files tree) { delete(files, all) }, []finding{{Unknown, "cannot read", "as root"}}},
		{"no devices", func(h *Host, _ tree) { h.Devices.Err = errors.New("EPERM") }, []finding{{Unknown, "EPERM", "as root"}}},
	})
}

func TestDevice(t *testing.T) {
	gone := func(h *Host) { h.Devices.Value = h.Devices.Value[:6] }
	runCases(t, "device", []nodeCase{
		{"another type", func(h *Host, _ tree) { h.Devices.Value[6].Type = "bridge" }, []finding{{Problem, "kube-ipvs0 is there, and is a bridge", "dummyInterface.name"}}},
		{"gone", func(h *Host, _ tree) { gone(h) }, []finding{{Warning, "bound nowhere", "restart"}}},
		{"gone, and nobody knows of a daemon", func(h *Host, _ tree) { gone(h); h.Daemon = func() error { return errors.New("timeout") } }, []finding{{OK, "makes it", ""}}},
		{"not content, and gone", func(h *Host, _ tree) { gone(h); h.Daemon = func() error { return ErrUnhealthy } }, []finding{{Warning, "bound nowhere", "restart"}}},
		{"not yet made", func(h *Host, _ tree) { gone(h); h.Daemon = func() error { return ErrNotRunning } }, []finding{{OK, "makes it", ""}}},
		{"no devices", func(h *Host, _ tree) { h.Devices.Err = errors.New("EPERM") }, []finding{{Unknown, "EPERM", "as root"}}},
	})
}

func TestBridge(t *testing.T) {
	const file = "proc/sys/net/bridge/bridge-nf-call-iptables"
	runCases(t, "bridge", []nodeCase{
		{"not loaded", func(_ *Host, files tree) { delete(files, file) }, []finding{{Warning, "bridges (br0), and br_netfilter is not loaded", "modprobe br_netfilter"}}},
		{"off", func(_ *Host, files tree) { files.put(file, "0") }, []finding{{Warning, "bridge-nf-call-iptables = 0", "bridge-nf-call-iptables=1"}}},
		{"nothing on the bridge", func(h *Host, files tree) { delete(files, file); h.Devices.Value = h.Devices.Value[:5] }, []finding{{OK, "no bridge", ""}}},
		{"no devices", func(h *Host, _ tree) { h.Devices.Err = errors.New("EPERM") }, []finding{{Unknown, "EPERM", "as root"}}},
	})
}

func TestARP(t *testing.T) {
	const ignore, announce = "proc/sys/net/ipv4/conf/all/arp_ignore", "proc/sys/net/ipv4/conf/all/arp_announce"
	speaker := func(files tree) { files.put("proc/99/comm", "speaker") }
	runCases(t, "arp", []nodeCase{
		{"MetalLB", func(_ *Host, files tree) { speaker(files) }, []finding{{Warning, "speaker (process 99) runs", "ipvs.strictARP: true"}}},
		{"MetalLB, strict", func(_ *Host, files tree) { speaker(files); files.put(ignore, "1"); files.put(announce, "2") }, []finding{{OK, "arp_ignore = 1", ""}}},
		{"changed behind the daemon", func(h *Host, _ tree) { h.Want.StrictARP = true }, []finding{{Problem, "somebody has changed it", "arp_announce=2"}}},
		{"not yet set", func(h *Host, _ tree) { h.Want.StrictARP = true; h.Daemon = func() error { return ErrNotRunning } }, []finding{{Note, "strictARP: true", "fairlead run"}}},
		{"not there", func(_ *Host, files tree) { delete(files, announce) }, []finding{{Unknown, "arp_announce", "as root"}}},
	})
}
