package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/test/bench/dataset"
	"github.com/fairlead-lb/fairlead/test/lab"
)

// site is a fresh network for one subject: a near node on which it runs, a pod there that connects to VIPs, and a far
// node that answers at every address that an endpoint can have. So there are as many endpoints as one likes, and only
// one program that answers.
type site struct {
	lab       *lab.Lab
	near, far *lab.Node
	caller    *lab.Pod
	backend   *backend
}

// callerAddress is where connections come from: a pod's, because a pod's traffic needs no masquerading.
const callerAddress = "10.128.0.9"

// connectLimit bounds one connection. A VIP that is not served refuses at once.
const connectLimit = time.Second

// newSite builds the network and makes the API server reachable in it: for the subject at the kubeconfig's address, and
// for clients of its Service at the address that it advertises.
func newSite(ctx context.Context, c *cluster) (_ *site, err error) {
	s := new(site)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.lab, err = lab.Create(ctx, lab.Options{}); err != nil {
		return nil, err
	}
	if s.near, err = s.lab.AddNode(dataset.Near, dataset.NearCIDR); err != nil {
		return nil, err
	}
	if s.far, err = s.lab.AddNode(dataset.Far, dataset.FarCIDR); err != nil {
		return nil, err
	}
	if s.caller, err = s.near.AddPod("caller", callerAddress); err != nil {
		return nil, err
	}
	api, err := c.advertised(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.route(ctx, api.Addr()); err != nil {
		return nil, err
	}
	if _, err := lab.Relay(ctx, s.near.Namespace, "127.0.0.1:"+c.port, c.host+":"+c.port); err != nil {
		return nil, err
	}
	if _, err := lab.Relay(ctx, s.far.Namespace, api.String(), c.host+":"+c.port); err != nil {
		return nil, err
	}
	s.backend, err = listen(s.far.Namespace)
	return s, err
}

// route makes every endpoint's address the far node's own, the API server's among them, and lets the near node refuse what is for a VIP that
// nobody serves: a probe must not wait for the answer that does not come.
func (s *site) route(ctx context.Context, api netip.Addr) error {
	for _, c := range []struct {
		node *lab.Node
		line string
	}{
		{s.far, "ip route add local " + dataset.FarCIDR + " dev lo"},
		{s.far, "ip route add local " + api.String() + "/32 dev lo"},
		{s.near, "ip route add unreachable " + dataset.ServiceCIDR},
	} {
		words := strings.Fields(c.line)
		if _, err := c.node.Run(ctx, words[0], words[1:]...); err != nil {
			return err
		}
	}
	if err := s.near.AddRoute(api.String()+"/32", s.far); err != nil {
		return err
	}
	return s.near.SetSysctl("ipv4/icmp_ratelimit", "0")
}

func (s *site) close() error {
	if s.backend != nil {
		s.backend.close()
	}
	if s.lab == nil {
		return nil
	}
	return s.lab.Close()
}

// probed is how many targets are tried in turn. More would only cost the subject processor time: as long as these are
// not served, not everything is.
const probed = 8

// served connects to the targets, the first ones first, until each has accepted a connection. It calls found with the time
// when that was seen.
func (s *site) served(ctx context.Context, targets []netip.AddrPort, found func(i int, at time.Time)) error {
	open := make([]int, len(targets)) // indices of those that are not served yet
	for i := range open {
		open[i] = i
	}
	begin := time.Now()
	return s.caller.Do(func() error {
		for len(open) > 0 {
			before := len(open)
			for _, i := range slices.Clone(open[:min(probed, len(open))]) {
				if try(targets[i], connectLimit) == nil {
					found(i, time.Now())
					open = slices.DeleteFunc(open, func(n int) bool { return n == i })
				}
			}
			if len(open) < before && ctx.Err() == nil {
				continue
			}
			if err := pause(ctx, begin); err != nil {
				return fmt.Errorf("%s, the first of %d: %w", targets[open[0]], len(open), err)
			}
		}
		return nil
	})
}

// pause waits before the next probe: the longer something takes already, the less does it matter to the millisecond,
// and probes cost a slow subject processor time.
func pause(ctx context.Context, begin time.Time) error {
	wait := min(max(time.Since(begin)/50, 200*time.Microsecond), 50*time.Millisecond)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for connections through VIPs: %w", context.Cause(ctx))
	}
}
