package controller

import "time"

const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 30 * time.Second
	// soonest keeps drains that are due, but could not all be looked at, from spinning.
	soonest = 100 * time.Millisecond
)

// backoff is the growing patience of what failed. The zero backoff has not failed.
type backoff struct {
	patience time.Duration // 0: the last try succeeded
	at       time.Time     // when to try again
}

// ended records how a try went that has just ended.
func (b *backoff) ended(now time.Time, err error) {
	if err == nil {
		*b = backoff{}
		return
	}
	b.patience = min(max(2*b.patience, firstRetry), lastRetry)
	b.at = now.Add(b.patience)
}

// trigger decides when the next round is due: after a failure, when a drain wants to be looked at, and
// for the periodic audit.
type trigger struct {
	round backoff
	audit time.Time // when to read more of the kernel
	next  time.Time // when to begin anew with that
}

// auditSteps is into how many steps an audit is cut. It is done with half of them, so that each sync
// period sees everything once even when rounds are late.
const auditSteps = 16

// cycle records that the first step of an audit is done: the next cycle begins in a sync period.
func (t *trigger) cycle(now time.Time, period time.Duration, more bool) {
	t.next = now.Add(period)
	t.step(now, period/auditSteps, more)
}

// step records that a step of the audit is done, or tried, and after what pause the next one is due, if there is
// more to do.
func (t *trigger) step(now time.Time, pause time.Duration, more bool) {
	t.audit = t.next
	if more {
		t.audit = now.Add(pause)
	}
}

// hasten brings the audit forward to no later than the given time.
func (t *trigger) hasten(latest time.Time) {
	for _, due := range []*time.Time{&t.audit, &t.next} {
		if latest.Before(*due) {
			*due = latest
		}
	}
}

// wait returns how long nothing needs to happen unless an event comes: until a retry of the round or of the rules, the next step
// of the audit, or a drain.
func (t *trigger) wait(now time.Time, rules backoff, drain time.Time, draining bool) time.Duration {
	next := t.audit
	for _, b := range []backoff{t.round, rules} {
		if b.patience > 0 && b.at.Before(next) {
			next = b.at
		}
	}
	if earliest := now.Add(soonest); draining && drain.Before(earliest) {
		drain = earliest
	}
	if draining && drain.Before(next) {
		next = drain
	}
	return max(next.Sub(now), 0)
}
