package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/fairlead-lb/fairlead/internal/child"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/shadow"
	"github.com/fairlead-lb/fairlead/takeover"
)

// programmed reads what kube-proxy has programmed, in the mode that there is something of. It writes nothing.
func programmed(ctx context.Context, cfg Config) (mode string, state shadow.State, err error) {
	if err := privileged(); err != nil {
		return "", nil, err
	}
	kernel, err := takeover.Open()
	if err != nil {
		return "", nil, err
	}
	defer kernel.Close()
	kernel.Until(ctx)
	state = make(shadow.State)
	if _, err := kernel.Set("KUBE-CLUSTER-IP"); err == nil {
		return modeIPVS, state, programmedIPVS(cfg, state)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", nil, err
	}
	families, err := kernel.NFTables()
	if err != nil {
		return "", nil, err
	}
	if len(families) > 0 {
		return modeNFTables, state, programmedNFTables(ctx, families, state)
	}
	if err := programmedIPTables(kernel, state); err != nil {
		return "", nil, err
	}
	if len(state) == 0 {
		return "", nil, errors.New("there is nothing of kube-proxy's: neither the ipsets of mode ipvs, nor its nftables table, nor its chains in table nat")
	}
	return modeIPTables, state, nil
}

// programmedIPVS reads the virtual servers. What is bound to kube-proxy's device is a VIP.
func programmedIPVS(cfg Config, into shadow.State) error {
	table, err := ipvs.Open()
	if err != nil {
		return err
	}
	defer table.Close()
	servers, err := table.Servers()
	if err != nil {
		return err
	}
	vips := make(map[netip.Addr]bool)
	for _, name := range []string{kubeProxyDevice, cfg.DummyInterface.Name} {
		bound, err := boundTo(name)
		if err != nil {
			return err
		}
		for _, addr := range bound {
			vips[addr] = true
		}
	}
	for k := range servers {
		if k.Mark != 0 {
			continue
		}
		reals, err := table.RealServers(k)
		if err != nil {
			return fmt.Errorf("read the real servers of %s: %w", k, err)
		}
		into.Add(frontendOf(k, vips[k.Addr.Addr()]), used(reals)...)
	}
	return nil
}

// programmedNFTables lists kube-proxy's tables by nft, which prints JSON.
func programmedNFTables(ctx context.Context, families []masq.Family, into shadow.State) error {
	for _, f := range families {
		family := "ip"
		if f == masq.IPv6 {
			family = "ip6"
		}
		out, err := child.New(ctx, "nft", "-j", "list", "table", family, "kube-proxy").Run()
		if err != nil {
			return fmt.Errorf("mode nftables takes the program nft to read: %w", err)
		}
		if err := shadow.FromNFTables([]byte(out), f == masq.IPv6, into); err != nil {
			return err
		}
	}
	return nil
}

// programmedIPTables reads table nat, of both variants of iptables.
func programmedIPTables(kernel *takeover.Linux, into shadow.State) error {
	tables, err := kernel.Tables()
	if err != nil {
		return err
	}
	for _, t := range tables {
		if t.Name != "nat" {
			continue
		}
		save, err := kernel.Save(t)
		if err != nil {
			return fmt.Errorf("list table %s: %w", t, err)
		}
		shadow.FromIPTables(save, t.Family == masq.IPv6, into)
	}
	return nil
}
