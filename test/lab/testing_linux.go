package lab

import (
	"os"
	"testing"
)

// RequireEnv names the variable that turns "skipped, because this machine cannot" into a failure. The runner in test/vm
// and CI set it to 1.
const RequireEnv = "FAIRLEAD_TEST_KERNEL"

// New makes a lab for a test and removes it afterwards. Where no lab can be built the test is skipped, or fails if RequireEnv
// is set.
func New(t testing.TB) *Lab {
	t.Helper()
	need(t, Supported())
	l, err := Create(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close lab: %v", err)
		}
	})
	return l
}

// NeedIPVS skips the test on a kernel without IPVS, or fails it if RequireEnv is set.
func NeedIPVS(t testing.TB) {
	t.Helper()
	need(t, HasIPVS())
}

func need(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv(RequireEnv) == "1":
		t.Fatalf("%v (and %s=1 requires it)", err, RequireEnv)
	default:
		t.Skip(err)
	}
}
