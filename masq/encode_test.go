package masq

import (
	"testing"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// TestEncoding pins the bytes of every request of the contract, which the kernel has accepted.
func TestEncoding(t *testing.T) {
	var scripts []string
	for _, c := range contract {
		scripts = append(scripts, c.script)
	}
	kerneltest.Encoding(t, scripts, func(command string) []byte {
		var b nlbatch.Batch
		encodeOp(&b, script(t, command)[0])
		return b.Bytes(0)
	})
}
