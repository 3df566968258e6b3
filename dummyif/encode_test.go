package dummyif

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
		encode(&b, 5, parse(t, command))
		return b.Bytes(0)
	})
}

func BenchmarkEncode(b *testing.B) {
	address := Op{Verb: Bind, Binding: Binding{Addr: netip.MustParseAddr("10.96.0.1")}}
	route := Op{Verb: Bind, Binding: Binding{Addr: netip.MustParseAddr("fd00::1"), Way: ByRoute}}
	var batch nlbatch.Batch
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		encode(&batch, 5, address)
		encode(&batch, 5, route)
	}
}
