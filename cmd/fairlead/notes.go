package main

import (
	"maps"
	"slices"
	"sync"
)

// notes are what somebody should know, one of each kind, for `fairlead status`. It is safe for concurrent use.
type notes struct {
	mu sync.Mutex
	of map[string]string
}

// set replaces the note of a kind; without a text there is none.
func (n *notes) set(kind, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.of == nil {
		n.of = make(map[string]string)
	}
	if text == "" {
		delete(n.of, kind)
		return
	}
	n.of[kind] = text
}

// list returns them in an order that does not change.
func (n *notes) list() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]string, 0, len(n.of))
	for _, kind := range slices.Sorted(maps.Keys(n.of)) {
		list = append(list, n.of[kind])
	}
	return list
}
