package main

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// What the daemon keeps grows with the number of Services, and in steady state it makes little garbage. So it
// collects earlier than Go does by default, which costs little time and saves much memory; but not at the start, when
// all of it comes at once, before firstCollection bytes are in use, and never for less than leastGarbage: where little
// is kept, a few percent of it are soon made. GOGC or GOMEMLIMIT in the environment win.
const (
	firstCollection = 40 << 20
	leastGarbage    = 12 << 20
	gcAtStart       = 50 // percent of what is kept, that garbage may add
	gcLater         = 35
)

// tuneMemory is called before anything is kept. The function that it returns is to be called when everything
// listed at the start has been written, after which there is little garbage.
func tuneMemory() (settled func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	var share atomic.Int32
	share.Store(gcAtStart)
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(firstCollection)
	afterEachCollection(func() {
		debug.SetMemoryLimit(math.MaxInt64)
		debug.SetGCPercent(gcPercent(int(share.Load()), liveHeap()))
	})
	return func() {
		share.Store(gcLater)
		go debug.FreeOSMemory() // it takes a moment, for which no change should wait; and it collects
	}
}

// gcPercent is the share of what is kept, in percent, that garbage may add.
func gcPercent(share int, kept uint64) int {
	return max(share, int(100*leastGarbage/max(kept, 1<<20)))
}

// liveHeap is what the last collection kept, in bytes.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// afterEachCollection has f called, on a goroutine of the runtime's, whenever garbage has been collected.
func afterEachCollection(f func()) {
	runtime.AddCleanup(new([64]byte), func(f func()) {
		f()
		afterEachCollection(f)
	}, f)
}
