package ipvs

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Where clients are led aside to a virtual server by mark, their connections count there, and not at the virtual server by
// address that they came to. When that one is not desired any more, it must stay for them all the same, and its address with
// it. So it drains as if it had one more real server, without an address, whose connections are those of the other one.

// sharedTimeout is how long that lasts at most where the virtual server by mark is still desired, for other addresses, and
// no drain timeout is set: with clients of those it may never be idle.
const sharedTimeout = 15 * time.Minute

// elsewhere is the drain of the connections to a virtual server that count at another one.
func elsewhere(k Key) realKey { return realKey{server: k} }

// SetLeads says which virtual server by mark clients are led to that come to one by address: the zero Key where to none. It
// is asked about what an earlier daemon left.
func (t *Table) SetLeads(leads func(Key) Key) { t.leads = leads }

// LedTo notes that clients were led to a virtual server by mark until now, or will be no more in a moment.
func (t *Table) LedTo(k, mark Key) {
	if !t.Has(mark) || t.away[k] == mark {
		return
	}
	t.away[k] = mark
	if !slices.Contains(t.awayAt[mark], k) {
		t.awayAt[mark] = append(t.awayAt[mark], k)
	}
}

// leadsAway reports that connections to a virtual server may count at another one, which nobody has begun to look at.
func (t *Table) leadsAway(k Key) bool {
	_, begun := t.drains[elsewhere(k)]
	return !begun && k.Mark == 0 && t.connected(k) && t.Has(t.countsAt(k))
}

// countsAt is the virtual server by mark at which connections to one by address count.
func (t *Table) countsAt(k Key) Key {
	if mark, noted := t.away[k]; noted {
		return mark
	}
	return t.leads(k)
}

// drainElsewhere begins to wait for the connections that count at another virtual server.
func (t *Table) drainElsewhere(k Key, now time.Time) {
	t.LedTo(k, t.countsAt(k))
	t.drain(elsewhere(k), now)
	t.drainingElsewhere++
}

// undrainElsewhere ends that: the virtual server is desired again, or gone.
func (t *Table) undrainElsewhere(k Key) {
	if _, begun := t.drains[elsewhere(k)]; begun {
		t.undrain(k, netip.AddrPort{})
		t.drainingElsewhere--
	}
}

// forgetLed forgets what a virtual server that is gone had to do with another one.
func (t *Table) forgetLed(gone Key) {
	t.undrainElsewhere(gone)
	delete(t.away, gone)
	for _, k := range t.awayAt[gone] {
		if t.away[k] == gone {
			delete(t.away, k)
		}
	}
	delete(t.awayAt, gone)
}

// pollElsewhere is poll for the connections that count at another virtual server.
func (t *Table) pollElsewhere(k Key, now time.Time) error {
	mark, there := t.away[k]
	if !there { // gone, and its connections with it
		t.looked(elsewhere(k), true, now)
		t.touch(k, t.servers[k])
		return nil
	}
	t.messages++
	status, err := t.kernel.RealServers(mark)
	if err != nil {
		err = fmt.Errorf("read connections of %s at %s: %w", k, mark, err)
	}
	idle := err == nil
	for _, real := range status {
		idle = idle && real.Idle()
	}
	t.looked(elsewhere(k), idle, now)
	t.touch(k, t.servers[k])
	return err
}
