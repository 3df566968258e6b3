package controller

import (
	"time"

	"github.com/fairlead-lb/fairlead/view"
)

// record is what has happened so far, as far as people ask for it.
type record struct {
	started   time.Time
	phase     string
	lastSync  *view.Sync
	lastError *view.Error
	drift     view.Drift
	audited   time.Time // when the last whole audit ended
	recent    []view.Occurrence
}

// keptOccurrences is how many of the latest ones are remembered.
const keptOccurrences = 100

func newRecord() record { return record{started: time.Now(), phase: view.PhaseReading} }

// note remembers something that people may want to know.
func (r *record) note(service, text string) {
	if len(r.recent) == keptOccurrences {
		r.recent = append(r.recent[:0], r.recent[1:]...)
	}
	r.recent = append(r.recent, view.Occurrence{At: time.Now(), Service: service, Text: text})
}

// synced remembers a round that wrote something.
func (r *record) synced(services int, writes uint64, took time.Duration) {
	r.lastSync = &view.Sync{Ended: time.Now(), Seconds: took.Seconds(), Services: services, Writes: writes}
}

// ended remembers how a round went.
func (r *record) ended(err error) {
	switch {
	case err != nil:
		text := firstErrors(err).Error()
		if r.lastError == nil || !r.lastError.Current || r.lastError.Text != text {
			r.note("", text)
		}
		r.lastError = &view.Error{At: time.Now(), Text: text, Current: true}
	case r.lastError != nil && r.lastError.Current:
		r.lastError.Current = false
		r.note("", "what had failed has been put right")
	}
}

// found remembers what was not as Fairlead left it.
func (r *record) found(rules, servers, addresses int) {
	now := time.Now()
	r.drift.Rules += uint64(rules)
	r.drift.Servers += uint64(servers)
	r.drift.Addresses += uint64(addresses)
	r.drift.Last = &now
	r.note("", "the kernel was not as Fairlead left it; it has been put right")
}
