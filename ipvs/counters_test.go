package ipvs

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// stats64 appends a nest of counters as the kernel does: some of them, and some that nobody asks for.
func stats64(b *nlbatch.Batch, attr uint16, first uint64) {
	nest := b.Nest(attr)
	for typ := uint16(1); typ <= 10; typ++ {
		b.Data(typ, binary.NativeEndian.AppendUint64(nil, first+uint64(typ)))
	}
	b.Close(nest)
}

func TestCountersAreDecoded(t *testing.T) {
	const first = 1 << 40
	want := Counters{first + 1, first + 2, first + 3, first + 4, first + 5}
	for _, addr := range []string{"10.1.0.1:80", "[fd00::1]:80"} {
		var b nlbatch.Batch
		at := netip.MustParseAddrPort(addr)
		b.Begin(0x1c, 0, cmdGetDest, genlVersion, 0, 0)
		nest := b.Nest(attrDest)
		b.Data(destAddr, addressBytes(at.Addr()))
		b.BE16(destPort, at.Port())
		b.U16(destFamily, familyOf(at.Addr()))
		stats64(&b, dstStats64, first)
		b.Close(nest)
		got, c, ok := realCounters(b.Bytes(0)[netlinkHeader:])
		if !ok || got != at || c != want {
			t.Errorf("%s: %s %+v, %v", addr, got, c, ok)
		}
	}
	if _, _, ok := realCounters([]byte{1, 2}); ok {
		t.Error("two bytes are no real server")
	}
	if want.Before(Counters{}) || !(Counters{}).Before(want) || want.Add(want).InPackets != 2*want.InPackets {
		t.Error("counters are compared or added wrongly")
	}
}

// TestCountersOfAVirtualServerAreFound in the message that lists it.
func TestCountersOfAVirtualServerAreFound(t *testing.T) {
	var b nlbatch.Batch
	b.Begin(0x1c, 0, cmdGetService, genlVersion, 0, 0)
	nest := b.Nest(attrService)
	b.U16(svcFamily, familyIPv4)
	b.U16(svcProtocol, uint16(TCP))
	b.Data(svcAddr, addressBytes(netip.MustParseAddr("10.96.0.1")))
	b.BE16(svcPort, 80)
	stats64(&b, svcStats64, 7)
	b.Close(nest)
	if got := serverCounters(b.Bytes(0)[netlinkHeader:]); got != (Counters{8, 9, 10, 11, 12}) {
		t.Errorf("%+v", got)
	}
	if got := serverCounters([]byte{1}); got != (Counters{}) {
		t.Errorf("of one byte: %+v", got)
	}
}

func FuzzDecodeReal(f *testing.F) {
	var b nlbatch.Batch
	encode(&b, 0x1c, Op{Verb: AddReal, Key: MarkKey(5, true), Real: netip.MustParseAddrPort("[fd00::1]:80")})
	f.Add(b.Bytes(0)[netlinkHeader:])
	f.Fuzz(func(t *testing.T, payload []byte) {
		counted, _, ok1 := realCounters(payload)
		listed, _, ok2 := realStatus(payload)
		if counted != listed || ok1 != ok2 || ok1 && !counted.IsValid() {
			t.Errorf("%x is of %s, %v, and of %s, %v", payload, counted, ok1, listed, ok2)
		}
	})
}
