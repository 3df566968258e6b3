package ipvs

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
		encode(&b, 0x1c, parse(t, command))
		return b.Bytes(0)
	})
}

func BenchmarkEncode(b *testing.B) {
	k := Key{Addr: netip.MustParseAddrPort("10.96.0.1:80"), Protocol: TCP}
	server := Op{Verb: AddServer, Key: k, Server: VirtualServer{Scheduler: "rr"}}
	real := Op{Verb: AddReal, Key: k, Real: netip.MustParseAddrPort("10.1.0.1:8080"), Value: RealServer{Weight: 1}}
	var batch nlbatch.Batch
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		encode(&batch, 0x1c, server)
		encode(&batch, 0x1c, real)
	}
}
