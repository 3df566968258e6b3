package lab

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/vishvananda/netns"
)

// keepThread runs f on the caller's thread, which f may move to another network namespace, and moves it back afterwards.
// The caller's own goroutine is used, not a new one, so that a panic and a test's FailNow inside f behave as usual. A
// thread that cannot be moved back stays locked: it dies with the goroutine instead of misleading the next one.
func keepThread(f func() error) (err error) {
	runtime.LockOSThread()
	origin, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open the thread's network namespace: %w", err)
	}
	defer func() {
		if back := netns.Set(origin); back != nil {
			err = errors.Join(err, fmt.Errorf("return to the first network namespace: %w", back))
		} else {
			runtime.UnlockOSThread()
		}
		origin.Close()
	}()
	return f()
}

// Do runs f with the calling thread inside the namespace. Goroutines that f starts run outside; so does anything f leaves
// to a library's goroutines. Sockets keep the namespace they were made in and may be used anywhere afterwards.
func (n *Namespace) Do(f func() error) error {
	return keepThread(func() error {
		if err := netns.Set(n.handle); err != nil {
			return fmt.Errorf("enter namespace %s: %w", n.Name, err)
		}
		return f()
	})
}
