// Package listen opens listening sockets on ports that somebody else may still have.
//
// A proxy that takes over a node finds its ports in the hands of its predecessor, and a Service may
// ask for a port that any process has. Neither is a reason to give up: the port is tried again until
// it is free.
package listen

import (
	"context"
	"net"
	"time"
)

// Func opens a listener, as net.ListenConfig.Listen does. It returns soon.
type Func func(ctx context.Context, network, address string) (net.Listener, error)

// TCP opens a listener for plain TCP. Go's default is multipath TCP where the kernel has it: sockets
// of another kind, with options of their own, which serve nobody here.
func TCP(ctx context.Context, network, address string) (net.Listener, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	return config.Listen(ctx, network, address)
}

// Backoff is how long to wait between tries: First, then twice as long each time, up to Last.
type Backoff struct {
	First, Last time.Duration
}

// Listen tries until it has the port or ctx ends; then it returns nil. It tells failed of the first
// error and of every one that reads otherwise than the last, so that an hour of waiting is one line.
func (b Backoff) Listen(ctx context.Context, open Func, network, address string, failed func(error)) net.Listener {
	said := ""
	for pause := b.First; ctx.Err() == nil; pause = min(2*pause, b.Last) {
		listener, err := open(ctx, network, address)
		if err == nil {
			return listener
		}
		if text := err.Error(); text != said && ctx.Err() == nil {
			said = text
			failed(err)
		}
		wait(ctx, pause)
	}
	return nil
}

// wait returns after a time or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
