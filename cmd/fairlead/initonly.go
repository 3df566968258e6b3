package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// initOnly does the work of `fairlead run --init-only`: what takes more than CAP_NET_ADMIN and
// CAP_NET_RAW, or a /proc/sys that can be written. It loads the kernel's modules and sets timeouts and
// sysctls, what ipvs.estimation auto means for the servers that there are included. A daemon that starts after it finds
// them so, and writes none of them again.
func initOnly(ctx context.Context, cfg Config, log *slog.Logger) error {
	k, closeKernel, err := openKernel(ctx, cfg)
	if err != nil {
		return err
	}
	defer closeKernel()
	if err := wakeTables(k.Masq); err != nil {
		return fmt.Errorf("look at iptables: %w", err)
	}
	if err := startHost(cfg, log); err != nil || cfg.IPVS.Estimation != estimationAuto {
		return err
	}
	size, err := sizeOf(k.IPVS)
	if err != nil {
		return err
	}
	watchSizes(func() bool { return true }, log)(size)
	return nil
}

// sizeOf counts virtual and real servers. Where others change them meanwhile it is a rough number.
func sizeOf(kernel ipvs.Kernel) (size ipvs.Size, err error) {
	servers, err := kernel.Servers()
	if err != nil {
		return size, fmt.Errorf("read the virtual servers: %w", err)
	}
	const all = 1 << 30
	reals, _, err := kernel.MoreRealServers(true, all)
	if err != nil {
		return size, fmt.Errorf("read the real servers: %w", err)
	}
	size.VirtualServers = len(servers)
	for _, of := range reals {
		size.RealServers += len(of)
	}
	return size, nil
}

// wakeTables looks into every table of iptables and changes nothing: iptables-legacy loads a module for
// it, which later, without CAP_SYS_MODULE, it could not.
func wakeTables(kernel masq.Kernel) error {
	chains := make(map[masq.Family][]masq.Chain)
	for _, family := range kernel.Families() {
		for _, table := range []string{"mangle", "nat", "filter"} {
			chains[family] = append(chains[family], masq.Chain{Table: table, Name: "OUTPUT", BuiltIn: true, Tentative: true})
		}
	}
	_, err := kernel.EnsureRules(chains)
	return err
}
