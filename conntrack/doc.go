// Package conntrack removes UDP flows from the kernel's connection tracking that lead to an endpoint
// that serves no more.
//
// A connection of TCP ends, and the next one finds its way anew. A flow of UDP lasts as long as the
// client goes on sending, and connection tracking remembers for each flow where answers come from:
// its reply tuple. IPVS with net.ipv4.vs.conntrack=1 writes that tuple when it schedules the first
// packet, and keeps the tuple of a confirmed flow as it is. So after the endpoint went and IPVS has
// chosen another one, the masqueraded answers of the new endpoint match no flow: they are not
// translated back, and the client never sees them. Therefore the flow must go. The client's next
// packet then makes a new one.
//
// The table may hold hundreds of thousands of flows, so it is read once for all frontends together,
// not once for each Service (kubernetes/kubernetes 129982), and a flow that is none of ours costs a
// look-up in a map and no memory.
//
// [Linux] is the real kernel, [Fake] stands in for it in tests.
package conntrack
