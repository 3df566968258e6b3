package dummyif

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// TestEncoding pins the bytes of every request of the contract, which the kernel has accepted.
func TestEncoding(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the golden file is little-endian")
	}
	var out strings.Builder
	seen := map[string]bool{}
	for _, c := range contract {
		for _, line := range lines(c.script) {
			command, _, _ := strings.Cut(line, " # ")
			if seen[command] {
				continue
			}
			seen[command] = true
			var b nlbatch.Batch
			op := parse(t, command)
			encode(&b, 5, op)
			fmt.Fprintf(&out, "%s\n\t%x\n", command, b.Bytes(0))
		}
	}
	kerneltest.Golden(t, "encoding.txt", out.String())
}
