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
	add(s.Drop || s.Restricted, masq.Restricted, 0)
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

// sharedEntries returns what the sets say about a Service that is not about one of its virtual servers, and may be wanted
// by another Service as well.
func sharedEntries(r *render.Rendered) []masq.Entry {
	if len(r.Hairpin)+len(r.Health.At) == 0 {
		return nil
	}
	list := make([]masq.Entry, 0, len(r.Hairpin)+len(r.Health.At))
	for _, addr := range r.Hairpin {
		list = append(list, masq.Entry{Set: masq.Hairpin, Addr: addr})
	}
	for _, addr := range r.Health.At {
		list = append(list, masq.Entry{Set: masq.Health, Addr: addr, Port: r.Health.Port, Protocol: uint8(ipvs.TCP)})
	}
	return list
}

// counts says how many need something.
type counts[K comparable] map[K]int

// add reports whether this is the first one.
func (c counts[K]) add(it K) bool {
	before := len(c)
	c[it]++
	return len(c) > before
}

// remove reports whether this was the last one.
func (c counts[K]) remove(it K) bool {
	if c[it]--; c[it] > 0 {
		return false
	}
	delete(c, it)
	return true
}
