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
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// Options are the choices that hold for every Service.
type Options struct {
	Scheduler string
	Flags     ipvs.Flags
	NodeName  string
	IPv6      bool           // whether the node can do IPv6 at all
	Excluded  []netip.Prefix // addresses that belong to somebody else's virtual servers
}

// Server is one virtual server and its real servers.
type Server struct {
	Key    ipvs.Key
	Config ipvs.VirtualServer
	Reals  map[netip.AddrPort]ipvs.RealServer
}

// Rendered is what the kernel should hold for one Service.
type Rendered struct {
	Servers  []Server
	Hairpin  []netip.Addr // endpoints that may be balanced to themselves on this node
	Reason   string       // why there are no Servers
	Warnings []string     // what was left out, and why; sorted
}

// The API's default and limit for sessionAffinityConfig.clientIP.timeoutSeconds. Objects from a
// directory of manifests have not been through the API server's defaulting and validation.
const (
	defaultAffinity = 10800 * time.Second
	maxAffinity     = 86400 // seconds
)

// Service renders one Service. The slices may be those of any address type, and in any order: the
// order makes no difference. The Service may be nil, which renders to nothing.
func Service(svc *corev1.Service, endpointSlices []*discoveryv1.EndpointSlice, o Options) Rendered {
	var r Rendered
	if r.Reason = unserved(svc); r.Reason != "" {
		return r
	}
	endpoints := collect(endpointSlices, o.NodeName, r.warn)
	config := config(svc, o, r.warn)
	var ipv4, ipv6 bool
	seen := make(map[ipvs.Key]struct{})
	for _, vip := range clusterIPs(svc, o, r.warn) {
		for _, port := range svc.Spec.Ports {
			protocol, ok := protocolOf(port.Protocol)
			if !ok || port.Port < 1 || port.Port > 65535 {
				r.warn("port %q: %d %s is not a port and protocol that can be served", port.Name, port.Port, cmp.Or(port.Protocol, corev1.ProtocolTCP))
				continue
			}
			key := ipvs.Key{Addr: netip.AddrPortFrom(vip, uint16(port.Port)), Protocol: protocol}
			if _, twice := seen[key]; twice {
				r.warn("port %q: %s is there twice", port.Name, key)
				continue
			}
			seen[key] = struct{}{}
			r.Servers = append(r.Servers, Server{
				Key:    key,
				Config: config,
				Reals:  endpoints.realServers(port.Name, protocol, vip.Is4()),
			})
			ipv4, ipv6 = ipv4 || vip.Is4(), ipv6 || vip.Is6()
		}
	}
	r.Hairpin = endpoints.local(ipv4, ipv6)
	if len(r.Servers) == 0 {
		r.Reason = "no usable cluster IP and port"
	}
	slices.Sort(r.Warnings)
	r.Warnings = slices.Compact(r.Warnings)
	return r
}

func (r *Rendered) warn(format string, args ...any) {
	r.Warnings = append(r.Warnings, fmt.Sprintf(format, args...))
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

// clusterIPs returns the Service's usable cluster IPs.
func clusterIPs(svc *corev1.Service, o Options, warn func(string, ...any)) []netip.Addr {
	texts := svc.Spec.ClusterIPs
	if len(texts) == 0 {
		texts = []string{svc.Spec.ClusterIP}
	}
	var vips []netip.Addr
	for _, text := range texts {
		vip, err := netip.ParseAddr(text)
		switch {
		case err != nil || vip.Zone() != "" || vip.Is4In6():
			warn("cluster IP %q is not an IP address", text)
		case !bindable(vip):
			warn("cluster IP %s can be no Service's address", vip)
		case vip.Is6() && !o.IPv6:
			warn("cluster IP %s: this node has no IPv6", vip)
		case slices.ContainsFunc(o.Excluded, func(p netip.Prefix) bool { return p.Contains(vip) }):
			warn("cluster IP %s is in ipvs.excludeCIDRs", vip)
		case !slices.Contains(vips, vip):
			vips = append(vips, vip)
		}
	}
	return vips
}

// bindable refuses addresses that mean something else to every host.
func bindable(a netip.Addr) bool {
	broadcast := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !a.IsLinkLocalUnicast() && a != broadcast
}

// config returns what all virtual servers of the Service have in common.
func config(svc *corev1.Service, o Options, warn func(string, ...any)) ipvs.VirtualServer {
	v := ipvs.VirtualServer{Scheduler: o.Scheduler, Flags: o.Flags}
	switch svc.Spec.SessionAffinity {
	case corev1.ServiceAffinityClientIP:
		v.Persistence = defaultAffinity
		if c := svc.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
			seconds := min(max(*c.ClientIP.TimeoutSeconds, 1), maxAffinity)
			if given := *c.ClientIP.TimeoutSeconds; given != seconds {
				warn("session affinity of %d s: not from 1 to %d, %d is used", given, maxAffinity, seconds)
			}
			v.Persistence = time.Duration(seconds) * time.Second
		}
	case corev1.ServiceAffinityNone, "":
	default:
		warn("session affinity %q is unknown", svc.Spec.SessionAffinity)
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
