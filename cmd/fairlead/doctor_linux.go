package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/doctor"
	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/internal/child"
	"github.com/fairlead-lb/fairlead/internal/hostaddr"
	"github.com/fairlead-lb/fairlead/internal/iptsave"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/takeover"
)

// examined reads what the doctor wants to know of this node, and writes nothing. What cannot be read is an answer,
// too: the command goes on.
func examined(ctx context.Context, cfg Config) (*doctor.Host, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, fmt.Errorf("ask for the kernel's release: %w", err)
	}
	h := &doctor.Host{
		Files: os.DirFS("/"), Release: unix.ByteSliceToString(name.Release[:]), Privileges: privileged(), Want: doctorWants(cfg),
	}
	h.Devices.Value, h.Devices.Err = devices()
	version, err := child.New(ctx, "iptables", "--version").Run()
	h.Program = doctor.Answer[string]{Value: strings.TrimSpace(version), Err: err}
	if h.Privileges != nil {
		h.Servers.Err, h.Tables.Err, h.KubeProxy.Err = h.Privileges, h.Privileges, h.Privileges
		return h, nil
	}
	kernel, err := takeover.Open()
	if err != nil {
		h.Servers.Err, h.Tables.Err, h.KubeProxy.Err = err, err, err
		return h, nil
	}
	defer kernel.Close()
	kernel.Until(ctx)
	h.Tables.Value, h.Tables.Err = listTables(kernel)
	h.KubeProxy.Value, h.KubeProxy.Err = leftHere(kernel)
	h.Servers.Value, h.Servers.Err = virtualServers(cfg, takeover.New(kernel))
	return h, nil
}

// doctorWants says in the doctor's words what the configuration asks for.
func doctorWants(cfg Config) doctor.Want {
	w := doctor.Want{
		Scheduler: cfg.IPVS.Scheduler, Device: cfg.DummyInterface.Name, StrictARP: cfg.IPVS.StrictARP,
		Estimation: cfg.IPVS.Estimation, RemoveKubeProxy: cfg.Takeover.RemoveKubeProxy,
	}
	for _, cidr := range cfg.ClusterCIDR {
		w.IPv6 = w.IPv6 || cidr.Addr().Is6()
	}
	for _, s := range settings(cfg) {
		w.Sysctls = append(w.Sysctls, doctor.Sysctl{Name: s.name, Value: s.value, Why: s.why})
	}
	return w
}

func devices() ([]doctor.Device, error) {
	links, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) { // one more or less
		return nil, err
	}
	bridges := make(map[int]bool)
	for _, l := range links {
		bridges[l.Attrs().Index] = l.Type() == "bridge"
	}
	var all []doctor.Device
	for _, l := range links {
		all = append(all, doctor.Device{Name: l.Attrs().Name, Type: l.Type(), Port: bridges[l.Attrs().MasterIndex]})
	}
	return all, nil
}

// listTables lists the rules of both variants. What cannot be listed is left out, and an error.
func listTables(kernel *takeover.Linux) (map[takeover.Table]string, error) {
	tables, err := kernel.Tables()
	saves := make(map[takeover.Table]string)
	for _, t := range tables {
		save, saveErr := kernel.Save(t)
		if saveErr != nil {
			err = errors.Join(err, fmt.Errorf("list table %s: %w", t, saveErr))
			continue
		}
		if save = iptsave.Only(save, t.Name); save != "" {
			saves[t] = save
		}
	}
	return saves, err
}

// leftHere looks for kube-proxy, and for what one has left.
func leftHere(kernel *takeover.Linux) (doctor.KubeProxy, error) {
	found, err := takeover.New(kernel).Find()
	k := doctor.KubeProxy{Left: found.Names(), Stay: found.Stay}
	running, runErr := kernel.Processes()
	for _, p := range running {
		k.Running = append(k.Running, p.String())
	}
	return k, errors.Join(err, runErr)
}

// virtualServers reads the table, if IPVS is there. To ask for it would load it.
func virtualServers(cfg Config, left *takeover.Leftovers) ([]doctor.Server, error) {
	if _, err := os.Stat("/proc/thread-self/net/ip_vs"); err != nil {
		return nil, ipvs.ErrNoIPVS
	}
	table, err := ipvs.Open()
	if err != nil {
		return nil, err
	}
	defer table.Close()
	servers, err := table.Servers()
	if err != nil {
		return nil, fmt.Errorf("read the virtual servers: %w", err)
	}
	ours, err := recognized(cfg)
	if err != nil {
		return nil, err
	}
	known, err := left.IPVS()
	if err != nil {
		return nil, err
	}
	host, err := hostaddr.List(cfg.DummyInterface.Name, dummyif.Alias, kubeProxyDevice)
	if err != nil {
		return nil, err
	}
	reals, err := allReals(table)
	if err != nil {
		return nil, fmt.Errorf("read the real servers: %w", err)
	}
	var all []doctor.Server
	for k, v := range servers {
		s := doctor.Server{Key: k, Scheduler: v.Scheduler, Ours: ours(k), KubeProxys: known.Has(k, host), Reals: len(reals[k])}
		for _, r := range reals[k] {
			s.Connections += r.ActiveConnections + r.InactiveConnections
		}
		all = append(all, s)
	}
	return all, nil
}

// allReals reads the real servers of all virtual servers at once. Some may be left out while there are changes, which
// does not matter here: they are only counted.
func allReals(table *ipvs.Linux) (map[ipvs.Key]map[netip.AddrPort]ipvs.RealStatus, error) {
	const all = 1 << 30
	reals, _, err := table.MoreRealServers(true, all)
	return reals, err
}

// recognized tells which virtual servers are Fairlead's.
func recognized(cfg Config) (func(ipvs.Key) bool, error) {
	sets, err := masq.Open()
	if err != nil {
		return nil, fmt.Errorf("iptables is needed: %w", err)
	}
	defer sets.Close()
	entries, err := sets.Entries()
	if err != nil {
		return nil, fmt.Errorf("read what Fairlead created: %w", err)
	}
	return ownedBy(cfg, entries), nil
}
