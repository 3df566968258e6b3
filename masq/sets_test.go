package masq

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// message is one message of a listing, as the kernel would send it.
func message(entries ...Entry) []byte {
	var b nlbatch.Batch
	b.Begin(cmdList, 0, familyIPv4, 0, 0, 0)
	b.String(attrSetName, "any")
	list := b.Nest(attrADT)
	for _, e := range entries {
		one := b.Nest(attrData)
		encodeAddr(&b, dataIP, e.Addr)
		if e.Port != 0 || e.Protocol != 0 {
			b.NetU16(dataPort, e.Port)
			b.U8(dataProto, e.Protocol)
		}
		if e.Source.IsValid() {
			encodeAddr(&b, dataIP2, e.Source.Addr())
			b.U8(dataCIDR2, uint8(e.Source.Bits()))
		}
		b.Close(one)
	}
	b.Close(list)
	const header = 16
	return b.Bytes(0)[header:]
}

var sameEntries = cmp.Comparer(func(a, b Entry) bool { return a == b })

func frontend(set Set, addr netip.Addr, port uint16, protocol uint8) Entry {
	return Entry{Set: set, Addr: addr, Port: port, Protocol: protocol}
}

func decode(set Set, payload []byte) (entries []Entry) {
	decodeEntries(set, payload, func(e Entry, _ uint32) { entries = append(entries, e) })
	return entries
}

func TestEntriesAreDecodedAsTheyAre(t *testing.T) {
	v4, v6 := netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("fd00::a")
	for _, entries := range [][]Entry{
		nil,
		{frontend(Served, v4, 80, 6), frontend(Served, v6, 65535, 132), frontend(Served, v4, 0, 17)},
		{{Set: VIPs, Addr: v4}, {Set: VIPs, Addr: v6}},
		{{Set: Hairpin, Addr: v6}},
		{{Allowed, 6, 80, v4, netip.MustParsePrefix("192.0.2.0/24")}, {Allowed, 6, 80, v6, netip.MustParsePrefix("fd00::7/128")}},
	} {
		set := VIPs
		if len(entries) > 0 {
			set = entries[0].Set
		}
		if diff := cmp.Diff(entries, decode(set, message(entries...)), sameEntries); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func FuzzDecodeEntries(f *testing.F) {
	v4, v6 := netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("fd00::a")
	f.Add(message(frontend(Served, v4, 80, 6), frontend(Served, v6, 53, 17)))
	f.Add(message(Entry{Set: VIPs, Addr: v6})[:21])
	f.Add([]byte{2, 0, 0, 0, 4, 0, 8, 0x80})
	f.Add([]byte{})
	var b nlbatch.Batch
	b.Begin(cmdList, 0, familyIPv4, 0, 0, 0)
	list := b.Nest(attrADT)
	one := b.Nest(attrData)
	encodeAddr(&b, dataIP, v4)
	b.Data(dataPort, nil)
	b.Data(dataProto, nil)
	b.Close(one)
	b.Close(list)
	f.Add(b.Bytes(0)[16:])
	f.Fuzz(func(t *testing.T, payload []byte) {
		decodeHeader(payload)
		entries := decode(Served, payload)
		for _, e := range entries {
			if !e.Addr.IsValid() || e.Set != Served {
				t.Errorf("%+v", e)
			}
		}
		if len(entries) > 100 {
			return // more than fits into one attribute again
		}
		again := decode(Served, message(entries...))
		if diff := cmp.Diff(entries, again, sameEntries); diff != "" {
			t.Errorf("not the same twice:\n%s", diff)
		}
	})
}

func TestRankIsThePlaceInSets(t *testing.T) {
	for i, set := range Sets() {
		if got := set.rank(); got != i {
			t.Errorf("rank of %s is %d, want %d", set.Name(IPv4), got, i)
		}
	}
}
