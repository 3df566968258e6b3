package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/plan"
	"github.com/fairlead-lb/fairlead/view"
)

// kernelView is what a node's kernel has, for where no daemon answers. Nobody then knows of Services, or of what should
// be there: everything is only there, and Fairlead's own if its sets say so.
type kernelView struct {
	state   plan.State
	entries map[masq.Entry]uint32
	leads   map[ipvs.Key]bool // virtual servers by mark that an entry leads to
}

var _ view.Source = kernelView{}

func newKernelView(state plan.State) (kernelView, error) {
	entries, err := state.Masq.Entries()
	v := kernelView{state, entries, make(map[ipvs.Key]bool)}
	for e, mark := range entries {
		if mark != 0 {
			v.leads[ipvs.MarkKey(mark, e.Addr.Is6())] = true
		}
	}
	return v, err
}

// Kinds and the state of what is only known to be there.
const (
	kindOurs   = "Fairlead's"
	kindOthers = "somebody else's"
	stateThere = "in the kernel"
)

// kind says whose a virtual server is. One by firewall mark is Fairlead's if an entry leads there.
func (v kernelView) kind(k ipvs.Key) string {
	_, ours := v.entries[masq.Entry{Set: masq.Served, Addr: k.Addr.Addr(), Port: k.Addr.Port(), Protocol: uint8(k.Protocol)}]
	if k.Mark != 0 {
		ours = v.leads[k]
	}
	if ours {
		return kindOurs
	}
	return kindOthers
}

// servers lists virtual servers with their real servers, by address.
func (v kernelView) servers(f view.Filter) (list []view.Server, err error) {
	all, err := v.state.IPVS.Servers()
	if err != nil {
		return nil, err
	}
	for k, config := range all {
		reals, err := v.state.IPVS.RealServers(k)
		if err != nil {
			return nil, err
		}
		s := view.Server{Name: k.String(), Kind: v.kind(k), State: stateThere, Endpoints: len(reals), InForce: len(reals),
			Kernel: &view.Config{Scheduler: config.Scheduler, Persistence: int(config.Persistence / time.Second), Text: ipvs.FormatServer(k, config)}}
		asked := f.Address == "" || k.Mark == 0 && f.WantsAt(k.Addr.String())
		for at, real := range sorted(reals) {
			weight := int(real.Weight)
			s.Reals = append(s.Reals, view.Real{Address: at.String(), State: stateThere, Kernel: &weight})
			asked = asked || f.WantsAt(at.String())
		}
		if asked {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b view.Server) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// errNoNames is the answer to questions about Services.
var errNoNames = errors.New("without the daemon nobody here knows of Services: ask by --address, or without a name")

func (v kernelView) check(f view.Filter) error {
	if f.Namespace+f.Name != "" {
		return errNoNames
	}
	return nil
}

// Status implements view.Source.
func (v kernelView) Status(context.Context) (s view.Status, err error) {
	now := time.Now()
	s = view.Status{Version: readBuild().Version, Kernel: kernelRelease(), Phase: view.PhaseNoDaemon, Now: now,
		Notes: []string{}, Problems: []view.Reason{}, Recent: []view.Occurrence{}}
	servers, err := v.servers(view.Filter{})
	if err != nil {
		return s, err
	}
	bindings, err := v.state.Dummyif.Bindings()
	s.VirtualServers.Total, s.Addresses.Total, s.Entries.Total = len(servers), len(bindings), len(v.entries)
	for _, server := range servers {
		s.RealServers += len(server.Reals)
		if server.Kind == kindOurs {
			s.Served++
		}
	}
	return s, err
}

// Services implements view.Source: one without a name for each virtual server.
func (v kernelView) Services(_ context.Context, f view.Filter) (list view.Services, err error) {
	list.Items = []view.Service{}
	servers, err := v.servers(f)
	for _, s := range servers {
		list.Items = append(list.Items, view.Service{State: stateThere, Servers: []view.Server{s}})
	}
	list.Total = len(list.Items)
	return list, errors.Join(err, v.check(f))
}

// Endpoints implements view.Source.
func (v kernelView) Endpoints(_ context.Context, f view.Filter) ([]view.Endpoint, error) {
	list := []view.Endpoint{}
	servers, err := v.servers(f)
	for _, s := range servers {
		for _, real := range s.Reals {
			list = append(list, view.Endpoint{Server: s.Name, Kind: s.Kind, Real: real})
		}
	}
	return list, errors.Join(err, v.check(f))
}

// Addresses implements view.Source.
func (v kernelView) Addresses(_ context.Context, f view.Filter) ([]view.Address, error) {
	list := []view.Address{}
	bindings, err := v.state.Dummyif.Bindings()
	servers, serversErr := v.state.IPVS.Servers()
	at := make(map[netip.Addr][]string)
	for k := range servers {
		if k.Mark == 0 {
			at[k.Addr.Addr()] = append(at[k.Addr.Addr()], k.String())
		}
	}
	for b := range bindings {
		if !f.WantsVIP(b.Addr) {
			continue
		}
		list = append(list, view.Address{Address: b.Addr.String(), As: b.Way.String(), State: stateThere, Kernel: true, Servers: append([]string{}, slices.Sorted(slices.Values(at[b.Addr]))...)})
	}
	slices.SortFunc(list, func(a, b view.Address) int { return cmp.Compare(a.Address, b.Address) })
	return list, errors.Join(err, serversErr, v.check(f))
}

// Sets implements view.Source.
func (v kernelView) Sets(_ context.Context, f view.Filter) ([]view.Entry, error) {
	list := []view.Entry{}
	for e, mark := range v.entries {
		if f.WantsAt(netip.AddrPortFrom(e.Addr, e.Port).String()) {
			list = append(list, view.Entry{Set: e.Set.Name(masq.FamilyOf(e.Addr)), Text: masq.Op{Entry: e, Mark: mark}.String(), State: stateThere, Kernel: true})
		}
	}
	slices.SortFunc(list, func(a, b view.Entry) int { return cmp.Compare(a.Text, b.Text) })
	return list, v.check(f)
}

// Explain implements view.Source: of an address it tells which virtual servers and real servers there are.
func (v kernelView) Explain(_ context.Context, what string) ([]view.Explanation, error) {
	address := strings.Trim(what, "[]")
	if _, err := netip.ParseAddrPort(what); err == nil {
		address = what
	} else if _, err := netip.ParseAddr(address); err != nil {
		return nil, errNoNames
	}
	servers, err := v.servers(view.Filter{Address: address})
	if err == nil && len(servers) == 0 {
		err = fmt.Errorf("the kernel has no virtual server at %s", what)
	}
	e := view.Explanation{Service: view.Service{State: stateThere, Servers: servers}}
	return []view.Explanation{e}, err
}

// Owners implements view.Source.
func (v kernelView) Owners(context.Context) ([]view.Owner, error) { return nil, nil }
