package ipvs

import (
	"container/heap"
	"iter"
	"slices"
	"time"
)

// calendar holds when something is due with drains, soonest first, so that what waits for its time costs nothing. What has
// been overtaken stays in it until it would be due, or is most of it.
type calendar struct {
	list  appointments
	holds func(realKey, time.Time) bool // that an appointment has not been overtaken
}

type appointment struct {
	at  time.Time
	key realKey
}

// fewAppointments are kept without asking whether they have been overtaken.
const fewAppointments = 64

// add makes an appointment. About so many can hold at most. It need not hold yet: only those before it are asked whether
// they do.
func (c *calendar) add(at time.Time, key realKey, most int) {
	if len(c.list) >= 2*most+fewAppointments {
		c.list = slices.Clip(slices.DeleteFunc(c.list, func(a appointment) bool { return !c.holds(a.key, a.at) }))
		heap.Init(&c.list)
	}
	heap.Push(&c.list, appointment{at, key})
}

// next returns when the first appointment is.
func (c *calendar) next() (at time.Time, any bool) {
	for len(c.list) > 0 && !c.holds(c.list[0].key, c.list[0].at) {
		heap.Pop(&c.list)
	}
	if len(c.list) == 0 {
		return time.Time{}, false
	}
	return c.list[0].at, true
}

// until takes the appointments up to now out of the calendar. Of what is yielded, the caller may make others hold no longer.
func (c *calendar) until(now time.Time) iter.Seq[realKey] {
	return func(yield func(realKey) bool) {
		for at, any := c.next(); any && !at.After(now); at, any = c.next() {
			if !yield(heap.Pop(&c.list).(appointment).key) {
				return
			}
		}
	}
}

// appointments implements heap.Interface.
type appointments []appointment

func (l appointments) Len() int           { return len(l) }
func (l appointments) Less(i, j int) bool { return l[i].at.Before(l[j].at) }
func (l appointments) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }
func (l *appointments) Push(a any)        { *l = append(*l, a.(appointment)) }

func (l *appointments) Pop() any {
	last := len(*l) - 1
	a := (*l)[last]
	if *l = (*l)[:last]; last == 0 {
		*l = nil // it may have been very long
	}
	return a
}
