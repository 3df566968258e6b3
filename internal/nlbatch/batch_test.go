package nlbatch

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// requests returns a batch of requests with payloads of these sizes.
func requests(sizes ...int) *Batch {
	var b Batch
	for i, size := range sizes {
		b.Begin(uint16(0x10+i), FlagCreate, bytes.Repeat([]byte{byte(i)}, size)...)
	}
	return &b
}

// TestEncoding spells out one request byte by byte, on a little-endian machine.
func TestEncoding(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the bytes below are little-endian")
	}
	var b Batch
	b.Begin(0x1234, FlagCreate, 9, 1, 0, 0)
	nest := b.Nest(1)
	b.U8(2, 0xaa)
	b.U16(3, 0xbbcc)
	b.BE16(4, 0xbbcc)
	b.U32(5, 0x01020304)
	inner := b.Nest(6)
	b.NetU16(7, 0xbbcc)
	b.NetU32(8, 0x01020304)
	b.NetData(9, []byte{1, 2, 3, 4, 5})
	b.Close(inner)
	b.String(10, "rr")
	b.Close(nest)
	want := "60000000" + "3412" + "0504" + "07000000" + "00000000" + // length, type, flags with request and ack, sequence, port
		"09010000" +
		"4c000180" +
		"05000200" + "aa000000" +
		"06000300" + "ccbb0000" +
		"06000400" + "bbcc0000" +
		"08000500" + "04030201" +
		"20000680" +
		"06000740" + "bbcc0000" +
		"08000840" + "01020304" +
		"09000940" + "0102030405000000" +
		"07000a00" + "72720000"
	got := hex.EncodeToString(b.seal(0, 1, 7))
	if len(got)/2 != int(binary.NativeEndian.Uint32(b.Bytes(0))) {
		t.Errorf("length %d, says %d", len(got)/2, binary.NativeEndian.Uint32(b.Bytes(0)))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAttributesAreReadAsWritten(t *testing.T) {
	var b Batch
	b.Begin(1, 0)
	b.U8(2, 7)
	b.NetU16(3, 0x0102)
	nest := b.Nest(4)
	b.String(5, "abc")
	b.Close(nest)
	data := b.Bytes(0)[headerLen:]
	var got []uint16
	for typ := range Attributes(data) {
		got = append(got, typ)
	}
	if diff := cmp.Diff([]uint16{2, 3, 4}, got); diff != "" {
		t.Errorf("types (-want +got):\n%s", diff)
	}
	for typ, want := range map[uint16][]byte{2: {7}, 3: {1, 2}, 9: nil} {
		if got := Attribute(data, typ); !bytes.Equal(got, want) {
			t.Errorf("attribute %d: %v, want %v", typ, got, want)
		}
	}
	if got := string(Attribute(Attribute(data, 4), 5)); got != "abc\x00" {
		t.Errorf("nested: %q", got)
	}
	for range Attributes(data) {
		break // a caller may stop
	}
}

func TestASendEndsAtItsBounds(t *testing.T) {
	const size = headerLen + 4
	for _, c := range []struct {
		name                    string
		sizes                   []int
		from, bytes, count, end int
	}{
		{"all fit", []int{4, 4, 4}, 0, 3 * size, 9, 3},
		{"one byte too many", []int{4, 4, 4}, 0, 3*size - 1, 9, 2},
		{"one request too many", []int{4, 4, 4}, 0, 1 << 20, 2, 2},
		{"from the middle", []int{4, 4, 4}, 1, 2 * size, 9, 3},
		{"at least one, however large", []int{400, 4}, 0, 10, 9, 1},
		{"the last", []int{4, 4}, 1, 10, 1, 2},
	} {
		if got := requests(c.sizes...).chunk(c.from, c.bytes, c.count); got != c.end {
			t.Errorf("%s: ends at %d, want %d", c.name, got, c.end)
		}
	}
}

func TestSendsCoverTheBatchAndOnlyTheirLastAsksForAnAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(0, 60), 1, 30).Draw(t, "sizes")
		maxBytes, maxRequests := rapid.IntRange(1, 400).Draw(t, "bytes"), rapid.IntRange(1, 8).Draw(t, "requests")
		b := requests(sizes...)
		var whole []byte
		seq := uint32(0xfffffff0) // wraps
		for i := 0; i < b.Len(); {
			j := b.chunk(i, maxBytes, maxRequests)
			data := b.seal(i, j, seq)
			if j <= i || j-i > maxRequests || j-i > 1 && len(data) > maxBytes {
				t.Fatalf("send of requests %d to %d, %d bytes", i, j, len(data))
			}
			n := i
			err := visit(data, func(header, payload []byte) (bool, error) {
				flags := binary.NativeEndian.Uint16(header[6:])
				if ack := flags&FlagAck != 0; ack != (n == j-1) || flags&FlagRequest == 0 {
					t.Fatalf("request %d of %d to %d: flags %#x", n, i, j, flags)
				}
				if got, want := binary.NativeEndian.Uint32(header[8:]), seq+uint32(n-i); got != want {
					t.Fatalf("request %d: sequence %d, want %d", n, got, want)
				}
				if len(payload) != (sizes[n]+3)&^3 || sizes[n] > 0 && payload[0] != byte(n) {
					t.Fatalf("request %d: payload %v", n, payload)
				}
				n++
				return false, nil
			})
			if err != nil || n != j {
				t.Fatalf("%v; %d requests seen, want %d", err, n-i, j-i)
			}
			whole = append(whole, data...)
			seq += uint32(j - i)
			i = j
		}
		if !bytes.Equal(whole, b.buf) {
			t.Fatal("the sends do not make up the batch")
		}
	})
}

func TestAResetBatchIsAsGoodAsNew(t *testing.T) {
	b := requests(100, 200)
	b.seal(0, 2, 99)
	b.Reset()
	if b.Len() != 0 {
		t.Errorf("%d requests", b.Len())
	}
	b.Begin(0x10, FlagCreate, 0, 0, 0, 0)
	if got, want := b.seal(0, 1, 5), requests(4).seal(0, 1, 5); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
}

func FuzzAttributes(f *testing.F) {
	f.Add(requests(8).Bytes(0))
	f.Add([]byte{4, 0, 1, 0, 5, 0, 2, 0, 9})
	f.Add([]byte{3, 0, 1, 0})
	f.Add([]byte{0xff, 0xff, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		total := 0
		for typ, value := range Attributes(data) {
			if typ&(nested|netByteOrder) != 0 {
				t.Errorf("type %#x with flag bits", typ)
			}
			total += attrLen + len(value)
			Attribute(value, typ)
		}
		if total > len(data) {
			t.Errorf("%d bytes of attributes in %d", total, len(data))
		}
	})
}

// visit goes through encoded requests, each at a boundary of four bytes.
func visit(data []byte, each func(header, payload []byte) (bool, error)) error {
	for len(data) > 0 {
		size := int(binary.NativeEndian.Uint32(data))
		if _, err := each(data[:headerLen], data[headerLen:size]); err != nil {
			return err
		}
		data = data[size:]
	}
	return nil
}
