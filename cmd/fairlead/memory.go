package main

import (
	"os"
	"runtime/debug"
)

// What the daemon keeps grows with the number of Services, and in steady state it makes little garbage. So it
// collects earlier than Go does by default, which costs little time and saves much memory. GOGC in the
// environment wins.
const (
	gcAtStart = 50 // percent of what is kept, that garbage may add
	gcLater   = 25
)

// tuneMemory is called before anything is kept. The function that it returns is to be called when everything
// listed at the start has been written, after which there is little garbage.
func tuneMemory() (settled func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	debug.SetGCPercent(gcAtStart)
	return func() {
		debug.SetGCPercent(gcLater)
		go debug.FreeOSMemory() // it takes a moment, for which no change should wait
	}
}
