package main

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
)

// What the daemon keeps grows with the number of Services, and in steady state it makes little garbage. So it
// collects earlier than Go does by default, which costs little time and saves much memory; but not at the start, when
// all of it comes at once, before firstCollection bytes are in use. GOGC or GOMEMLIMIT in the environment win.
const (
	firstCollection = 40 << 20
	gcAtStart       = 50 // percent of what is kept, that garbage may add
	gcLater         = 25
)

// tuneMemory is called before anything is kept. The function that it returns is to be called when everything
// listed at the start has been written, after which there is little garbage.
func tuneMemory() (settled func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(firstCollection)
	collect := sync.OnceFunc(func() {
		debug.SetGCPercent(gcAtStart)
		debug.SetMemoryLimit(math.MaxInt64)
	})
	runtime.AddCleanup(new([64]byte), func(collect func()) { collect() }, collect) // by the first collection
	return func() {
		collect() // or it would be done later
		debug.SetGCPercent(gcLater)
		go debug.FreeOSMemory() // it takes a moment, for which no change should wait
	}
}
