package controller

import "time"

const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
	// soonest keeps drains that are due, but could not all be looked at, from spinning.
	soonest = 100 * time.Millisecond
)

// trigger decides when the next round is due: after a failure with growing patience, when a drain
// wants to be looked at, and for the periodic audit.
type trigger struct {
	retry time.Duration // 0: the last round succeeded
	at    time.Time     // when to retry
	audit time.Time     // when to read more of the kernel
	next  time.Time     // when to begin anew with that
}

// auditSteps is into how many steps an audit is cut. It is done with half of them, so that each sync
// period sees everything once even when rounds are late.
const auditSteps = 16

// cycle begins an audit: the first step is taken, and the next cycle begins in a sync period.
func (t *trigger) cycle(now time.Time, period time.Duration) {
	t.next = now.Add(period)
	t.audit = now.Add(period / auditSteps)
}

// step records that a step of the audit is done.
func (t *trigger) step(now time.Time, period time.Duration, more bool) {
	t.audit = t.next
	if more {
		t.audit = now.Add(period / auditSteps)
	}
}

// failed and succeeded record how a round ended.
func (t *trigger) failed(now time.Time) {
	t.retry = min(max(2*t.retry, firstRetry), lastRetry)
	t.at = now.Add(t.retry)
}

func (t *trigger) succeeded() { t.retry = 0 }

// wait returns how long nothing needs to happen unless an event comes.
func (t *trigger) wait(now, drain time.Time, draining bool) time.Duration {
	next := t.audit
	if t.retry > 0 && t.at.Before(next) {
		next = t.at
	}
	if earliest := now.Add(soonest); draining && drain.Before(earliest) {
		drain = earliest
	}
	if draining && drain.Before(next) {
		next = drain
	}
	return max(next.Sub(now), 0)
}
