//go:build !linux

package main

import (
	"errors"
	"io"
	"log/slog"

	"github.com/fairlead-lb/fairlead/controller"
	"github.com/fairlead-lb/fairlead/ipvs"
)

var errLinuxOnly = errors.New("this command needs Linux")

func openKernel(Config) (controller.Kernel, func(), error) {
	return controller.Kernel{}, nil, errLinuxOnly
}

func probeScheduler(string) error { return errLinuxOnly }

func prepareHost(Config, *slog.Logger) error { return errLinuxOnly }

func cleanup(Config, io.Writer) error { return errLinuxOnly }

func watchSizes(func() bool, *slog.Logger) func(ipvs.Size) { return nil }
