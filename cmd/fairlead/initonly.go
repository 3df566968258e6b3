package main

import "log/slog"

// initOnly does the work of `fairlead run --init-only`: what takes more than CAP_NET_ADMIN and
// CAP_NET_RAW, or a /proc/sys that can be written. It loads the kernel's modules and sets timeouts and
// sysctls. A daemon that starts after it finds them so, and writes none of them again.
func initOnly(cfg Config, log *slog.Logger) error {
	_, closeKernel, err := openKernel(cfg)
	if err != nil {
		return err
	}
	defer closeKernel()
	return prepareHost(cfg, log)
}
