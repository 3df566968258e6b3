package kerneltest

import (
	"io"
	"testing"
)

// CloseAtEnd closes c when the test ends. A failure to do so is the test's.
func CloseAtEnd(t testing.TB, c io.Closer) {
	t.Helper()
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}
