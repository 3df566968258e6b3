//go:build !linux

package main

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/fairlead-lb/fairlead/controller"
)

var errLinuxOnly = errors.New("this command needs Linux")

func openKernel(Config) (controller.Kernel, func(), error) {
	return controller.Kernel{}, nil, errLinuxOnly
}

func prepareHost(Config, *slog.Logger) error { return errLinuxOnly }

func takeOver(context.Context, Config, *controller.Controller, func(reason, text string), *slog.Logger) error {
	return errLinuxOnly
}

func cleanup(Config, io.Writer) error { return errLinuxOnly }
