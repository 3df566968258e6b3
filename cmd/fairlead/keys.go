package main

import (
	"math"
	"strings"
	"time"
)

// key is one configuration key: all that there is to say about it. Everything
// else follows from the table: what a file, a variable or a flag may hold, the
// error when it holds something else, the defaults, and /config.yaml.
type key struct {
	path     string // "ipvs.scheduler"
	kind     kind   // what values it takes
	def      string // default, as one would write it in the environment
	comment  string // for config.yaml: meaning, unit, what is allowed
	unit     string // of a number
	restart  bool   // a change in the file waits for a restart
	flag     string // flag of `fairlead run` that sets it, if there is one
	flagHelp string
}

// env returns the name of the environment variable that sets the key.
func (k key) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(k.path, ".", "_"))
}

// keys returns every configuration key, in the order of config.yaml.
func keys() []key {
	var all []key
	for _, part := range [][]key{nodeKeys(), ipvsKeys(), trafficKeys(), daemonKeys()} {
		all = append(all, part...)
	}
	return all
}

// sectionComments returns the comment above each section of config.yaml.
func sectionComments() map[string]string {
	return map[string]string{
		"source":           "Where Services, EndpointSlices and Nodes come from.",
		"clientConnection": "The connection to the API server (source.kind kubernetes).",
		"dummyInterface":   "The device that Service VIPs are bound to.",
		"ipvs":             "The kernel's virtual servers.",
		"externalIPs":      "Addresses that Services may take, besides those that the cluster gives them.",
		"iptables":         "The constant rules that masquerade Service traffic.",
		"detectLocal":      "What detectLocalMode needs to know.",
		"conntrack":        "The node's connection tracking, as kube-proxy sets it at start. 0 leaves the\nkernel's value.",
		"metrics":          "What /metrics tells of each Service.",
		"takeover":         "Taking kube-proxy's place on this node.",
		"logging":          "The log, on standard error.",
	}
}

// nodeKeys are the keys about this node and where it learns of Services.
func nodeKeys() []key {
	return []key{
		{path: "hostnameOverride", restart: true, kind: nodeName(), flag: "hostname-override", flagHelp: "name of this node (default: the host name)",
			comment: "Name of this node as the cluster knows it.\nEmpty: the host name in lower case."},
		{path: "source.kind", restart: true, kind: oneOf(sourceKubernetes, sourceDirectory), def: sourceKubernetes,
			comment: "kubernetes: an API server.\ndirectory:  a directory of manifests, watched for changes."},
		{path: "source.directory", restart: true, kind: filePath(), flag: "source-directory",
			flagHelp: "read manifests from this directory, not from an API server",
			comment: "The directory of YAML or JSON manifests; needed by kind directory.\n" +
				"Write each file under a name that begins with a dot, and then rename it."},
		{path: "clientConnection.kubeconfig", restart: true, kind: filePath(), flag: "kubeconfig",
			flagHelp: "kubeconfig file (default: in-cluster)",
			comment:  "Path of a kubeconfig file. Empty: the in-cluster service account."},
		{path: "clientConnection.qps", restart: true, unit: "requests per second", kind: number(0, 1e6), def: "5",
			comment: "Requests per second to the API server, in the long run.\n0: the client library's default."},
		{path: "clientConnection.burst", restart: true, unit: "requests", kind: integer(0, 1e6), def: "10",
			comment: "Requests that may go out at once above qps.\n0: the client library's default."},
		{path: "dummyInterface.name", restart: true, kind: interfaceName(), def: "kube-ipvs0",
			comment: "Name of the device, at most 15 characters. CNIs and node agents already know\nto skip kube-ipvs0."},
		{path: "dummyInterface.bind", restart: true, kind: oneOf(bindAddress, bindRoute), def: bindAddress,
			comment: "address: one /32 or /128 address per VIP on the device.\n" +
				"route:   one local route per VIP on the device; its cost stays linear with\n" +
				"         many VIPs, and the node connects from its own IP."},
	}
}

// ipvsKeys are the keys of the section ipvs.
func ipvsKeys() []key {
	kernelTimeout := secondsUpTo(maxKernelTimeout)
	return []key{
		{path: "ipvs.scheduler", kind: scheduler(), def: "rr",
			comment: "Any scheduler of the kernel, which is probed for it at start:\n" + strings.Join(schedulers(), " ") +
				".\nA change takes the kernel some milliseconds for each virtual server, one by\none: who connects to it in this time is let in a second later."},
		{path: "ipvs.schedulerFlags", kind: listOf("a scheduler flag (mh-fallback mh-port sh-fallback sh-port)", schedulerFlag),
			comment: "Flags of the schedulers mh and sh: mh-fallback mh-port sh-fallback sh-port."},
		{path: "ipvs.syncPeriod", kind: duration(time.Nanosecond), def: "30s",
			comment: "Time in which the whole kernel state is read and compared once; up to four\nof them with more than 4,096 virtual servers. More than 0s."},
		{path: "ipvs.minSyncPeriod", kind: duration(0), def: "0s",
			comment: "Least time between two syncs, to gather changes. 0s: sync on every change.\nNot longer than syncPeriod."},
		{path: "ipvs.excludeCIDRs", kind: listOf(wantCIDR, parseCIDR),
			comment: "Virtual servers with an address in these CIDRs are never touched, but for\nthose that Fairlead itself made there before: they drain and go."},
		{path: "ipvs.strictARP", kind: boolean(), def: "false",
			comment: "true: set arp_ignore=1 and arp_announce=2, as MetalLB and others need it."},
		{path: "ipvs.tcpTimeout", kind: kernelTimeout, def: "0s",
			comment: "Timeout of idle TCP connections. Whole seconds; 0s: the kernel's."},
		{path: "ipvs.tcpFinTimeout", kind: kernelTimeout, def: "0s",
			comment: "Timeout of TCP connections after a FIN. Whole seconds; 0s: the kernel's."},
		{path: "ipvs.udpTimeout", kind: kernelTimeout, def: "0s",
			comment: "Timeout of UDP flows. Whole seconds; 0s: the kernel's."},
		{path: "ipvs.drainTimeout", kind: duration(0), def: "15m",
			comment: "Longest that a removed real server lingers at weight 0 for its connections.\n0s: until they end, however long that takes."},
		{path: "ipvs.estimation", kind: oneOf(estimationOn, estimationOff, estimationAuto), def: estimationAuto,
			comment: "The kernel's rate estimators: on, off, or auto, which stops them on Linux\nbefore 6.2 while there are more than 10,000 virtual and real servers: there\nthey hold up one CPU every two seconds. It starts them again, whoever has\nstopped them, when there are no more than 5,000. While they are stopped, the\ncounters of Services in the metrics and in 'fairlead top' stand still. They\ncatch up when the estimators run again."},
		{path: "ipvs.estimationCPUs", kind: optional(cpuList()),
			comment: "The CPUs on which the estimators of Linux 6.2 and later run, such as 0-3,8.\nEmpty: the kernel's choice."},
		{path: "ipvs.estimationNice", unit: "niceness", kind: integer(-20, 19), def: "0",
			comment: "How the estimators of Linux 6.2 and later give way to others: -20 to 19."},
		{path: "ipvs.fwmarkBase", restart: true, unit: "bits of the packet mark", kind: mark(), def: "0x50000000",
			comment: "Firewall marks lead clients from outside to local endpoints, for Services\nwith externalTrafficPolicy Local. All have the bits of fwmarkBase, and are\nnumbered in those of fwmarkMask. This range belongs to Fairlead alone."},
		{path: "ipvs.fwmarkMask", restart: true, unit: "bits of the packet mark", kind: mark(), def: "0x0ff0307f",
			comment: "The bits in which marks are numbered; the masquerade bit is left out.\nThe default avoids bits that the kubelet, Cilium and Calico's policies use,\nand has room for 65,535 Service ports."},
	}
}

// trafficKeys are the keys that decide what is masqueraded and who is local.
func trafficKeys() []key {
	return []key{
		{path: "iptables.masqueradeAll", kind: boolean(), def: "false",
			comment: "true: masquerade all traffic to ClusterIPs, not only that from outside."},
		{path: "iptables.masqueradeBit", restart: true, unit: "number of a bit", kind: integer(0, 31), def: "14",
			comment: "The bit of the packet mark that asks for masquerading: 0 to 31."},
		{path: "clusterCIDR", kind: clusterCIDR(),
			comment: "The pods' CIDR; for dual stack one per family, separated by a comma.\nEmpty: unknown."},
		{path: "detectLocalMode", kind: oneOf(localClusterCIDR, localNodeCIDR, localBridgeInterface, localInterfaceNamePrefix), def: localClusterCIDR,
			comment: "What counts as traffic of this node's pods.\n" +
				"ClusterCIDR:         from clusterCIDR; where that is empty, nothing does.\n" +
				"NodeCIDR:            from the pod CIDRs of the Node.\n" +
				"BridgeInterface:     from the device detectLocal.bridgeInterface.\n" +
				"InterfaceNamePrefix: from devices whose name starts with\n" +
				"                     detectLocal.interfaceNamePrefix."},
		{path: "detectLocal.bridgeInterface", kind: optional(interfaceName()),
			comment: "The bridge of mode BridgeInterface."},
		{path: "detectLocal.interfaceNamePrefix", kind: optional(interfacePrefix()),
			comment: "The prefix of mode InterfaceNamePrefix, at most 14 characters."},
		{path: "nodePortAddresses", kind: listOf("a CIDR or one of primary, localhost, all", nodePortAddress),
			comment: "Node addresses that serve node ports: CIDRs and the keywords primary (the\nNode's own IPs), localhost and all. Empty: all.\nlocalhost is a relay for TCP: the kernel does not balance the loopback."},
		{path: "externalIPs.allowedCIDRs", kind: listOf(wantCIDR, parseCIDR),
			comment: "The only addresses that spec.externalIPs may name. Empty: all but those of\nnodes and of the API server."},
		{path: "externalIPs.checkNodes", restart: true, kind: boolean(), def: "true",
			comment: "true: watch all Nodes, so that no Service takes the address of one of them.\nfalse: watch this Node only. Its addresses and the API server's are safe."},
	}
}

// defaultSocket is where the commands look for the daemon unless the configuration says otherwise.
const defaultSocket = "/run/fairlead/fairlead.sock"

// daemonKeys are the keys about the process itself and the sysctls it sets.
func daemonKeys() []key {
	count, timeout := integer(0, math.MaxInt32), secondsUpTo(maxKernelTimeout)
	return []key{
		{path: "healthzBindAddress", kind: bindAddrPort(), def: "0.0.0.0:10256",
			comment: "IP:PORT of /healthz and /livez, IPv6 as \"[::]:10256\". Empty: off."},
		{path: "metricsBindAddress", kind: bindAddrPort(), def: "127.0.0.1:10249",
			comment: "IP:PORT of /metrics and /proxyMode, IPv6 as \"[::1]:10249\". Empty: off."},
		{path: "metrics.maxVirtualServers", unit: "virtual servers", kind: count, def: "2000",
			comment: "So many virtual servers have series of their own on /metrics, those with\nmost traffic; how many are left out is a metric, too. 0: none."},
		{path: "metrics.perEndpoint", kind: boolean(), def: "false",
			comment: "true: so has each of their endpoints. It costs a request to the kernel for\neach virtual server and scrape."},
		{path: "statusBindAddress", kind: bindAddrPort(),
			comment: "IP:PORT of the status page, a read-only page for browsers. It has no\nauthentication, so bind it to the loopback, such as 127.0.0.1:10266: nothing\nof Kubernetes' own listens there (10248 to 10260). Empty: off."},
		{path: "socketPath", restart: true, kind: filePath(), def: defaultSocket,
			comment: "The local socket by which 'fairlead status', get, explain and top ask the\ndaemon. Only the daemon's user may connect. Empty: off."},
		{path: "conntrack.maxPerCore", unit: "connections per core", kind: count, def: "32768",
			comment: "Tracked connections per CPU core: nf_conntrack_max is raised to this, never\nlowered. 0: left alone, whatever min says."},
		{path: "conntrack.min", unit: "connections", kind: count, def: "131072",
			comment: "Tracked connections, at least."},
		{path: "conntrack.tcpEstablishedTimeout", kind: timeout, def: "24h0m0s",
			comment: "How long an idle TCP connection is kept. Whole seconds."},
		{path: "conntrack.tcpCloseWaitTimeout", kind: timeout, def: "1h0m0s",
			comment: "How long a TCP connection in CLOSE_WAIT is kept. Whole seconds."},
		{path: "conntrack.tcpBeLiberal", kind: boolean(), def: "false",
			comment: "true: let packets outside the TCP window pass. false: the kernel's."},
		{path: "conntrack.udpTimeout", kind: timeout, def: "0s",
			comment: "How long an unanswered UDP flow is kept. Whole seconds."},
		{path: "conntrack.udpStreamTimeout", kind: timeout, def: "0s",
			comment: "How long an answered UDP flow is kept. Whole seconds."},
		{path: "takeover.removeKubeProxy", restart: true, kind: boolean(), def: "true",
			comment: "true: once everything is in force, remove what kube-proxy left in iptables,\nnftables and ipset, unless it still runs. false: leave it."},
		{path: "oomScoreAdj", unit: "the kernel's score", kind: integer(-1000, 1000), def: "-999",
			comment: "oom_score_adj of this process: -1000 (never killed) to 1000."},
		{path: "enableProfiling", kind: boolean(), def: "false",
			comment: "true: serve /debug/pprof on metricsBindAddress."},
		{path: "logging.format", kind: oneOf(logText, logJSON), def: logText,
			comment: "text or json."},
		{path: "logging.level", kind: logLevel(), def: "info", flag: "log-level", flagHelp: "debug, info, warn or error",
			comment: "debug, info, warn or error."},
	}
}
