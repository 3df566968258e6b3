package controller

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/controller/render"
)

// settings are those of Services with annotations: the next rendering may have to fall back to them.
type settings struct {
	mu sync.Mutex // portions are rendered ahead
	of map[types.NamespacedName]render.Settings
}

func newSettings() *settings {
	return &settings{of: make(map[types.NamespacedName]render.Settings)}
}

func (s *settings) get(name types.NamespacedName) render.Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[name]
}

// remember keeps the settings of a Service, unless they are everybody's.
func (s *settings) remember(name types.NamespacedName, now render.Settings, everybodys bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if everybodys {
		delete(s.of, name)
	} else {
		s.of[name] = now
	}
}
