package view

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Filter says what is asked for. The zero Filter asks for everything.
type Filter struct {
	Namespace string
	Name      string // of the Service
	Address   string // a VIP or an endpoint, with or without a port
	Search    string // a part of namespace/name or of an address
	State     string // of Services and endpoints; several are separated by commas
	Offset    int    // Services to leave out at the beginning
	Limit     int    // Services, or endpoints in state draining; 0: all
}

// Wants reports whether the filter leaves what is in this state.
func (f Filter) Wants(state string) bool {
	return f.State == "" || slices.Contains(strings.Split(f.State, ","), state)
}

// WantsAt reports whether the filter leaves what is at this address and port: it asks for both, or for the address.
func (f Filter) WantsAt(text string) bool {
	if f.Address == "" || text == f.Address {
		return true
	}
	at, err := netip.ParseAddrPort(text)
	addr, wantErr := netip.ParseAddr(f.Address)
	return err == nil && wantErr == nil && at.Addr() == addr
}

// WantsVIP reports whether the filter leaves this VIP, by its address alone: a port is one of its virtual servers'.
func (f Filter) WantsVIP(vip netip.Addr) bool {
	if at, err := netip.ParseAddrPort(f.Address); err == nil {
		return at.Addr() == vip
	}
	addr, err := netip.ParseAddr(f.Address)
	return f.Address == "" || err == nil && addr == vip
}

// States of a Service, a virtual server, a real server, an address or an entry.
const (
	InForce     = "in force"
	Pending     = "pending"      // the kernel is not yet as desired
	NoEndpoints = "no endpoints" // in force; there is nobody to serve
	Impaired    = "impaired"     // something that it asks for cannot be done: see the problems
	Lost        = "lost"         // another Service has it
	NotServed   = "not served"   // and is not meant to be
	Draining    = "draining"     // not desired any more; open connections go on
	Leaving     = "leaving"      // not desired any more, and about to go
)

// States are all of them.
func States() []string {
	return []string{InForce, Pending, NoEndpoints, Impaired, Lost, NotServed, Draining, Leaving}
}

// Services is a part of all Services.
type Services struct {
	Items []Service `json:"items"`
	Total int       `json:"total"` // that the filter, but for Offset and Limit, leaves
}

// Service is a Service and what is programmed for it.
type Service struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	Type      string    `json:"type"`
	State     string    `json:"state"`
	Reason    string    `json:"reason,omitempty"` // why it is not served
	Problems  []Problem `json:"problems,omitempty"`
	Servers   []Server  `json:"servers"`
}

// Problem is something about a Service that cannot be done.
type Problem struct {
	Reason string `json:"reason"` // as of an Event
	Text   string `json:"text"`
}

// Server is a virtual server.
type Server struct {
	Name      string  `json:"name"`            // "tcp 10.96.0.10:80", "mark 0x50000001 IPv4"
	Kind      string  `json:"kind"`            // ClusterIP, NodePort, LoadBalancer, ExternalIP; Local: clients from outside, by firewall mark
	Port      string  `json:"port,omitempty"`  // name of the Service port, of one by firewall mark
	Owner     string  `json:"owner,omitempty"` // the Service that has it, if that is another one
	State     string  `json:"state"`
	Desired   *Config `json:"desired"`
	Kernel    *Config `json:"kernel"`
	Endpoints int     `json:"endpoints"` // real servers that it should have
	InForce   int     `json:"inForce"`   // how many of them the kernel has just so
	Draining  int     `json:"draining"`
	Reals     []Real  `json:"reals,omitempty"`
	Entries   []Entry `json:"entries,omitempty"`
	Bound     *Bound  `json:"bound,omitempty"` // whether its address is a VIP
}

// Config is how a virtual server schedules.
type Config struct {
	Scheduler   string `json:"scheduler"`
	Persistence int    `json:"persistenceSeconds,omitempty"`
	Text        string `json:"text"` // the line of `ipvsadm -Sn`
}

// Real is a real server.
type Real struct {
	Address  string     `json:"address"`
	State    string     `json:"state"`
	Desired  *int       `json:"desired"`            // its weight
	Kernel   *int       `json:"kernel"`             // its weight
	Deadline *time.Time `json:"deadline,omitempty"` // of its drain; nil: none
}

// Endpoint is a real server of a virtual server of a Service.
type Endpoint struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Server    string `json:"server"`
	Kind      string `json:"kind"`
	Real
}

// Address is a VIP.
type Address struct {
	Address string   `json:"address"`
	State   string   `json:"state"`
	As      string   `json:"as"` // address or route
	Desired bool     `json:"desired"`
	Kernel  bool     `json:"kernel"`
	Servers []string `json:"servers"` // the virtual servers that need it
}

// Entry is an entry of a set.
type Entry struct {
	Set     string `json:"set"`
	Text    string `json:"text"` // the line of `ipset save`
	State   string `json:"state"`
	Desired bool   `json:"desired"`
	Kernel  bool   `json:"kernel"`
}

// Bound is whether a VIP is bound to the dummy device.
type Bound struct {
	Desired bool `json:"desired"`
	Kernel  bool `json:"kernel"`
}
