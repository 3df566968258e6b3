// Package shadow compares what Fairlead would do with what kube-proxy has programmed, frontend by frontend:
// which endpoints new connections to an address and port may meet. It reads text and writes nothing.
//
// What cannot be seen in kube-proxy's state is not compared: masquerading, source ranges, session affinity, and who
// meets local endpoints only.
package shadow

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// Frontend is where clients come to.
type Frontend struct {
	Addr     netip.Addr // unspecified: any address of the node, for node ports
	Port     uint16
	Protocol ipvs.Protocol
}

// String returns "tcp 10.96.0.10:80", or "tcp node port 30080 (IPv4)".
func (f Frontend) String() string {
	if !f.Addr.IsUnspecified() {
		return fmt.Sprintf("%s %s", f.Protocol, netip.AddrPortFrom(f.Addr, f.Port))
	}
	family := "IPv4"
	if f.Addr.Is6() {
		family = "IPv6"
	}
	return fmt.Sprintf("%s node port %d (%s)", f.Protocol, f.Port, family)
}

func (f Frontend) compare(o Frontend) int {
	if c := f.Addr.Compare(o.Addr); c != 0 {
		return c
	}
	if c := int(f.Port) - int(o.Port); c != 0 {
		return c
	}
	return int(f.Protocol) - int(o.Protocol)
}

// State is the endpoints of each frontend.
type State map[Frontend]Endpoints

// Endpoints is a set.
type Endpoints map[netip.AddrPort]struct{}

// Add adds an endpoint; the frontend is there from then on, and with none if it is given none.
func (s State) Add(f Frontend, endpoints ...netip.AddrPort) {
	if s[f] == nil {
		s[f] = make(Endpoints)
	}
	for _, e := range endpoints {
		s[f][e] = struct{}{}
	}
}

// without returns those that are not in the other set, sorted.
func (e Endpoints) without(o Endpoints) (list []netip.AddrPort) {
	for one := range e {
		if _, there := o[one]; !there {
			list = append(list, one)
		}
	}
	slices.SortFunc(list, netip.AddrPort.Compare)
	return list
}
