//go:build !linux

package main

import (
	"context"
	"errors"
	"os"
)

func play(context.Context, func(), options, *report) error {
	return errors.New("the demo needs Linux; run it through test/vm")
}

func terminal(*os.File) bool { return false }
