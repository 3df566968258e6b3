//go:build !linux

package masq

import "testing"

func openKernel(t testing.TB) subject {
	t.Helper()
	t.Skip("ipset is Linux")
	return subject{}
}
