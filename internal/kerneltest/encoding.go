package kerneltest

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// Encoding compares the bytes of every command in a contract's scripts with testdata/encoding.txt:
// where the kernel has accepted the contract once, no kernel is needed to see that they stay.
// What is behind " # " in a line is no part of the command.
func Encoding(t testing.TB, scripts []string, encode func(command string) []byte) {
	t.Helper()
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the golden file is little-endian")
	}
	var out strings.Builder
	seen := map[string]bool{}
	for _, script := range scripts {
		for _, line := range Lines(script) {
			command, _, _ := strings.Cut(line, " # ")
			if seen[command] {
				continue
			}
			seen[command] = true
			fmt.Fprintf(&out, "%s\n\t%x\n", command, encode(command))
		}
	}
	Golden(t, "encoding.txt", out.String())
}
