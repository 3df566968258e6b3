//go:build !linux

package main

import (
	"context"
	"syscall"
)

// What only Linux does is left out elsewhere; the servers run there, too.

func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func termWithGoRun() {}

func lockDir(context.Context, string) (func(), error) { return func() {}, nil }
