//go:build !linux

package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/fairlead-lb/fairlead/controller"
	"github.com/fairlead-lb/fairlead/doctor"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/meter"
	"github.com/fairlead-lb/fairlead/shadow"
	"github.com/fairlead-lb/fairlead/view"
)

var errLinuxOnly = errors.New("this command needs Linux")

func openKernel(context.Context, Config) (controller.Kernel, func(), error) {
	return controller.Kernel{}, nil, errLinuxOnly
}

func privileged() error { return errLinuxOnly }

func openKernelView() (view.Source, error) { return nil, errLinuxOnly }

func openCounters() (meter.Reader, func() error, error) { return nil, nil, errLinuxOnly }

func probeScheduler(string) error { return errLinuxOnly }

func prepareHost(Config, *slog.Logger) error { return errLinuxOnly }

func tuneHost(Config, *slog.Logger) error { return errLinuxOnly }

func watchSizes(func() bool, *slog.Logger) func(ipvs.Size) { return nil }

func takeOver(context.Context, Config, *controller.Controller, func(reason, text string), *notes, *slog.Logger) error {
	return errLinuxOnly
}

func kernelRelease() string { return "" }

func inherited(Config, *slog.Logger) func(ipvs.Key) bool { return nil }

func cleanup(context.Context, Config, time.Duration, io.Writer) error { return errLinuxOnly }

func examined(context.Context, Config) (*doctor.Host, error) { return nil, errLinuxOnly }

func programmed(context.Context, Config) (string, shadow.State, error) { return "", nil, errLinuxOnly }

func presentState(Config, *slog.Logger) (present, error) { return present{}, errLinuxOnly }
