package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/internal/sysctl"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/plan"
	"github.com/fairlead-lb/fairlead/takeover"
)

// presentState reads what there is on this node. It writes nothing.
func presentState(cfg Config, log *slog.Logger) (now present, err error) {
	now.probe = ipvs.LookForScheduler
	if now.state, err = readState(cfg); err != nil {
		return now, err
	}
	servers, err := ipvs.Open()
	if err != nil {
		return now, err
	}
	defer servers.Close()
	if now.host, err = hostWrites(cfg, servers, log); err != nil {
		return now, err
	}
	if !cfg.Takeover.RemoveKubeProxy {
		return now, nil
	}
	now.inherited = inherited(cfg, log)
	now.kubeProxy, err = leftOfKubeProxy()
	return now, err
}

// readState copies what the kernel has.
func readState(cfg Config) (state plan.State, err error) {
	if err := privileged(); err != nil {
		return state, err
	}
	rules, err := masq.Open()
	if err != nil {
		return state, fmt.Errorf("iptables is needed: %w", err)
	}
	defer rules.Close()
	servers, err := ipvs.Open()
	if err != nil {
		return state, fmt.Errorf("IPVS is needed: %w", err)
	}
	defer servers.Close()
	device, err := dummyif.Open(cfg.DummyInterface.Name)
	if err != nil {
		return state, err
	}
	defer device.Close()
	return plan.Read(servers, device, rules)
}

// hostWrites lists what prepareHost would set.
func hostWrites(cfg Config, servers *ipvs.Linux, log *slog.Logger) (list []plan.Write, err error) {
	timeouts := ipvs.Timeouts{TCP: cfg.IPVS.TCPTimeout, TCPFin: cfg.IPVS.TCPFinTimeout, UDP: cfg.IPVS.UDPTimeout}
	differ, err := servers.TimeoutsDiffer(timeouts)
	if err != nil {
		return nil, err
	}
	if differ {
		list = append(list, plan.Write{Package: "host", Verb: "set-timeouts", Why: "0 leaves a timeout as it is",
			Line: fmt.Sprintf("ipvsadm --set %d %d %d", timeouts.TCP/time.Second, timeouts.TCPFin/time.Second, timeouts.UDP/time.Second)})
	}
	for _, s := range settings(cfg) {
		before, err := sysctl.Read(s.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the daemon warns of it, and goes on
		}
		if err != nil {
			return nil, s.failed(err)
		}
		if before != s.value {
			list = append(list, sysctlWrite(s))
		}
	}
	return append(list, conntrackWrites(cfg.Conntrack, log)...), nil
}

// conntrackWrites lists what tuneConntrack would set. It goes on without what cannot be set here: that is no write.
func conntrackWrites(cfg ConntrackConfig, log *slog.Logger) (list []plan.Write) {
	due := func(s kernelSetting) {
		if !sysctl.Writable(s.name) {
			log.Warn("a sysctl of connection tracking is not as configured and cannot be set from here, which leaves it as it is",
				"sysctl", s.name, "value", s.value, "for", s.why)
			return
		}
		list = append(list, sysctlWrite(s))
	}
	for _, s := range conntrackSettings(cfg) {
		if before, err := sysctl.Read(s.name); err == nil && before != s.value {
			due(s)
		}
	}
	limit := conntrackMax(cfg, cores())
	if before := readNumber("/proc/sys/" + sysctlConntrackMax); before > 0 && before < limit {
		due(conntrackLimit(limit))
	}
	return list
}

func sysctlWrite(s kernelSetting) plan.Write {
	return plan.Write{Package: "host", Verb: "set-sysctl", Why: s.why,
		Line: "sysctl -w " + strings.ReplaceAll(s.name, "/", ".") + "=" + s.value}
}

// leftOfKubeProxy names what takeOver would remove.
func leftOfKubeProxy() (k plan.KubeProxy, err error) {
	kernel, err := takeover.Open()
	if err != nil {
		return k, err
	}
	defer kernel.Close()
	found, err := takeover.New(kernel).Find()
	if err != nil {
		return k, fmt.Errorf("look for what kube-proxy left: %w", err)
	}
	running, err := kernel.Processes()
	if err != nil {
		return k, fmt.Errorf("look for kube-proxy: %w", err)
	}
	k.Remove = found.Names()
	for _, p := range running {
		k.Running = append(k.Running, p.String())
	}
	return k, nil
}
