package masq

import (
	"net/netip"
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

func BenchmarkEncode(b *testing.B) {
	served := Op{Entry: Entry{Set: Served, Protocol: 6, Port: 80, Addr: netip.MustParseAddr("10.96.0.1")}}
	local := Op{Entry: Entry{Set: Local, Protocol: 6, Port: 80, Addr: netip.MustParseAddr("fd00::1")}, Mark: 1}
	var batch nlbatch.Batch
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		encodeOp(&batch, served)
		encodeOp(&batch, local)
	}
}
