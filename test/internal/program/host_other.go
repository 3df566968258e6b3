//go:build !linux

package program

import (
	"context"
	"syscall"
)

// What only Linux does is left out elsewhere; test/cluster runs there, too.

// DieWithParent asks for nothing special here.
func DieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func termWithGoRun() {}

// Lock keeps nobody out here.
func (Name) Lock(context.Context, Folder) (func(), error) { return func() {}, nil }
