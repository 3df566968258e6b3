package doctor

import (
	"bytes"
	"compress/gzip"
	"errors"
	"net/netip"
	"testing"
	"testing/fstest"
)

func addrPort(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }

func TestPrivileges(t *testing.T) {
	runCases(t, "privileges", []nodeCase{
		{"none", func(h *Host, _ tree) { h.Privileges = errors.New("not allowed") }, []finding{{Unknown, "not allowed", "sudo fairlead doctor"}}},
		{"in a container", func(_ *Host, files tree) { delete(files, "proc/2/comm") }, []finding{{Unknown, "processes cannot be seen", "hostPID: true"}}},
	})
}

func TestKernel(t *testing.T) {
	release := func(r string) func(*Host, tree) { return func(h *Host, _ tree) { h.Release = r } }
	runCases(t, "kernel", []nodeCase{
		{"old", release("4.15.0-213-generic"), []finding{{Problem, "4.19 or later", "5.9 or later"}}},
		{"before 5.9", release("5.4.0-1"), []finding{{Warning, "used again", "5.9 or later"}}},
		{"5.9", release("5.9.0"), []finding{{OK, "Linux 5.9.0", ""}}},
		{"no release", release("plan9"), []finding{{Unknown, `"plan9"`, "uname -r"}}},
	})
}

// gz is a kernel's configuration as /proc has it.
func gz(text string) *fstest.MapFile {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write([]byte(text)) // to memory
	_ = w.Close()
	return &fstest.MapFile{Data: out.Bytes()}
}

func TestModules(t *testing.T) {
	const dep = "lib/modules/6.1.0-1/modules.dep"
	bare := func(files tree) {
		delete(files, dep)
		delete(files, "lib/modules/6.1.0-1/modules.builtin")
	}
	runCases(t, "modules", []nodeCase{
		{"some are loaded when needed", func(*Host, tree) {}, []finding{{OK, "loaded or built in: 5; loaded when needed: dummy, ip_set_hash_", ""}}},
		{"a scheduler that there is not", func(h *Host, _ tree) { h.Want.Scheduler = "mh" }, []finding{{Problem, "has no ip_vs_mh", "ipvs.scheduler: rr"}}},
		{"no ipset of a type, and no dummy", func(_ *Host, files tree) {
			files.put(dep, "ip_set_hash_ip.ko:\nip_set_hash_ipport.ko:\nip_set_hash_ipportnet.ko:")
		},
			[]finding{{Problem, "has no dummy, ip_set_hash_netnet", "linux-modules-extra-6.1.0-1"}}},
		{"one that nobody may load", func(h *Host, files tree) {
			h.Want.Scheduler = "sed"
			files.put("etc/modprobe.d/hardened.conf", "# no SCTP\ninstall sctp /bin/false\ninstall ip-vs-sed /usr/bin/true\ninstall ip_vs /bin/false\ninstall dummy /sbin/modprobe --ignore-install dummy")
		}, []finding{{Problem, "ip_vs_sed is not loaded, and cannot be: /etc/modprobe.d/hardened.conf has 'install ip-vs-sed /usr/bin/true'", "modprobe ip_vs_sed"}}},
		{"in a container", func(_ *Host, files tree) { bare(files) }, []finding{{Unknown, "not loaded: dummy, ip_set_hash_", "modprobe -a dummy ip_set_hash_"}}},
		{"the configuration tells", func(_ *Host, files tree) {
			bare(files)
			files["proc/config.gz"] = gz("# CONFIG_DUMMY is not set\nCONFIG_NF_CONNTRACK=y\nCONFIG_IP_SET_HASH_IP=y\nCONFIG_IP_SET_HASH_IPPORT=m\nCONFIG_IP_SET_HASH_NETNET=y\nCONFIG_IP_SET_HASH_IPPORTNET=y\n")
		}, []finding{{Problem, "has no dummy", "another kernel"}, {Unknown, "not loaded: ip_set_hash_ipport;", "modprobe -a ip_set_hash_ipport"}}},
		{"the configuration is in /boot, and all is built in", func(h *Host, files tree) {
			bare(files)
			files.put("boot/config-6.1.0-1", "CONFIG_DUMMY=y\nCONFIG_NF_CONNTRACK=y\nCONFIG_IP_SET_HASH_IP=y\nCONFIG_IP_SET_HASH_IPPORT=y\nCONFIG_IP_SET_HASH_NETNET=y\nCONFIG_IP_SET_HASH_IPPORTNET=y\nCONFIG_NETFILTER_XT_SET=y\nCONFIG_IP_SET=y")
			files.put("proc/modules", "")
		}, []finding{{OK, "all 10 are loaded or built in", ""}}},
	})
}

func TestConnectionTable(t *testing.T) {
	runCases(t, "connection-table", []nodeCase{
		{"crowded", func(h *Host, _ tree) { h.Servers.Value[0].Connections = 100_000 }, []finding{{Warning, "100000 connections in 4096 buckets", "conn_tab_bits=17"}}},
		{"just not crowded", func(h *Host, _ tree) { h.Servers.Value[0].Connections = 4 * 4096 }, []finding{{OK, "16384 connections, 4096 buckets", ""}}},
		{"grows", func(h *Host, files tree) {
			files.put("proc/sys/net/ipv4/vs/conn_lfactor", "-5")
			h.Servers.Value[0].Connections = 100_000
		}, []finding{{OK, "grows by itself", ""}}},
		{"no size", func(_ *Host, files tree) { files.put("sys/module/ip_vs/parameters/conn_tab_bits", "many") }, []finding{{Unknown, `"many"`, "as root"}}},
		{"no count", func(h *Host, _ tree) { h.Servers.Err = errors.New("EPERM") }, []finding{{Unknown, "EPERM", "as root"}}},
		{"not loaded", notLoaded, []finding{{Unknown, "not loaded", "modprobe ip_vs"}}},
		{"not there", func(h *Host, files tree) { notLoaded(h, files); files.put("lib/modules/6.1.0-1/modules.dep", "") }, []finding{{Unknown, "no IPVS", "as modules says"}}},
	})
}

// notLoaded takes IPVS out of the kernel.
func notLoaded(h *Host, files tree) {
	delete(files, "proc/thread-self/net/ip_vs")
	delete(files, "sys/module/ip_vs/parameters/conn_tab_bits")
	files.put("proc/modules", "")
	files.put("lib/modules/6.1.0-1/modules.dep", "kernel/net/netfilter/ipvs/ip_vs.ko:")
	h.Servers = Answer[[]Server]{Err: errors.New("the kernel has no IPVS")}
}

func TestEstimators(t *testing.T) {
	const file = "proc/sys/net/ipv4/vs/run_estimation"
	many := func(h *Host) { h.Servers.Value[0].Reals = ManyServers }
	runCases(t, "estimators", []nodeCase{
		{"few", func(*Host, tree) {}, []finding{{OK, "3 virtual and real servers", ""}}},
		{"many", func(h *Host, _ tree) { many(h) }, []finding{{Warning, "10001 virtual and real servers", "run_estimation=0"}}},
		{"many, wanted", func(h *Host, _ tree) { many(h); h.Want.Estimation = "on" }, []finding{{Warning, "as ipvs.estimation says", "ipvs.estimation: auto"}}},
		{"many, not to be stopped", func(h *Host, files tree) { many(h); delete(files, file) }, []finding{{Warning, "no net.ipv4.vs.run_estimation", "6.2"}}},
		{"many, stopped", func(h *Host, files tree) { many(h); files.put(file, "0") }, []finding{{OK, "= 0", ""}}},
		{"many, newer", func(h *Host, _ tree) { many(h); h.Release = "6.2.0" }, []finding{{OK, "threads", ""}}},
		{"not counted", func(h *Host, _ tree) { h.Servers.Err = errors.New("EPERM") }, []finding{{Unknown, "EPERM", "as root"}}},
		{"not loaded", notLoaded, []finding{{Unknown, "not loaded", "modprobe ip_vs"}}},
	})
}

func TestSysctls(t *testing.T) {
	const file = "proc/sys/net/ipv4/vs/conntrack"
	runCases(t, "sysctls", []nodeCase{
		{"as wanted", func(*Host, tree) {}, []finding{{OK, "net.ipv4.vs.conntrack = 1", ""}}},
		{"changed behind the daemon", func(_ *Host, files tree) { files.put(file, "0") },
			[]finding{{Problem, "net.ipv4.vs.conntrack = 0, not 1 (balanced connections are masqueraded)", "sysctl -w net.ipv4.vs.conntrack=1"}}},
		{"not yet set", func(h *Host, files tree) { files.put(file, "0"); h.Daemon = func() error { return ErrNotRunning } },
			[]finding{{Note, "= 0, not 1", "fairlead run sets it"}}},
		{"not there", func(_ *Host, files tree) { delete(files, file) }, []finding{{Warning, "no net.ipv4.vs.conntrack", "update the kernel"}}},
		{"one not there, one changed", func(h *Host, files tree) {
			h.Want.Sysctls = append(h.Want.Sysctls, Sysctl{"net/ipv4/vs/est_nice", "5", "ipvs.estimationNice"})
			files.put(file, "0")
		}, []finding{{Warning, "no net.ipv4.vs.est_nice", "update"}, {Problem, "= 0", "sysctl -w"}}},
		{"not loaded", notLoaded, []finding{{Unknown, "not loaded", "modprobe ip_vs"}}},
	})
}

func TestConnReuseMode(t *testing.T) {
	const file = "proc/sys/net/ipv4/vs/conn_reuse_mode"
	runCases(t, "conn-reuse-mode", []nodeCase{
		{"newer, off", func(_ *Host, files tree) { files.put(file, "0") }, []finding{{Warning, "conn_reuse_mode = 0, Linux 6.1.0-1", "conn_reuse_mode=1"}}},
		{"older, on", func(h *Host, _ tree) { h.Release = "4.19.0" }, []finding{{Warning, "conn_reuse_mode = 1, Linux 4.19.0: a client port that is used again waits", "conn_reuse_mode=0"}}},
		{"older, off", func(h *Host, files tree) { h.Release = "5.4.0"; files.put(file, "0") }, []finding{{Note, "Linux 5.4.0", "5.9 or later"}}},
		{"not there", func(_ *Host, files tree) { delete(files, file) }, []finding{{Unknown, "cannot read", "as root"}}},
		{"not loaded", notLoaded, []finding{{Unknown, "not loaded", "modprobe ip_vs"}}},
	})
}
