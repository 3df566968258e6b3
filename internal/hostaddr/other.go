//go:build !linux

package hostaddr

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// List returns the host's addresses, without those of devices of these names, in the order of the
// devices. Unlike on Linux, deprecated ones count.
func List(except ...string) ([]netip.Addr, error) {
	devices, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the host's devices: %w", err)
	}
	var found []netip.Addr
	for _, device := range devices {
		if slices.Contains(except, device.Name) || device.Flags&net.FlagLoopback != 0 || device.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := device.Addrs()
		if err != nil {
			return nil, fmt.Errorf("list the addresses of %s: %w", device.Name, err)
		}
		for _, a := range addrs {
			prefix, err := netip.ParsePrefix(a.String())
			if addr := prefix.Addr().Unmap(); err == nil && addr.IsGlobalUnicast() {
				found = append(found, addr)
			}
		}
	}
	return found, nil
}

// Watch returns when ctx ends, and never calls changed: only Linux tells of changes.
func Watch(ctx context.Context, _ string, _ func()) error {
	<-ctx.Done()
	return nil
}
