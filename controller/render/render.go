// Package render turns a Service and its EndpointSlices into what the kernel should hold for it. It
// is pure: no clock, no network, no logging, no memory of earlier calls.
//
// Here, and only here, Kubernetes' words (Service, EndpointSlice) meet the kernel's (virtual server,
// real server).
package render

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// Options are the choices that hold for every Service, and what a Service must know of its node.
type Options struct {
	Scheduler string
	Flags     ipvs.Flags
	Usable    func(scheduler string) error // whether an annotation may ask for it; nil: any name is fine

	NodeName string
	Zone     string       // "" where the node has none: then zones make no difference
	NodeIPs  []netip.Addr // this node's own
	IPv6     bool         // whether the node can do IPv6 at all

	NodePortAddrs []netip.Addr // the node's addresses that serve node ports
	Localhost     bool         // so does the loopback, by a relay

	Excluded           []netip.Prefix // addresses that belong to somebody else's virtual servers
	AllowedExternalIPs []netip.Prefix // the only ones that spec.externalIPs may name; none: all
	// Refused returns whose an address is that must not be taken from its owner, or "". Nil: none is.
	Refused func(Kind, netip.Addr) (whose string)
}

// Kind says what a virtual server is to its Service. The order is that of claims: see Claims in
// package controller.
type Kind uint8

// The kinds.
const (
	ClusterIP Kind = iota + 1
	NodePort
	LoadBalancer
	ExternalIP
)

// String returns Kubernetes' word for the kind.
func (k Kind) String() string {
	return map[Kind]string{ClusterIP: "ClusterIP", NodePort: "NodePort", LoadBalancer: "LoadBalancer", ExternalIP: "ExternalIP"}[k]
}

// Outside says how clients that are neither pods nor this node fare at a virtual server.
type Outside uint8

// Outside clients meet the same real servers as everybody, those of a Local, or silence.
const (
	OutsideAlike Outside = iota
	OutsideLocal
	OutsideDrop
)

// Server is one virtual server and its real servers.
type Server struct {
	Key    ipvs.Key
	Kind   Kind
	Config ipvs.VirtualServer
	Reals  ipvs.Reals

	Masquerade bool    // clients are masqueraded, whoever they are
	Drop       bool    // new connections are dropped: there are endpoints, but this node may use none
	Outside    Outside // under externalTrafficPolicy Local
	Local      int     // with OutsideLocal: the index in Rendered.Locals

	Restricted bool // only Sources may connect
	Sources    []netip.Prefix
}

// Local is the virtual server that clients from outside meet under externalTrafficPolicy Local,
// whatever address of the port they came to.
type Local struct {
	Port     string // the Service port's name, which with the protocol tells ports apart
	Protocol ipvs.Protocol
	IPv6     bool
	Config   ipvs.VirtualServer
	Reals    ipvs.Reals
}

// Relay is a node port on the loopback.
type Relay struct {
	Listen  netip.AddrPort
	Targets []netip.AddrPort // sorted
	Sticky  bool
}

// Health is the server of spec.healthCheckNodePort.
type Health struct {
	Port  uint16       // 0: none
	Local int          // ready endpoints on this node, by address
	At    []netip.Addr // where load balancers ask: at the node, and at the VIP where they leave the destination as it is
}

// Rendered is what the kernel should hold for one Service.
type Rendered struct {
	Servers  []Server
	Locals   []Local
	Hairpin  []netip.Addr // endpoints that may be balanced to themselves on this node
	External []netip.Addr // addresses that the Service wants and could be somebody else's
	Relays   []Relay
	Health   Health
	Settings Settings

	NoLocalInternal, NoLocalExternal bool // a Local policy finds endpoints, but none here

	Reason   string    // why there are no Servers
	Problems []Problem // what was left out, and why; sorted
}

// Problem is something in the Service or its slices that cannot be done.
type Problem struct {
	Reason string // one word, as for an Event
	Text   string
}

// Reasons of problems.
const (
	badAddress    = "BadAddress"
	badAnnotation = "BadAnnotation"
	badEndpoint   = "BadEndpoint"
	badPort       = "BadPort"
	badValue      = "BadValue"
	refused       = "AddressRefused"
)

// The API's default and limit for sessionAffinityConfig.clientIP.timeoutSeconds. Objects from a
// directory of manifests have not been through the API server's defaulting and validation.
const (
	defaultAffinity = 10800 * time.Second
	maxAffinity     = 86400 // seconds
)

// Service renders one Service. The slices may be those of any address type, and in any order: the
// order makes no difference. The Service may be nil, which renders to nothing. before are the settings
// of the last time: a bad annotation leaves them in force.
func Service(svc *corev1.Service, endpointSlices []*Slice, o Options, before Settings) Rendered {
	if reason := unserved(svc); reason != "" {
		return Rendered{Reason: reason}
	}
	w := work{svc: svc, o: o, policies: policiesOf(svc)}
	w.Settings = settings(svc, endpointSlices, &w.o, before, w.problem)
	w.all = collect(svc.Spec.Ports, endpointSlices, &w.o, w.Settings, w.problem)
	w.config = config(svc, w.Settings, w.problem)
	w.restricts = restriction(svc, w.problem)
	w.frontends()
	w.Hairpin = w.all.hairpin(w.families())
	w.Health = w.health()
	w.all.release()
	if len(w.Servers) == 0 {
		w.Reason = "no usable address and port"
	}
	slices.SortFunc(w.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Text, b.Text), cmp.Compare(a.Reason, b.Reason))
	})
	w.Problems = slices.Compact(w.Problems)
	return w.Rendered
}

// families returns in which families there are virtual servers.
func (r *Rendered) families() (ipv4, ipv6 bool) {
	for _, s := range r.Servers {
		ipv4, ipv6 = ipv4 || s.Key.Addr.Addr().Is4(), ipv6 || s.Key.Addr.Addr().Is6()
	}
	return ipv4, ipv6
}

// complain records a problem.
type complain func(reason, format string, args ...any)

func (r *Rendered) problem(reason, format string, args ...any) {
	r.Problems = append(r.Problems, Problem{reason, fmt.Sprintf(format, args...)})
}

// proxyNameLabel hands a Service to another proxy.
const proxyNameLabel = "service.kubernetes.io/service-proxy-name"

// unserved returns why a Service is none of this proxy's business, or "".
func unserved(svc *corev1.Service) string {
	switch {
	case svc == nil:
		return "no such Service"
	case svc.Spec.Type == corev1.ServiceTypeExternalName:
		return "type ExternalName"
	case svc.Spec.ClusterIP == corev1.ClusterIPNone || slices.Contains(svc.Spec.ClusterIPs, corev1.ClusterIPNone):
		return "headless"
	case svc.Spec.ClusterIP == "" && len(svc.Spec.ClusterIPs) == 0:
		return "no cluster IP yet"
	}
	if _, theirs := svc.Labels[proxyNameLabel]; theirs {
		return "label " + proxyNameLabel
	}
	return ""
}

// config returns what all virtual servers of the Service have in common.
func config(svc *corev1.Service, s Settings, problem complain) ipvs.VirtualServer {
	v := ipvs.VirtualServer{Scheduler: s.Scheduler, Flags: s.Flags}
	switch svc.Spec.SessionAffinity {
	case corev1.ServiceAffinityClientIP:
		v.Persistence = defaultAffinity
		if c := svc.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
			seconds := min(max(*c.ClientIP.TimeoutSeconds, 1), maxAffinity)
			if given := *c.ClientIP.TimeoutSeconds; given != seconds {
				problem(badValue, "session affinity of %d s: not from 1 to %d, %d is used", given, maxAffinity, seconds)
			}
			v.Persistence = time.Duration(seconds) * time.Second
		}
	case corev1.ServiceAffinityNone, "":
	default:
		problem(badValue, "session affinity %q is unknown", svc.Spec.SessionAffinity)
	}
	return v
}

func protocolOf(p corev1.Protocol) (ipvs.Protocol, bool) {
	switch p {
	case corev1.ProtocolTCP, "": // "" is what a manifest may say for TCP
		return ipvs.TCP, true
	case corev1.ProtocolUDP:
		return ipvs.UDP, true
	case corev1.ProtocolSCTP:
		return ipvs.SCTP, true
	}
	return 0, false
}
