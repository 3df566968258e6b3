package conntrack

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

const netlinkHeader = 16

// encodeFlow writes a flow as the kernel dumps it: the tuples first, then what is not read here,
// among it the id.
func encodeFlow(flow Flow, id uint32) []byte {
	var b nlbatch.Batch
	b.Begin(subsystem, 0, familyOf(flow.Orig.Source.Addr().Is4()), 0, 0, 0)
	for attr, tuple := range []Tuple{flow.Orig, flow.Reply} {
		outer := b.Nest(uint16(attrOrig + attr))
		source := uint16(1)
		if tuple.Source.Addr().Is6() {
			source = 3
		}
		ip := b.Nest(tupleIP)
		b.Data(source, tuple.Source.Addr().AsSlice())
		b.Data(source+1, tuple.Destination.Addr().AsSlice())
		b.Close(ip)
		protocol := b.Nest(tupleProtocol)
		b.U8(protocolNumber, uint8(flow.Protocol))
		b.BE16(protocolSource, tuple.Source.Port())
		b.BE16(protocolDest, tuple.Destination.Port())
		b.Close(protocol)
		b.Close(outer)
	}
	b.Data(attrID, binary.BigEndian.AppendUint32(nil, id))
	for _, other := range []uint16{3, 7, 8, 11} { // status, timeout, mark, use
		b.Data(other, []byte{0, 0, 0, 1})
	}
	return bytes.Clone(b.Bytes(0)[netlinkHeader:])
}

func TestAFlowIsReadAsTheKernelTellsIt(t *testing.T) {
	for _, c := range contract {
		for _, line := range kerneltest.Lines(c.flows) {
			text, _, _ := strings.Cut(line, " # ")
			flow := parseFlow(t, text)
			got, ok := decode(encodeFlow(flow, 7))
			if !ok || got != flow {
				t.Errorf("%v\n got %s\nwant %s", ok, got, flow)
			}
		}
	}
}

// TestAMessageOfTheKernel decodes what Linux 6.1 told of the first of stales.
func TestAMessageOfTheKernel(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the message is little-endian")
	}
	message, err := hex.DecodeString("02000000" +
		"34000180" + "14000180" + "080001000a000005" + "080002000a60000a" + // original: addresses
		"1c000280" + "0500010011000000" + "0600020003e80000" + "0600030000350000" + // protocol, ports
		"34000280" + "14000180" + "080001000af40109" + "080002000a000005" + // reply
		"1c000280" + "0500010011000000" + "0600020000350000" + "0600030003e80000" +
		"0800030000000008" + "0800080000000000" + "08000c00edf1025f" + "08000b0000000001" + // status, mark, id, use
		"0800070000000257" + "1c001880" + "0800010000000000" + "0800020000000000" + "0800030000000000")
	if err != nil {
		t.Fatal(err)
	}
	if flow, ok := decode(message); !ok || flow != stales(1)[0] {
		t.Errorf("%v, %s", ok, flow)
	}
}

func TestADeletionNamesTheFlowAndItsIDAndZone(t *testing.T) {
	message := encodeFlow(stales(1)[0], 0x01020304)
	message = append(message, 6, 0, attrZone, 0, 0, 9, 0, 0)
	var b nlbatch.Batch
	if !encodeDelete(&b, message) {
		t.Fatal("refused")
	}
	attributes := b.Bytes(0)[netlinkHeader+headerLen:]
	for attr, want := range map[uint16][]byte{
		attrOrig: nlbatch.Attribute(message[headerLen:], attrOrig), attrID: {1, 2, 3, 4}, attrZone: {0, 9}, attrReply: nil,
	} {
		if diff := cmp.Diff(want, nlbatch.Attribute(attributes, attr)); diff != "" {
			t.Errorf("attribute %d (-want +got):\n%s", attr, diff)
		}
	}
}

func TestADeletionWithoutAFlowIsNotEncoded(t *testing.T) {
	var b nlbatch.Batch
	for _, message := range [][]byte{nil, {2}, {2, 0, 0, 0}, {2, 0, 0, 0, 4, 0, attrOrig, 0}} {
		if encodeDelete(&b, message) || b.Len() != 0 {
			t.Errorf("%v: would delete every flow", message)
		}
	}
}

// many returns encoded flows, of which none is to a frontend of two, and those.
func many(n int) ([][]byte, Frontends) {
	messages := make([][]byte, n)
	for i := range messages {
		client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), uint16(1000+i))
		vip := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 97, byte(i >> 8), byte(i)}), 53)
		endpoint := netip.MustParseAddrPort("10.244.1.2:53")
		messages[i] = encodeFlow(Flow{UDP, Tuple{client, vip}, Tuple{endpoint, client}}, uint32(i))
	}
	return messages, Frontends{dns: nil, netip.MustParseAddrPort("10.96.0.11:53"): nil}
}

func TestAFlowOfSomebodyElseCostsNoMemory(t *testing.T) {
	messages, frontends := many(1)
	if allocs := testing.AllocsPerRun(100, func() {
		if flow, ok := decode(messages[0]); !ok || frontends.stale(flow) {
			t.Error("taken for stale")
		}
	}); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkFilterOf100kFlows(b *testing.B) {
	messages, frontends := many(100_000)
	b.ReportAllocs()
	for b.Loop() {
		for _, message := range messages {
			if flow, ok := decode(message); !ok || frontends.stale(flow) {
				b.Fatal("taken for stale")
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encodeFlow(stales(1)[0], 7))
	f.Add([]byte{2, 0, 0, 0, 8, 0, attrOrig, 0x80, 4, 0, tupleIP, 0x80})
	f.Fuzz(func(t *testing.T, message []byte) {
		flow, ok := decode(message)
		if ok && (!flow.Orig.Destination.IsValid() || !flow.Reply.Source.IsValid()) {
			t.Errorf("a flow without addresses: %s", flow)
		}
		var b nlbatch.Batch
		if encodeDelete(&b, message) && len(nlbatch.Attribute(b.Bytes(0)[netlinkHeader+headerLen:], attrOrig)) == 0 {
			t.Error("would delete every flow")
		}
	})
}
