package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/fairlead-lb/fairlead/controller"
	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/shadow"
)

// errDiffers says that the comparison has found differences, which have been printed.
var errDiffers = errors.New("kube-proxy and Fairlead differ")

// runShadow does the work of `fairlead run --shadow`: it lets the controller program kernels in memory, which are
// those that the tests are made with, and compares what is in them with what kube-proxy has programmed.
func runShadow(ctx context.Context, cfg Config, asJSON bool, out io.Writer, log *slog.Logger) error {
	mode, theirs, err := programmed(ctx, cfg)
	if err != nil {
		return fmt.Errorf("read what kube-proxy has programmed: %w", err)
	}
	ours, err := rehearse(ctx, cfg, mode, sourcePatience, log)
	if err != nil {
		return err
	}
	report := shadow.Compare(mode, theirs, ours)
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		err = report.Write(out)
	}
	if err == nil && !report.Parity() {
		err = errDiffers
	}
	return err
}

// sourcePatience is how long a command waits for the source to tell of all Services.
const sourcePatience = 2 * time.Minute

// withPatience returns a context that ends with an error when the source takes too long.
func withPatience(ctx context.Context, patience time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, patience, fmt.Errorf("the source has not told of all Services within %s", patience))
}

// rehearse runs the controller until everything that the cluster has is in force, in memory. It waits so long for the
// source to tell of that.
func rehearse(ctx context.Context, cfg Config, mode string, patience time.Duration, log *slog.Logger) (shadow.Ours, error) {
	ctx, cancel := withPatience(ctx, patience)
	defer cancel()
	servers, sets := ipvs.NewFake(), masq.NewFake()
	c, err := runRehearsal(ctx, cfg, controller.Kernel{IPVS: servers, Dummyif: dummyif.NewFake(), Masq: sets}, nil, log)
	if err != nil {
		return shadow.Ours{}, err
	}
	return oursOf(c, servers, sets, mode)
}

// runRehearsal runs the controller over kernels in memory until it has nothing to do any more but to wait, and
// returns it as it was then. inherited is as in controller.Options.
func runRehearsal(ctx context.Context, cfg Config, k controller.Kernel, inherited func(ipvs.Key) bool, log *slog.Logger) (*controller.Controller, error) {
	name, err := ownName(cfg.HostnameOverride)
	if err != nil {
		return nil, err
	}
	src, _, err := openSource(ctx, cfg, name, log)
	if err != nil {
		return nil, err
	}
	options, err := controllerOptions(cfg, name)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	rested, failed := false, error(nil)
	options.Rehearsal, options.Inherited = true, inherited
	options.Rested = func(err error) {
		if !rested {
			rested, failed = true, err
			stop()
		}
	}
	c := controller.New(src, k, options, log)
	if err := c.Run(ctx); err != nil {
		return nil, err
	}
	if !rested {
		return nil, context.Cause(ctx)
	}
	return c, failed
}

// oursOf reads what the controller has written.
func oursOf(c *controller.Controller, servers *ipvs.Fake, sets *masq.Fake, mode string) (shadow.Ours, error) {
	ours := shadow.Ours{State: make(shadow.State), Services: make(map[shadow.Frontend]string), Skip: make(map[shadow.Frontend]string)}
	entries, err := sets.Entries()
	if err != nil {
		return ours, err
	}
	owners := c.LastOwners()
	all, err := servers.Servers()
	if err != nil {
		return ours, err
	}
	for k := range all {
		if k.Mark != 0 {
			continue
		}
		_, vip := entries[masq.Entry{Set: masq.VIPs, Addr: k.Addr.Addr()}]
		f := frontendOf(k, vip)
		reals, err := servers.RealServers(k)
		if err != nil {
			return ours, err
		}
		ours.State.Add(f, used(reals)...)
		ours.Services[f] = owners[k].Service.String()
		_, aside := entries[masq.Entry{Set: masq.Local, Addr: k.Addr.Addr(), Port: k.Addr.Port(), Protocol: uint8(k.Protocol)}]
		if aside && mode == modeIPVS {
			ours.Skip[f] = "externalTrafficPolicy Local, which kube-proxy applies to everybody in this mode, and Fairlead to clients from outside"
		}
	}
	return ours, nil
}

// frontendOf returns what clients come to: of a node port, any address of the node.
func frontendOf(k ipvs.Key, vip bool) shadow.Frontend {
	f := shadow.Frontend{Addr: k.Addr.Addr(), Port: k.Addr.Port(), Protocol: k.Protocol}
	switch {
	case vip:
	case f.Addr.Is4():
		f.Addr = netip.IPv4Unspecified()
	default:
		f.Addr = netip.IPv6Unspecified()
	}
	return f
}

// used lists the real servers that get new connections.
func used(reals map[netip.AddrPort]ipvs.RealStatus) (list []netip.AddrPort) {
	for addr, real := range reals {
		if real.Weight > 0 {
			list = append(list, addr)
		}
	}
	slices.SortFunc(list, netip.AddrPort.Compare)
	return list
}
