package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/conntrack"
	"github.com/fairlead-lb/fairlead/controller"
	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/internal/sysctl"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/meter"
)

// openKernel makes sure that this process and this kernel can do what the configuration asks for.
// It is the preflight: each failure is one sentence that says what is missing, and nothing has been
// changed yet. Programs that write rules outlive ctx by stopPatience at most.
func openKernel(ctx context.Context, cfg Config) (k controller.Kernel, closeAll func(), err error) {
	if err := privileged(); err != nil {
		return k, nil, err
	}
	var closers []func() error
	closeOpened := func() {
		for _, c := range closers {
			_ = c() // sockets; nothing is lost
		}
	}
	defer func() {
		if err != nil {
			closeOpened()
		}
	}()
	rules, err := masq.Open()
	if err != nil {
		return k, nil, fmt.Errorf("iptables is needed: %w", err)
	}
	closers = append(closers, rules.Close)
	rules.Until(sometimeAfter(ctx))
	servers, err := ipvs.Open()
	if err != nil {
		return k, nil, fmt.Errorf("IPVS is needed: %w", err)
	}
	closers = append(closers, servers.Close)
	if err := servers.ProbeScheduler(cfg.IPVS.Scheduler); err != nil {
		return k, nil, fmt.Errorf("ipvs.scheduler: %w", err)
	}
	flows, err := conntrack.Open()
	if err != nil {
		return k, nil, fmt.Errorf("connection tracking is needed: %w", err)
	}
	closers = append(closers, flows.Close)
	device, err := dummyif.Open(cfg.DummyInterface.Name)
	if err != nil {
		return k, nil, err
	}
	closers = append(closers, device.Close)
	return controller.Kernel{IPVS: servers, Dummyif: device, Masq: rules, Flows: flows}, closeOpened, nil
}

// openCounters opens what the kernel counts, on sockets of its own.
func openCounters() (meter.Reader, func() error, error) {
	kernel, err := ipvs.Open()
	if err != nil {
		return nil, nil, err
	}
	return kernel, kernel.Close, nil
}

// probeScheduler asks the kernel for a scheduler, loading its module if need be.
func probeScheduler(name string) error {
	kernel, err := ipvs.Open()
	if err != nil {
		return err
	}
	defer kernel.Close()
	return kernel.ProbeScheduler(name)
}

// privileged returns an error unless this process may administer the network.
func privileged() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("read this process's capabilities: %w", err)
	}
	if sets[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		return fmt.Errorf("not allowed to administer the network: run as root or with CAP_NET_ADMIN (user id is %d)", os.Geteuid())
	}
	return nil
}

// kernelSetting is a sysctl that Fairlead needs, and why.
type kernelSetting struct {
	name, value, why string
	key              string // that asks for it; none: it is always needed
}

// failed says that a setting could not be made.
func (s kernelSetting) failed(err error) error {
	if s.key == "" {
		return fmt.Errorf("%s: %w", s.why, err)
	}
	return problem("", s.key, "%v", err)
}

// settings lists the sysctls for this configuration and kernel.
func settings(cfg Config) []kernelSetting {
	list := []kernelSetting{
		{name: "net/ipv4/vs/conntrack", value: "1", why: "balanced connections are masqueraded"},
		{name: "net/ipv4/vs/expire_nodest_conn", value: "1", why: "connections end with their real server"},
		{name: "net/ipv4/vs/expire_quiescent_template", value: "1", why: "affinity ends with its real server"},
		{name: "net/ipv4/ip_forward", value: "1", why: "packets go on to pods"},
	}
	if !kernelAtLeast(5, 9) {
		// Before 5.9, reusing a client port cost a second (kubernetes/kubernetes 81775).
		list = append(list, kernelSetting{name: "net/ipv4/vs/conn_reuse_mode", value: "0", why: "no delay for reused ports before Linux 5.9"})
	}
	asked := func(name, value, key, since string) {
		list = append(list, kernelSetting{"net/ipv4/" + name, value, key + since, key})
	}
	if cfg.IPVS.StrictARP {
		asked("conf/all/arp_ignore", "1", "ipvs.strictARP", "")
		asked("conf/all/arp_announce", "2", "ipvs.strictARP", "")
	}
	switch cfg.IPVS.Estimation {
	case estimationOn:
		asked("vs/run_estimation", "1", "ipvs.estimation", "")
	case estimationOff:
		asked("vs/run_estimation", "0", "ipvs.estimation", "")
	}
	if cfg.IPVS.EstimationCPUs != "" {
		asked("vs/est_cpulist", cfg.IPVS.EstimationCPUs, "ipvs.estimationCPUs", ", since Linux 6.2")
	}
	if cfg.IPVS.EstimationNice != 0 {
		asked("vs/est_nice", strconv.Itoa(cfg.IPVS.EstimationNice), "ipvs.estimationNice", ", since Linux 6.2")
	}
	return list
}

// setTimeouts sets IPVS's timeouts, which hold for the whole network namespace.
func setTimeouts(cfg IPVSConfig) error {
	table, err := ipvs.Open()
	if err != nil {
		return err
	}
	defer table.Close()
	if err = table.SetTimeouts(ipvs.Timeouts{TCP: cfg.TCPTimeout, TCPFin: cfg.TCPFinTimeout, UDP: cfg.UDPTimeout}); err == nil {
		return nil
	}
	var errs []error // the three go to the kernel in one message
	for key, timeout := range map[string]time.Duration{
		"ipvs.tcpTimeout": cfg.TCPTimeout, "ipvs.tcpFinTimeout": cfg.TCPFinTimeout, "ipvs.udpTimeout": cfg.UDPTimeout,
	} {
		if timeout != 0 {
			errs = append(errs, problem("", key, "%v", err))
		}
	}
	if len(errs) == 0 {
		return err
	}
	return errors.Join(errs...)
}

// prepareHost sets timeouts and sysctls. It writes only what differs, and goes on after errors.
func prepareHost(cfg Config, log *slog.Logger) error {
	errs := []error{setTimeouts(cfg.IPVS)}
	for _, s := range settings(cfg) {
		before, changed, err := sysctl.Ensure(s.name, s.value)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			log.Warn("this kernel has no such sysctl", "sysctl", s.name, "for", s.why)
		case err != nil:
			errs = append(errs, s.failed(err))
		case changed:
			log.Info("sysctl set", "sysctl", s.name, "from", before, "to", s.value, "because", s.why)
		}
	}
	return errors.Join(errs...)
}

// tuneHost sets what Services work without: connection tracking, and the process's own standing with the OOM killer.
func tuneHost(cfg Config, log *slog.Logger) error {
	errs := []error{tuneConntrack(cfg.Conntrack, log)}
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(cfg.OOMScoreAdj)), 0o644); err != nil {
		errs = append(errs, problem("", "oomScoreAdj", "cannot set it to %d: %v", cfg.OOMScoreAdj, err))
	}
	return errors.Join(errs...)
}

// kernelRelease is the running kernel's, such as "6.1.0-35-amd64"; "" where it cannot be read.
func kernelRelease() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return ""
	}
	return strings.TrimSpace(unix.ByteSliceToString(name.Release[:]))
}

// kernelAtLeast compares the running kernel's version. Of one that cannot be read the newer behavior is the safer
// guess.
func kernelAtLeast(major, minor int) bool {
	var haveMajor, haveMinor int
	if _, err := fmt.Sscanf(kernelRelease(), "%d.%d", &haveMajor, &haveMinor); err != nil {
		return true
	}
	return haveMajor > major || haveMajor == major && haveMinor >= minor
}
