package ipvs

import (
	"iter"
	"net/netip"
	"slices"
)

// Real is one of a virtual server's real servers.
type Real struct {
	Addr netip.AddrPort
	RealServer
}

// Reals are the real servers of a virtual server: sorted by address, each once. They are shared, between
// virtual servers and between what is desired and what is there, and never changed.
type Reals []Real

// SortReals makes Reals out of what is in no order. It keeps the slice.
func SortReals(reals []Real) Reals {
	byAddr := func(a, b Real) int { return a.Addr.Compare(b.Addr) }
	if !slices.IsSortedFunc(reals, byAddr) {
		slices.SortFunc(reals, byAddr)
	}
	return reals
}

// Find returns one of the real servers.
func (r Reals) Find(addr netip.AddrPort) (RealServer, bool) {
	i, found := slices.BinarySearchFunc(r, addr, func(one Real, addr netip.AddrPort) int { return one.Addr.Compare(addr) })
	if !found {
		return RealServer{}, false
	}
	return r[i].RealServer, true
}

// Equal reports that both are the same, at no cost if they are one slice.
func (r Reals) Equal(o Reals) bool { return r.is(o) || slices.Equal(r, o) }

// is reports that both are one slice.
func (r Reals) is(o Reals) bool { return len(r) == len(o) && (len(r) == 0 || &r[0] == &o[0]) }

// ends is how many real servers two lists begin and end with alike: so many, or more. Mostly one of very many is
// another: then all walks but one are over the few between.
type ends struct{ head, tail int32 }

// endsOf is that one walk.
func endsOf(a, b Reals) ends {
	shorter := min(len(a), len(b))
	if shorter > 0 && &a[0] == &b[0] {
		return ends{head: int32(shorter)}
	}
	head := 0
	for head < shorter && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < shorter-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	return ends{int32(head), int32(tail)}
}

// and is what a list has in common with a third one, when it has e in common with another, and that one o with the
// third.
func (e ends) and(o ends) ends { return ends{min(e.head, o.head), min(e.tail, o.tail)} }

// between is the rest of one of the lists.
func (e ends) between(r Reals) Reals { return r[e.head : len(r)-int(e.tail)] }

// difference yields what differs between the real servers that are desired and those that are there: nil
// stands for none.
func difference(desired, actual Reals) iter.Seq2[*Real, *Real] {
	return func(yield func(want, have *Real) bool) { merge(desired, actual, yield) }
}

// merge is difference as a call. It is one walk over both; what is the same is passed over by what costs least.
func merge(desired, actual Reals, yield func(want, have *Real) bool) {
	for {
		same, shorter := 0, min(len(desired), len(actual))
		for same < shorter && desired[same] == actual[same] {
			same++
		}
		if desired, actual = desired[same:], actual[same:]; len(desired)+len(actual) == 0 {
			return
		}
		var want, have *Real
		order := compareFirst(desired, actual)
		if order <= 0 {
			want, desired = &desired[0], desired[1:]
		}
		if order >= 0 {
			have, actual = &actual[0], actual[1:]
		}
		if !yield(want, have) {
			return
		}
	}
}

// compareFirst compares the first ones; none is behind all.
func compareFirst(a, b Reals) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return a[0].Addr.Compare(b[0].Addr)
}

// without yields the addresses in r that are not in o.
func (r Reals) without(o Reals) iter.Seq[netip.AddrPort] {
	return func(yield func(netip.AddrPort) bool) {
		merge(r, o, func(mine, theirs *Real) bool { return theirs != nil || yield(mine.Addr) })
	}
}

// realChange is what became of one real server: it has a value, or is gone.
type realChange struct {
	Real
	gone bool
}

// settles reports that the change is all that is to be done about a difference.
func (c realChange) settles(want, have *Real) bool {
	if want == nil {
		return c.gone && c.Addr == have.Addr
	}
	return !c.gone && c.Real == *want
}

// with returns the real servers after the changes, which are sorted by address.
func (r Reals) with(changes []realChange) Reals {
	after := make(Reals, 0, len(r)+len(changes))
	for _, c := range changes {
		n, there := slices.BinarySearchFunc(r, c.Addr, func(one Real, addr netip.AddrPort) int { return one.Addr.Compare(addr) })
		after = append(after, r[:n]...)
		if r = r[n:]; there {
			r = r[1:]
		}
		if !c.gone {
			after = append(after, c.Real)
		}
	}
	return append(after, r...)
}
