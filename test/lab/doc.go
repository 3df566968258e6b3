// Package lab builds a small cluster network out of Linux network namespaces, so that tests and the demo can send real
// packets through a real kernel.
//
//	             fabric (bridge br0: 192.168.77.1, fd00:77::1)
//	      +----------------+-----------------+
//	    eth0             eth0              eth0
//	   node1            node2             client
//	  /     \             |
//	veth1  veth2        veth1
//	  |      |            |
//	 pod    pod          pod
//
// Nodes and outside clients share one layer-2 network, as machines in a rack do. A pod hangs on its node by a veth with
// host routes (/32 and /128) instead of a bridge, as under Calico: hairpin traffic then needs no bridge settings. IPVS,
// ipsets, iptables, routes and sysctls under net are per namespace, so every node is a clean machine of its own and
// several fit in one kernel.
//
// # What a namespace does not separate
//
// Only the network is separate. A process in a node's namespace sees the file system, the processes and the host name of
// the machine. Two consequences matter:
//
//   - /proc/sys/net and /proc/thread-self/net belong to the namespace of the thread that looks: right. /proc/net belongs to
//     the main thread of the process: right in a process started by [Namespace.Command], wrong inside [Namespace.Do].
//   - /sys belongs to the namespace that mounted it: /sys/class/net shows the devices of the machine, not those of the
//     node. Ask netlink instead.
//
// # For the eye
//
// Namespaces are named fl-<id>-<name> and mounted under /run/netns: while a lab stands, `ip netns` lists them and
// `ip netns exec fl-<id>-node1 ipvsadm -Ln` looks inside. [Lab.Close] removes everything but the directory /run/netns
// itself. After a killed process, `ip netns del` of each name that starts with fl- does the same.
package lab
