package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// errCutOff says that a stream ended without its end mark: the guest died.
var errCutOff = errors.New("stream cut off")

// copyUntil copies src to dst up to the mark end, which it swallows. It passes on at once whatever
// cannot be the beginning of the mark, so that output stays live.
func copyUntil(dst io.Writer, src io.Reader, end []byte) error {
	buf := make([]byte, 64<<10)
	var pending []byte
	for {
		n, readErr := src.Read(buf)
		pending = append(pending, buf[:n]...)
		done := false
		keep := partialSuffix(pending, end)
		if at := bytes.Index(pending, end); at >= 0 {
			done, pending, keep = true, pending[:at], 0
		} else if readErr != nil {
			keep = 0
		}
		if _, err := dst.Write(pending[:len(pending)-keep]); err != nil {
			return fmt.Errorf("passing on output: %w", err)
		}
		if done {
			return nil
		}
		if readErr != nil {
			return errCutOff
		}
		pending = append(pending[:0], pending[len(pending)-keep:]...)
	}
}

// partialSuffix is the length of the longest end of data that is a beginning of mark.
func partialSuffix(data, mark []byte) int {
	for n := min(len(data), len(mark)-1); n > 0; n-- {
		if bytes.HasSuffix(data, mark[:n]) {
			return n
		}
	}
	return 0
}
