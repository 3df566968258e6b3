// Package kerneltest puts a test in front of the real kernel: in a network namespace of its own,
// and only where the environment asks for it, so that `go test` on a laptop needs nothing.
package kerneltest

import (
	"os"
	"testing"
)

// Env names the variable that, set to 1, runs the kernel tests and makes all they need required.
const Env = "FAIRLEAD_TEST_KERNEL"

// Want skips the test unless the environment asks for the kernel. From here on nothing is skipped:
// what the kernel lacks is a failure.
func Want(t testing.TB) {
	t.Helper()
	if os.Getenv(Env) != "1" {
		t.Skipf("needs the real kernel: set %s=1 (see test/vm)", Env)
	}
}

// Need is Want and Namespace, with the device Routed.
func Need(t testing.TB) {
	t.Helper()
	Want(t)
	Namespace(t)
	route(t)
}
