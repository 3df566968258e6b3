//go:build !linux

package main

import (
	"context"
	"errors"
	"io"
)

func measureCommand(context.Context, []string, io.Writer) error {
	return errors.New("measuring needs Linux; run it through test/vm, as make bench does")
}
