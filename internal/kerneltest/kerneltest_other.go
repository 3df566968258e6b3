//go:build !linux

package kerneltest

import "testing"

// Namespace skips the test: there are no network namespaces here.
func Namespace(t testing.TB) {
	t.Helper()
	t.Skip("needs Linux")
}

func route(testing.TB) {}
