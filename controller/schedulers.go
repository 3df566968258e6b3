package controller

import (
	"maps"
	"sync"
)

// schedulers are what the kernel said when asked for them. It is asked once for each.
type schedulers struct {
	probe func(string) error

	mu    sync.Mutex // portions are rendered ahead
	known map[string]error
}

// newSchedulers knows one without asking: the daemon has made sure of it.
func newSchedulers(probe func(string) error, sure string) *schedulers {
	return &schedulers{probe: probe, known: map[string]error{sure: nil}}
}

// sure says that the kernel has a scheduler.
func (s *schedulers) sure(scheduler string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[scheduler] = nil
}

// usable returns why the kernel does not have a scheduler, or nil.
func (s *schedulers) usable(scheduler string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err, asked := s.known[scheduler]
	if !asked {
		err = s.probe(scheduler)
		s.known[scheduler] = err
	}
	return err
}

// askAgain has the kernel asked again for those that it lacked: a module may have come.
func (s *schedulers) askAgain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.known, func(_ string, err error) bool { return err != nil })
}
