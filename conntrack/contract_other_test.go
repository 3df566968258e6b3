//go:build !linux

package conntrack

import "testing"

func openKernel(t testing.TB) subject {
	t.Helper()
	t.Skip("connection tracking is Linux")
	return subject{}
}
