package takeover

import (
	"net/netip"
	"slices"

	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// Member is an entry of one of kube-proxy's ipsets; the zero value of what its type has not. Of sets that
// hold more, such as a source, the rest is left out.
type Member struct {
	Addr     netip.Addr
	Protocol uint8
	Port     uint16
}

// frontendSets are the sets that name virtual servers by address.
func frontendSets() []string {
	return []string{"CLUSTER-IP", "EXTERNAL-IP", "EXTERNAL-IP-LOCAL", "LOAD-BALANCER", "LOAD-BALANCER-LOCAL", "NODE-PORT-SCTP-HASH"}
}

// nodePortSets are the sets that name node ports, which have a virtual server at each address of the node.
func nodePortSets() map[string]ipvs.Protocol {
	return map[string]ipvs.Protocol{"NODE-PORT-TCP": ipvs.TCP, "NODE-PORT-UDP": ipvs.UDP}
}

// IPVS is what kube-proxy's sets say of its mode ipvs: which virtual servers and which addresses on its
// device are its own.
type IPVS struct {
	frontends map[ipvs.Key]struct{}
	nodePorts map[nodePort]struct{}
	VIPs      map[netip.Addr]struct{}
}

type nodePort struct {
	protocol ipvs.Protocol
	port     uint16
}

// Any reports whether the sets name anything.
func (i IPVS) Any() bool { return len(i.frontends)+len(i.nodePorts)+len(i.VIPs) > 0 }

// Has reports whether a virtual server is kube-proxy's. A node port is only at an address of the node: the
// same port at another address is somebody else's.
func (i IPVS) Has(k ipvs.Key, host []netip.Addr) bool {
	if k.Mark != 0 {
		return false
	}
	if _, is := i.frontends[k]; is {
		return true
	}
	_, is := i.nodePorts[nodePort{k.Protocol, k.Addr.Port()}]
	return is && slices.Contains(host, k.Addr.Addr())
}

// adoptable returns the entries by which Fairlead knows as its own what was kube-proxy's: of virtual servers
// that there are, and of addresses.
func (i IPVS) adoptable(servers []ipvs.Key, bound, host []netip.Addr) []masq.Entry {
	var entries []masq.Entry
	for _, k := range servers {
		if i.Has(k, host) {
			entries = append(entries, masq.Entry{Set: masq.Served, Addr: k.Addr.Addr(), Port: k.Addr.Port(), Protocol: uint8(k.Protocol)})
		}
	}
	for _, addr := range bound {
		if _, is := i.VIPs[addr]; is {
			entries = append(entries, masq.Entry{Set: masq.VIPs, Addr: addr})
		}
	}
	slices.SortFunc(entries, masq.Entry.Compare)
	return entries
}
