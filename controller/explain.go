package controller

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/controller/render"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/view"
)

// Explain says why a Service is served as it is, and how packets to it fare. What is asked for is namespace/name,
// or address:port or an address, which may be those of several Services: who has it comes first. It is safe for
// concurrent use, while Run runs. Without an answer it returns an error that says what was looked for.
func (c *Controller) Explain(ctx context.Context, what string) (list []view.Explanation, err error) {
	names, err := c.named(ctx, what)
	if err != nil {
		return nil, err
	}
	err = inParts(ctx, c, names, func(name types.NamespacedName) { list = append(list, c.explain(name)) })
	return list, err
}

// named returns the Services that are meant.
func (c *Controller) named(ctx context.Context, what string) (names []types.NamespacedName, err error) {
	addr, addrErr := netip.ParseAddr(strings.Trim(what, "[]"))
	at, atErr := netip.ParseAddrPort(what)
	namespace, name, isName := strings.Cut(what, "/")
	foreign := false
	err = c.look(ctx, func() {
		switch {
		case atErr == nil:
			names = c.claimantsAt(func(k ipvs.Key) bool { return k.Addr == at })
			foreign = slices.Contains(c.hostAddresses(), at.Addr())
		case addrErr == nil:
			names = c.claimantsAt(func(k ipvs.Key) bool { return k.Addr.Addr() == addr })
			foreign = slices.Contains(c.hostAddresses(), addr)
		case isName:
			if n := (types.NamespacedName{Namespace: namespace, Name: name}); c.objects != nil && c.objects.service(n) != nil {
				names = []types.NamespacedName{n}
			}
		}
	})
	switch {
	case err != nil || len(names) > 0:
		return names, err
	case atErr != nil && addrErr != nil && !isName:
		return nil, fmt.Errorf("%q is neither namespace/name nor an address, with or without a port", what)
	case isName:
		return nil, fmt.Errorf("the %s knows no Service %s", c.sourceName(), what)
	case foreign:
		return nil, fmt.Errorf("no Service has %s; the address is this node's own, and what does not belong to a Service goes to the node's processes", what)
	}
	return nil, fmt.Errorf("no Service has %s: packets to it are not Fairlead's business here", what)
}

func (c *Controller) sourceName() string {
	if c.source.Complete() {
		return "source"
	}
	return "source, which is not complete yet,"
}

func (c *Controller) hostAddresses() []netip.Addr { return c.render.NodeIPs }

// claimantsAt returns the Services that want certain virtual servers, those that have them first.
func (c *Controller) claimantsAt(is func(ipvs.Key) bool) (names []types.NamespacedName) {
	var keys []ipvs.Key
	for k := range c.claims.servers {
		if is(k) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, ipvs.Key.Compare)
	for _, k := range keys {
		for _, claimant := range c.claims.servers[k].claimants {
			if !slices.Contains(names, claimant.name) {
				names = append(names, claimant.name)
			}
		}
	}
	return names
}

func (c *Controller) explain(name types.NamespacedName) view.Explanation {
	e := view.Explanation{
		Service:  c.describe(name, detail{reals: true, entries: true}),
		Verdicts: []view.Verdict{}, Paths: []view.Path{},
	}
	svc := c.objects.service(name)
	if svc == nil {
		return e
	}
	e.Created = svc.CreationTimestamp.Time
	e.Internal, e.External, e.Affinity = policiesOf(svc)
	endpointSlices := c.objects.endpointSlices(name)
	rendered := render.Service(svc, endpointSlices, c.render, c.settings.get(name))
	for _, v := range render.Explain(svc, endpointSlices, c.render, rendered.Settings) {
		e.Verdicts = append(e.Verdicts, verdictOf(v))
	}
	e.Settings = settingsOf(c.settings.get(name))
	e.Paths = c.paths(name, rendered)
	e.Remarks = c.remarks(svc, e, rendered)
	if rendered.Health.Port != 0 {
		e.HealthNow = fmt.Sprintf("port %d answers with %d local endpoints", rendered.Health.Port, rendered.Health.Local)
	}
	return e
}

func policiesOf(svc *corev1.Service) (internal, external, affinity string) {
	internal, external, affinity = "Cluster", string(svc.Spec.ExternalTrafficPolicy), string(svc.Spec.SessionAffinity)
	if p := svc.Spec.InternalTrafficPolicy; p != nil {
		internal = string(*p)
	}
	if affinity == "" {
		affinity = "None"
	}
	if external == "" && (svc.Spec.Type == corev1.ServiceTypeNodePort || svc.Spec.Type == corev1.ServiceTypeLoadBalancer || len(svc.Spec.ExternalIPs) > 0) {
		external = "Cluster"
	}
	return internal, external, affinity
}

func verdictOf(v render.Verdict) view.Verdict {
	return view.Verdict{
		Port: v.Port, Protocol: v.Protocol.String(), Address: v.Addr.String(), Node: v.Node, Slice: v.Slice,
		Ready: v.Ready, Serving: v.Serving, Terminating: v.Terminating, Weight: int(v.Weight),
		In: v.Cluster, Why: v.WhyCluster, Local: v.Local, WhyLocal: v.WhyLocal,
	}
}

// settingsOf says what annotations decide.
func settingsOf(s render.Settings) (list []string) {
	if s.Scheduler != "" {
		list = append(list, "scheduler "+s.Scheduler)
	}
	if s.DrainTimeout != nil {
		list = append(list, "drain timeout "+s.DrainTimeout.Round(time.Second).String())
	}
	for slice, weight := range s.Weights {
		list = append(list, fmt.Sprintf("weight %d for the endpoints of EndpointSlice %s", weight, slice))
	}
	slices.Sort(list)
	return list
}

// remarks are what is easily overlooked.
func (c *Controller) remarks(svc *corev1.Service, e view.Explanation, r render.Rendered) (list []string) {
	say := func(when bool, format string, args ...any) {
		if when {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	in := slices.ContainsFunc(e.Verdicts, func(v view.Verdict) bool { return v.In })
	served := len(e.Servers) > 0
	say(served && len(e.Verdicts) == 0, "no EndpointSlice of this Service has an address: no pod matches its selector, or nobody has written its slices; connections are refused")
	say(served && len(e.Verdicts) > 0 && !in, "no endpoint can be used: connections are refused; see why each is out")
	say(r.NoLocalExternal, "externalTrafficPolicy Local, and no usable endpoint on this node: connections from outside are dropped, and the load balancer's health check fails")
	say(r.NoLocalInternal, "internalTrafficPolicy Local, and no usable endpoint on this node: connections to the cluster IP are dropped")
	restricted := slices.ContainsFunc(r.Servers, func(s render.Server) bool { return s.Restricted })
	say(restricted, "loadBalancerSourceRanges admit %s to the load balancer's IP; others are dropped", rangesOf(svc))
	say(served && svc.Spec.Type == corev1.ServiceTypeLoadBalancer && len(svc.Status.LoadBalancer.Ingress) == 0,
		"the load balancer has no address yet: status.loadBalancer is empty, which is the load balancer controller's to fill")
	say(svc.Spec.SessionAffinity == corev1.ServiceAffinityClientIP, "session affinity ClientIP: one client address always meets one endpoint; test with several clients")
	list = append(list, silenceNotes(c.contacts(), time.Now())...)
	say(c.options.NodeCIDR && c.options.Masq.Pods.Unknown, "nobody said yet which addresses pods have: the Node has no podCIDRs")
	return list
}

func rangesOf(svc *corev1.Service) string {
	const shown = 8
	if all := svc.Spec.LoadBalancerSourceRanges; len(all) <= shown {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(svc.Spec.LoadBalancerSourceRanges[:shown], ", "), len(svc.Spec.LoadBalancerSourceRanges)-shown)
}
