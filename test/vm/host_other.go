//go:build !linux

package main

import (
	"context"
	"syscall"
)

// Elsewhere than on Linux the program only says so; these let it compile.

func dieWithParent() *syscall.SysProcAttr { return nil }

func termWithGoRun() {}

func hostRelease() string { return "" }

func lockDir(context.Context, string) (func(), error) { return func() {}, nil }

func hostHasIPVS(context.Context) bool { return false }
