package fwmark

import "testing"

func TestMarksAreNumberedWithinTheirBits(t *testing.T) {
	for _, test := range []struct {
		marks    Range
		n        int
		datagram bool
		want     uint32
	}{
		{Range{0xfa000000, 0x00ff3fff}, 0, false, 0xfa000000},
		{Range{0xfa000000, 0x00ff3fff}, 0, true, 0xfa000001},
		{Range{0xfa000000, 0x00ff3fff}, 1, false, 0xfa000002},
		{Range{0xfa000000, 0x00ff3fff}, 1, true, 0xfa000003},
		{Range{0xfa000000, 0x00ff3fff}, 0x1fff, false, 0xfa003ffe},
		{Range{0xfa000000, 0x00ff3fff}, 0x2000, true, 0xfa010001}, // the masquerade bits are left out
		{Range{0xfa000000, 0x00ff3fff}, 0x1fffff, false, 0xfaff3ffe},
		{Range{0x10000000, 0x00000f01}, 0xf, true, 0x10000f01},
		{Range{0x10000000, 0x00000f02}, 0x1, true, 0x10000102},
	} {
		got := test.marks.Nth(test.n, test.datagram)
		if got != test.want || test.marks.Datagram(got) != test.datagram || !test.marks.Contains(got) {
			t.Errorf("%#x: number %d is %#x, want %#x", test.marks, test.n, got, test.want)
		}
	}
	m := Range{0xfa000000, 0x00ff3fff}
	if m.Len() != 1<<21 {
		t.Errorf("%d marks", m.Len())
	}
	seen := make(map[uint32]bool)
	for n := range m.Len() {
		mark := m.Nth(n, false)
		if seen[mark] || mark&0xc000 != 0 {
			t.Fatalf("number %d is %#x, as another one or on bits that are not to be used", n, mark)
		}
		seen[mark] = true
	}
	for _, foreign := range []uint32{0, 1, 0x4000, 0xfb000000, 0xfa004000} {
		if m.Contains(foreign) {
			t.Errorf("%#x is in the range", foreign)
		}
	}
}
