package main

import (
	"fmt"
	"log/slog"

	"github.com/fairlead-lb/fairlead/masq"
)

// initOnly does the work of `fairlead run --init-only`: what takes more than CAP_NET_ADMIN and
// CAP_NET_RAW, or a /proc/sys that can be written. It loads the kernel's modules and sets timeouts and
// sysctls. A daemon that starts after it finds them so, and writes none of them again.
func initOnly(cfg Config, log *slog.Logger) error {
	k, closeKernel, err := openKernel(cfg)
	if err != nil {
		return err
	}
	defer closeKernel()
	if err := wakeTables(k.Masq); err != nil {
		return fmt.Errorf("look at iptables: %w", err)
	}
	return startHost(cfg, log)
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
