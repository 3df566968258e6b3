package render

import (
	"cmp"
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// work is the state of one rendering. What is rendered is part of it, so that all of it is on the stack.
type work struct {
	Rendered
	svc        *corev1.Service
	o          Options
	all        endpoints
	config     ipvs.VirtualServer
	policies   policies
	restricts  ranges
	ingress    []netip.Addr        // VIPs of load balancers
	ipv4, ipv6 bool                // the families in which the Service has a cluster IP
	seen       few[ipvs.Key, port] // which port each is for
	choices    few[choiceKey, choice]
	locals     few[choiceKey, int] // indexes in Locals
	wanted     addresses           // those in External
}

// choiceKey is a port in one family.
type choiceKey struct {
	port portKey
	ipv4 bool
}

// port is a Service port that can be served.
type port struct {
	name             string
	protocol         ipvs.Protocol
	number, nodePort uint16
}

// frontends adds the virtual servers of every address that clients may come to.
func (w *work) frontends() {
	ports := w.ports()
	clusterIPs := w.clusterIPs()
	for _, vip := range clusterIPs {
		for _, p := range ports {
			w.internal(p, vip)
		}
	}
	for _, p := range ports {
		if p.nodePort == 0 {
			continue
		}
		for _, addr := range w.nodeAddrs() {
			w.external(p, NodePort, netip.AddrPortFrom(addr, p.nodePort))
		}
		w.relay(p)
	}
	w.ingress = w.ingressIPs()
	for _, vip := range w.ingress {
		for _, p := range ports {
			w.external(p, LoadBalancer, netip.AddrPortFrom(vip, p.number))
		}
	}
	for _, vip := range w.externalIPs() {
		for _, p := range ports {
			w.external(p, ExternalIP, netip.AddrPortFrom(vip, p.number))
		}
	}
}

func (w *work) ports() (ports []port) {
	spec := &w.svc.Spec
	ports = make([]port, 0, len(spec.Ports))
	for _, p := range spec.Ports {
		protocol, ok := protocolOf(p.Protocol)
		if !ok || p.Port < 1 || p.Port > 65535 {
			w.problem(badPort, "port %q: %d %s is not a port and protocol that can be served", p.Name, p.Port, cmp.Or(p.Protocol, corev1.ProtocolTCP))
			continue
		}
		one := port{name: p.Name, protocol: protocol, number: uint16(p.Port)}
		exposed := spec.Type == corev1.ServiceTypeNodePort || spec.Type == corev1.ServiceTypeLoadBalancer
		switch {
		case !exposed:
		case p.NodePort < 0 || p.NodePort > 65535:
			w.problem(badPort, "port %q: %d is no node port", p.Name, p.NodePort)
		default:
			one.nodePort = uint16(p.NodePort)
		}
		ports = append(ports, one)
	}
	return ports
}

// choice returns which endpoints serve a port in the family of an address.
func (w *work) choice(p port, addr netip.Addr) choice {
	key := choiceKey{portKey{p.name, p.protocol}, addr.Is4()}
	c, known := w.choices.get(key)
	if !known {
		all, _ := w.all.get(key.port)
		c = choose(all, addr.Is4())
		*w.choices.at(key) = c
	}
	return c
}

// internal adds the virtual server of a cluster IP.
func (w *work) internal(p port, vip netip.Addr) {
	at := netip.AddrPortFrom(vip, p.number)
	if w.taken(p, at) {
		return
	}
	c := w.choice(p, vip)
	s := Server{Kind: ClusterIP, Reals: c.cluster}
	if w.policies.internalLocal {
		s.Reals = c.local
		s.Drop = len(c.local) == 0 && c.any
		w.NoLocalInternal = w.NoLocalInternal || s.Drop
	}
	w.add(p, s, at)
}

// external adds a virtual server of an address that the world outside the cluster comes to.
func (w *work) external(p port, kind Kind, at netip.AddrPort) {
	if w.taken(p, at) {
		return
	}
	c := w.choice(p, at.Addr())
	s := Server{Kind: kind, Reals: c.cluster}
	switch {
	case !w.policies.externalLocal:
		s.Masquerade = true
	case len(c.local) > 0:
		s.Outside, s.Local = OutsideLocal, w.local(p, c.local, at.Addr().Is6())
	case c.any:
		s.Outside = OutsideDrop
		w.NoLocalExternal = true
	}
	if kind == LoadBalancer {
		s.Restricted, s.Sources = w.restricts.at(at.Addr(), w.o.NodeIPs)
	}
	w.add(p, s, at)
}

// local returns the index of the port's Local in a family.
func (w *work) local(p port, reals ipvs.Reals, ipv6 bool) int {
	key := choiceKey{portKey{p.name, p.protocol}, !ipv6}
	i, known := w.locals.get(key)
	if !known {
		i = len(w.Locals)
		*w.locals.at(key) = i
		w.Locals = append(w.Locals, Local{p.name, p.protocol, ipv6, w.byMark(), reals})
	}
	return i
}

// taken reports that the frontend is there already. One port at one address by two ways, say as load
// balancer and external IP, is one; two ports are a problem.
func (w *work) taken(p port, at netip.AddrPort) bool {
	key := ipvs.Key{Addr: at, Protocol: p.protocol}
	other, twice := w.seen.get(key)
	if twice && other != p {
		w.problem(badPort, "port %q: %s is that of port %q already", p.name, key, other.name)
	}
	return twice
}

// byMark returns what a virtual server by mark does with a new connection. With session affinity it
// hashes the client's address: persistence would work, but in a virtual server by mark it leaves the port
// that the client came to as it is, whatever the endpoint's (ip_vs_sched_persist,
// net/netfilter/ipvs/ip_vs_core.c). Maglev hashing moves few clients when endpoints change, and none
// when nothing does.
func (w *work) byMark() ipvs.VirtualServer {
	if w.config.Persistence == 0 {
		return w.config
	}
	hash := ipvs.VirtualServer{Scheduler: "mh", Flags: ipvs.SchedFallback}
	if w.o.Usable != nil && w.o.Usable(hash.Scheduler) != nil {
		hash.Scheduler = "sh"
	}
	return hash
}

func (w *work) add(p port, s Server, at netip.AddrPort) {
	s.Key, s.Config = ipvs.Key{Addr: at, Protocol: p.protocol}, w.config
	*w.seen.at(s.Key) = p
	w.Servers = append(w.Servers, s)
}

// relay adds a TCP node port on the loopback, which kernel IPVS refuses to balance.
func (w *work) relay(p port) {
	if !w.o.Localhost || p.protocol != ipvs.TCP {
		return
	}
	for _, loopback := range []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
		if loopback.Is4() && w.ipv4 || loopback.Is6() && w.ipv6 {
			var targets []netip.AddrPort
			for _, real := range w.choice(p, loopback).cluster {
				targets = append(targets, real.Addr)
			}
			w.Relays = append(w.Relays, Relay{
				Listen: netip.AddrPortFrom(loopback, p.nodePort), Targets: targets, Sticky: w.config.Persistence > 0,
			})
		}
	}
}

// health returns what the Service's health check server answers.
func (w *work) health() Health {
	spec := &w.svc.Spec
	if spec.Type != corev1.ServiceTypeLoadBalancer || !w.policies.externalLocal || spec.HealthCheckNodePort == 0 {
		return Health{}
	}
	if spec.HealthCheckNodePort < 1 || spec.HealthCheckNodePort > 65535 {
		w.problem(badPort, "healthCheckNodePort %d is no port", spec.HealthCheckNodePort)
		return Health{}
	}
	return Health{uint16(spec.HealthCheckNodePort), w.all.localReady(w.ipv4, w.ipv6), append(w.nodeAddrs(), w.ingress...)}
}
