package main

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"
)

// calibrate does a fixed piece of work of the kind that a daemon does in user space, and returns how long it took at best:
// whatever else a machine has to do only makes it slower. Done on the host and in the VM, it tells how much slower the
// emulated processor is, and so roughly what processor time measured there would be natively. Emulated system calls and
// page faults fare worse than that.
func calibrate() time.Duration {
	best := work()
	for range 4 {
		best = min(best, work())
	}
	return best
}

func work() time.Duration {
	begin := time.Now()
	for range 5 {
		index := make(map[string][32]byte)
		for i := range 20_000 {
			key := fmt.Sprintf("namespace-%d/service-%d", i%50, i)
			index[key] = sha256.Sum256([]byte(key))
		}
		keys := make([]string, 0, len(index))
		for key := range index {
			keys = append(keys, key)
		}
		slices.Sort(keys)
	}
	return time.Since(begin)
}
