package controller

import (
	"log/slog"
	"net/netip"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/controller/render"
	"github.com/fairlead-lb/fairlead/internal/relay"
)

// relays are the node ports on the loopback. The API server gives out a node port once, but a directory may name one twice,
// and in one round the Service that gets it may be claimed before the one that loses it. So it goes as virtual servers do: the
// first of the claimants has it.
type relays struct {
	relay  *relay.Relay
	of     map[types.NamespacedName][]netip.AddrPort // what each Service wants
	wanted map[netip.AddrPort]claimants
}

func newRelays(log *slog.Logger) *relays {
	return &relays{
		relay: relay.New(func(listen netip.AddrPort, err error) {
			log.Error("cannot serve a node port on the loopback", "listen", listen.String(), "err", err)
		}),
		of:     make(map[types.NamespacedName][]netip.AddrPort),
		wanted: make(map[netip.AddrPort]claimants),
	}
}

// replace makes these exactly what a Service wants. It returns who gets a relay that it had.
func (r *relays) replace(me claimant, now []render.Relay) (woken []types.NamespacedName) {
	before := r.of[me.name]
	if len(before) == 0 && len(now) == 0 {
		return nil
	}
	delete(r.of, me.name)
	stays := make(map[netip.AddrPort]bool, len(now))
	for _, one := range now {
		stays[one.Listen] = true
		r.of[me.name] = append(r.of[me.name], one.Listen)
		list := r.wanted[one.Listen]
		had := len(list) > 0 && list[0].name == me.name
		list.put(me, true)
		r.wanted[one.Listen] = list
		switch {
		case list[0].name == me.name:
			r.set(one)
		case had: // deleted and created again, it is younger now
			woken = append(woken, list[0].name)
		}
	}
	for _, listen := range before {
		if !stays[listen] {
			woken = append(woken, r.release(listen, me.name)...)
		}
	}
	return woken
}

// set opens a relay, or has it go on with other targets. Without any the kernel refuses who comes, as elsewhere.
func (r *relays) set(one render.Relay) {
	if len(one.Targets) == 0 {
		r.relay.Unset(one.Listen)
		return
	}
	r.relay.Set(one.Listen, one.Targets, one.Sticky)
}

// release ends that a Service wants a relay. It returns who has it from now on, if that is another one.
func (r *relays) release(listen netip.AddrPort, name types.NamespacedName) (woken []types.NamespacedName) {
	list := r.wanted[listen]
	had := list[0].name == name
	list.remove(name)
	if len(list) == 0 {
		r.relay.Unset(listen)
		delete(r.wanted, listen)
		return nil
	}
	r.wanted[listen] = list
	if had {
		woken = append(woken, list[0].name)
	}
	return woken
}
