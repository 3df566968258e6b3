//go:build !linux

package ipvs

import "testing"

func openKernel(t testing.TB) subject {
	t.Helper()
	t.Skip("IPVS is Linux")
	return subject{}
}
