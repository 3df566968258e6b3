package controller

import (
	"errors"
	"time"

	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// reschedule has virtual servers go on with another scheduler, one after the other. It stops when the round has been long
// enough, or tired says that something else waits; the next round goes on.
//
// While the kernel changes a scheduler, a virtual server has none, and refuses who connects (ipvs.Table.Reschedule). So new
// connections are dropped meanwhile, as those are that may not come: a client sends its SYN again after a second, and
// never knows. Open connections are not asked for a scheduler.
func (c *Controller) reschedule(tired func() bool) error {
	var errs []error
	c.rescheduling = false
	started, keys := time.Now(), c.ipvs.Reschedules()
	leading := c.leading(keys)
	for i, k := range keys {
		if c.rescheduling = i > 0 && (time.Since(started) > c.longest || tired()); c.rescheduling {
			break
		}
		frontends := []ipvs.Key{k}
		if byMark(k) {
			frontends = leading[k]
		}
		errs = append(errs, c.whileHeld(frontends, func() error { return c.ipvs.Reschedule(k) }))
	}
	return errors.Join(errs...)
}

// leading returns the virtual servers by address whose clients are led to those by mark among these.
func (c *Controller) leading(keys []ipvs.Key) map[ipvs.Key][]ipvs.Key {
	led := make(map[ipvs.Key][]ipvs.Key)
	for _, k := range keys {
		if byMark(k) {
			led[k] = nil
		}
	}
	if len(led) == 0 {
		return nil
	}
	for k := range c.claims.servers {
		mark := c.leadsTo(k)
		if _, asked := led[mark]; asked {
			led[mark] = append(led[mark], k)
		}
	}
	return led
}

// whileHeld does something while no new connection comes through to these virtual servers by address. What cannot be
// taken back is pending, as anything else that differs from what is desired.
func (c *Controller) whileHeld(frontends []ipvs.Key, do func() error) error {
	var hold, release []masq.Op
	for _, k := range frontends {
		hold, release = c.appendHold(hold, release, k)
	}
	return errors.Join(c.writeEntries(hold), do(), c.writeEntries(release))
}

// appendHold appends what keeps new connections away, all of them, and what lets those in again that may come.
func (c *Controller) appendHold(hold, release []masq.Op, k ipvs.Key) (longerHold, longerRelease []masq.Op) {
	claim := c.claims.servers[k]
	if claim == nil { // nobody's any more, it drains
		return hold, release
	}
	if restricted := frontend(masq.Restricted, k); !c.masq.Has(restricted) {
		hold = append(hold, masq.Op{Entry: restricted})
		release = append(release, masq.Op{Delete: true, Entry: restricted})
	}
	for _, e := range claim.entries {
		if e.Set == masq.Allowed && c.masq.Has(e.Entry) {
			hold = append(hold, masq.Op{Delete: true, Entry: e.Entry})
			release = append(release, masq.Op{Entry: e.Entry})
		}
	}
	return hold, release
}

func (c *Controller) writeEntries(ops []masq.Op) error {
	if len(ops) == 0 {
		return nil
	}
	return c.masq.Record(ops, c.masq.Write(ops))
}
