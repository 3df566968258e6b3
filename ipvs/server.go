package ipvs

import "iter"

// server is a virtual server and its real servers, as desired and as the kernel has them. There are very
// many of them, and mostly both sides are the same: then the real servers are one slice.
type server struct {
	desired, actual       VirtualServer
	wanted, there         bool
	swept                 uint8 // the last sweep that saw it: see sweep.go
	common                ends  // of the real servers of both sides, while they are two slices
	wantReals, thereReals Reals
}

// shared reports that the real servers of both sides are one slice.
func (s *server) shared() bool { return s.wantReals.is(s.thereReals) }

// want makes these real servers desired. It returns what differs between those that were and these; where nothing
// does, the old slice is kept, which may be that of the other side, too.
func (s *server) want(reals Reals) (gone, come Reals) {
	common := endsOf(s.wantReals, reals)
	gone, come = common.between(s.wantReals), common.between(reals)
	if len(gone) == 0 && len(come) == 0 {
		return nil, nil
	}
	if !s.shared() {
		common = common.and(s.common)
	}
	s.wantReals, s.common = reals, common
	return gone, come
}

// have records that these real servers are there. It returns what differs between those that were and these.
func (s *server) have(reals Reals) (gone, come Reals) {
	common := s.common
	if s.shared() || !reals.is(s.wantReals) {
		common = endsOf(s.thereReals, reals)
	}
	gone, come = common.between(s.thereReals), common.between(reals)
	if !s.shared() {
		common = common.and(s.common)
	}
	s.thereReals, s.common = reals, common
	return gone, come
}

// difference yields what differs between the real servers that are desired and those that are there.
func (s *server) difference() iter.Seq2[*Real, *Real] {
	return func(yield func(want, have *Real) bool) {
		if !s.shared() {
			merge(s.common.between(s.wantReals), s.common.between(s.thereReals), yield)
		}
	}
}

func (s *server) settled() bool {
	if s.wanted != s.there || s.desired != s.actual {
		return false
	}
	for range s.difference() {
		return false
	}
	return true
}

// reschedules reports whether the virtual server is there with another scheduler.
func (s *server) reschedules() bool {
	return s.wanted && s.there && s.actual.Scheduler != s.desired.Scheduler
}

// upserts reports whether there is anything to add or to change.
func (s *server) upserts() bool {
	if !s.there || s.actual != s.desired {
		return true
	}
	for want := range s.difference() {
		if want != nil {
			return true
		}
	}
	return false
}

func (s *server) upsertOps(ops []Op, k Key) []Op {
	switch {
	case !s.there:
		ops = append(ops, Op{Verb: AddServer, Key: k, Server: s.desired})
	case s.reschedules(): // see Table.Reschedule
	case s.actual != s.desired:
		ops = append(ops, Op{Verb: EditServer, Key: k, Server: s.desired})
	}
	for want, have := range s.difference() {
		switch {
		case want == nil:
		case have == nil:
			ops = append(ops, Op{Verb: AddReal, Key: k, Real: want.Addr, Value: want.RealServer})
		default:
			ops = append(ops, Op{Verb: EditReal, Key: k, Real: want.Addr, Value: want.RealServer})
		}
	}
	return ops
}

// after returns the real servers that are there after the changes. Mostly these are the ones that are desired.
func (s *server) after(changes []realChange) Reals {
	n := 0
	for want, have := range s.difference() {
		if n == len(changes) || !changes[n].settles(want, have) {
			return s.thereReals.with(changes)
		}
		n++
	}
	if n < len(changes) {
		return s.thereReals.with(changes)
	}
	return s.wantReals
}
