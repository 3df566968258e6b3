//go:build !linux

package dummyif

import "testing"

func openKernel(t testing.TB) subject {
	t.Helper()
	t.Skip("the dummy device is Linux")
	return subject{}
}
