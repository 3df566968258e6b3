//go:build !linux

package main

import "context"

// Elsewhere than on Linux the program only says so; these let it compile.

func hostRelease() string { return "" }

func hostHasIPVS(context.Context) bool { return false }
