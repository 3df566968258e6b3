package controller

import (
	"net/netip"

	"github.com/fairlead-lb/fairlead/controller/render"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// entry is a set entry with its mark.
type entry struct {
	masq.Entry
	mark uint32
}

// appendEntries appends what the sets say about a virtual server. mark is that of its local endpoints.
func appendEntries(list []entry, s *render.Server, mark uint32) []entry {
	list = append(list, entry{served(s.Key), 0})
	add := func(wanted bool, set masq.Set, mark uint32) {
		if wanted {
			list = append(list, entry{frontend(set, s.Key), mark})
		}
	}
	add(s.Masquerade, masq.Masquerade, 0)
	add(s.Outside != render.OutsideAlike, masq.Local, mark)
	add(s.Drop, masq.Drop, 0)
	add(s.Restricted, masq.Restricted, 0)
	for _, cidr := range s.Sources {
		allowed := frontend(masq.Allowed, s.Key)
		allowed.Source = cidr
		list = append(list, entry{allowed, 0})
	}
	return list
}

func served(k ipvs.Key) masq.Entry { return frontend(masq.Served, k) }

func frontend(set masq.Set, k ipvs.Key) masq.Entry {
	return masq.Entry{Set: set, Addr: k.Addr.Addr(), Port: k.Addr.Port(), Protocol: uint8(k.Protocol)}
}

func vipEntry(vip netip.Addr) masq.Entry { return masq.Entry{Set: masq.VIPs, Addr: vip} }

func keyOf(e masq.Entry) ipvs.Key {
	return ipvs.Key{Addr: netip.AddrPortFrom(e.Addr, e.Port), Protocol: ipvs.Protocol(e.Protocol)}
}

// counts says how many need an address.
type counts map[netip.Addr]int

// add reports whether this is the first one.
func (c counts) add(addr netip.Addr) bool {
	before := len(c)
	c[addr]++
	return len(c) > before
}

// remove reports whether this was the last one.
func (c counts) remove(addr netip.Addr) bool {
	if c[addr]--; c[addr] > 0 {
		return false
	}
	delete(c, addr)
	return true
}
