package ipvs

import (
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

const netlinkHeader = 16

// TestWhatIsEncodedIsDecoded: the kernel lists virtual servers in the form in which it takes them.
func TestWhatIsEncodedIsDecoded(t *testing.T) {
	d := decoder{make(map[string]string)}
	n := 0
	for _, c := range contract {
		for _, line := range lines(c.script) {
			line, _, _ = strings.Cut(line, " # ")
			op := parse(t, line)
			if op.Verb != AddServer {
				continue
			}
			n++
			var b nlbatch.Batch
			encode(&b, 0x1c, op)
			k, v, ok := d.server(b.Bytes(0)[netlinkHeader:])
			if !ok || k != op.Key || v != op.Server {
				t.Errorf("%s: decoded as %s %+v, %v", line, k, v, ok)
			}
		}
	}
	if n == 0 {
		t.Error("nothing was tested")
	}
}

func FuzzDecodeServer(f *testing.F) {
	var b nlbatch.Batch
	encode(&b, 0x1c, Op{Verb: AddServer, Key: MarkKey(5, true), Server: VirtualServer{Scheduler: "rr"}})
	f.Add(b.Bytes(0)[netlinkHeader:])
	f.Fuzz(func(t *testing.T, payload []byte) {
		if k, _, ok := (decoder{make(map[string]string)}).server(payload); ok && !k.Addr.IsValid() {
			t.Errorf("%x has no address", payload)
		}
	})
}
