// Package dummyif keeps Service VIPs bound to a dummy network device, so that the kernel takes
// packets for them as its own and hands them to IPVS on the way in.
//
// A VIP is bound in one of two ways. As an address (/32 or /128 on the device) it is what every
// operator knows from kube-proxy; each costs more than the last, because every listener for
// addresses on the node wakes for each. As a local route it costs the same at any number, and the
// node picks its own address as the source towards the VIP. Either way the kernel
// does not choose it as the source of packets to other machines: IPv4 addresses get host scope, IPv6
// ones are deprecated from birth.
//
// [Device] has the verbs of every kernel package here: Set and Unset (memory only), Resync (read
// the kernel), Upsert and Prune (write it). [Fake] stands in for the kernel in tests.
package dummyif
