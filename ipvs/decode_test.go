package ipvs

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

const netlinkHeader = 16

// TestWhatIsEncodedIsDecoded: the kernel lists virtual and real servers in the form in which it takes them.
func TestWhatIsEncodedIsDecoded(t *testing.T) {
	d := decoder{make(map[string]string)}
	servers, reals := 0, 0
	for _, c := range contract {
		for _, line := range lines(c.script) {
			line, _, _ = strings.Cut(line, " # ")
			op := parse(t, line)
			var b nlbatch.Batch
			encode(&b, 0x1c, op)
			payload := b.Bytes(0)[netlinkHeader:]
			switch op.Verb {
			case AddServer:
				servers++
				k, v, ok := d.server(payload)
				if !ok || k != op.Key || v != op.Server {
					t.Errorf("%s: decoded as %s %+v, %v", line, k, v, ok)
				}
			case AddReal, EditReal:
				reals++
				at, status, ok := realStatus(payload)
				if want := (RealStatus{RealServer: op.Value}); !ok || at != op.Real || status != want {
					t.Errorf("%s: decoded as %s %+v, %v", line, at, status, ok)
				}
			}
		}
	}
	if servers == 0 || reals == 0 {
		t.Errorf("tested: %d virtual servers, %d real servers", servers, reals)
	}
}

// TestAForeignRealServerIsSeen, and its connections are counted.
func TestAForeignRealServerIsSeen(t *testing.T) {
	const directRouting = 3 // IP_VS_CONN_F_DROUTE
	var b nlbatch.Batch
	b.Begin(0x1c, 0, cmdGetDest, genlVersion, 0, 0)
	nest := b.Nest(attrDest)
	b.Data(destAddr, addressBytes(netip.MustParseAddr("10.1.0.1")))
	b.BE16(destPort, 8080)
	b.U32(destForward, directRouting)
	b.U32(destWeight, 7)
	b.U32(destActiveConnections, 2)
	b.U32(destInactiveConnections, 3)
	b.Close(nest)
	at, status, ok := realStatus(b.Bytes(0)[netlinkHeader:])
	want := RealStatus{RealServer: RealServer{Weight: 7, Foreign: true}, ActiveConnections: 2, InactiveConnections: 3}
	if !ok || at != netip.MustParseAddrPort("10.1.0.1:8080") || status != want {
		t.Errorf("%s %+v, %v", at, status, ok)
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
