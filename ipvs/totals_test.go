package ipvs

import (
	"strings"
	"testing"
)

const totalsText = `       Total Incoming Outgoing         Incoming         Outgoing
CPU    Conns  Packets  Packets            Bytes            Bytes
  0        3       1F        A              800              400
  1        1        1        0        100000000                0
  ~        3       1E        9              700              300

     Conns/s   Pkts/s   Pkts/s          Bytes/s          Bytes/s
  0        1        2        3                4                5
  1        0        0        0                0                0
  ~        1        2        3                4                5
`

func TestReadTotals(t *testing.T) {
	got, err := ReadTotals(strings.NewReader(totalsText))
	want := Counters{Connections: 4, InPackets: 0x20, OutPackets: 0xa, InBytes: 0x100000800, OutBytes: 0x400}
	if err != nil || got != want {
		t.Errorf("%+v, %v, not %+v", got, err, want)
	}
}

func TestReadTotalsOfSomethingElse(t *testing.T) {
	lines := strings.SplitAfter(totalsText, "\n")
	for name, text := range map[string]string{
		"empty":       "",
		"cut off":     strings.Join(lines[:4], ""),
		"no CPU":      lines[0] + lines[1] + lines[4],
		"no number":   lines[0] + lines[1] + "  0 1 2 x 4 5\n" + lines[4],
		"another one": "a\nb\nc d e\n",
	} {
		if got, err := ReadTotals(strings.NewReader(text)); err == nil || got != (Counters{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
