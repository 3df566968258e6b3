package controller

import (
	"errors"
	"strings"

	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// traced begins to record the writes to the three Fakes, in the order in which they come.
func (r *rig) traced() {
	r.trace = nil
	r.hook(func(op string) error {
		r.trace = append(r.trace, op)
		return nil
	})
}

// refuse has every write fail that begins with the text; "" refuses none.
func (r *rig) refuse(begin string) {
	r.hook(func(op string) error {
		if begin != "" && strings.HasPrefix(op, begin) {
			return errors.New("refused")
		}
		return nil
	})
}

func (r *rig) hook(decide func(op string) error) {
	r.ipvs.Fail = func(op ipvs.Op) error { return decide(op.String()) }
	r.masq.Fail = func(op masq.Op) error { return decide(op.String()) }
	r.dummyif.Fail = func(op dummyif.Op) error { return decide(op.String()) }
}

// inOrder checks that these writes were recorded in this order. Marks are written M1, M2, ... in the
// order of their numbers.
func (r *rig) inOrder(want ...string) {
	r.t.Helper()
	trace := strings.Join(r.trace, "\n")
	at := -1
	for _, op := range want {
		op = withMarks(op)
		found := -1
		for i, seen := range r.trace {
			if seen == op {
				found = i
				break
			}
		}
		if found < 0 {
			r.t.Errorf("%s was never written; what was:\n%s", op, trace)
			return
		}
		if found <= at {
			r.t.Errorf("%s came too early; in order:\n%s\nwant\n%s", op, trace, strings.Join(want, "\n"))
			return
		}
		at = found
	}
}
