package main

import (
	"runtime"
	"testing"
	"time"
)

func TestLittleIsNotCollectedAllTheTime(t *testing.T) {
	for _, c := range []struct {
		kept uint64
		want int
	}{
		{100 << 20, gcLater}, {48 << 20, gcLater}, {24 << 20, 50}, {6 << 20, 200}, {0, 1200},
	} {
		if got := gcPercent(gcLater, c.kept); got != c.want {
			t.Errorf("%d bytes kept: %d percent, want %d", c.kept, got, c.want)
		}
	}
	kept := make([]byte, 64<<20)
	runtime.GC()
	if live := liveHeap(); live < uint64(len(kept)) || live > 1<<32 {
		t.Errorf("%d bytes are live, of which these are %d", live, len(kept))
	}
	runtime.KeepAlive(kept)
}

func TestEachCollectionIsToldOf(t *testing.T) {
	told := make(chan struct{}, 8)
	afterEachCollection(func() {
		select {
		case told <- struct{}{}:
		default: // the test is over
		}
	})
	for n := range 3 {
		runtime.GC()
		select {
		case <-told:
		case <-time.After(10 * time.Second):
			t.Fatalf("collection %d was not told of", n+1)
		}
	}
}
