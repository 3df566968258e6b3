package main

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// sizesOf returns a watcher of a made-up kernel, what it logs, and what it sets.
func sizesOf(numbers map[string]int64) (s *sizes, log *bytes.Buffer, sysctls map[string]string) {
	log, sysctls = new(bytes.Buffer), map[string]string{sysctlEstimation: "1"}
	return &sizes{
		log: slog.New(slog.NewTextHandler(log, nil)), auto: func() bool { return true }, old: true,
		read: func(name string) (string, error) {
			value, there := sysctls[name]
			if !there {
				return "", fs.ErrNotExist
			}
			return value, nil
		},
		set: func(name, value string) (string, bool, error) {
			before, there := sysctls[name]
			if !there {
				return "", false, fs.ErrNotExist
			}
			sysctls[name] = value
			return before, before != value, nil
		},
		number: func(path string) int64 { return numbers[path] },
		warned: make(map[string]bool),
	}, log, sysctls
}

func TestEstimatorsStopWhereThereAreMany(t *testing.T) {
	s, log, sysctls := sizesOf(nil)
	for _, step := range []struct {
		real int
		want string
	}{{100, "1"}, {estimateUpTo + 1, "0"}, {estimateUpTo - 1, "0"}, {estimateAgain, "1"}, {estimateUpTo, "1"}} {
		s.look(ipvs.Size{RealServers: step.real})
		if got := sysctls[sysctlEstimation]; got != step.want {
			t.Errorf("%d real servers: %s is %s", step.real, sysctlEstimation, got)
		}
	}
	if got := strings.Count(log.String(), "ipvs.estimation auto"); got != 2 {
		t.Errorf("told %d times:\n%s", got, log)
	}
	for name, edit := range map[string]func(){"newer": func() { s.old = false }, "not auto": func() { s.old, s.auto = true, func() bool { return false } }} {
		edit()
		s.look(ipvs.Size{RealServers: 50_000})
		if sysctls[sysctlEstimation] != "1" {
			t.Errorf("%s: the estimators were stopped", name)
		}
	}
}

// TestEstimatorsAreSwitchedByWhatTheKernelSays: a daemon that was before this one may have stopped them.
func TestEstimatorsAreSwitchedByWhatTheKernelSays(t *testing.T) {
	for _, step := range []struct {
		before  string
		servers int
		want    string
	}{{"0", 100, "1"}, {"0", estimateAgain, "1"}, {"0", estimateAgain + 1, "0"}, {"0", estimateUpTo + 1, "0"}, {"1", estimateUpTo, "1"}, {"1", estimateUpTo + 1, "0"}} {
		s, _, sysctls := sizesOf(nil)
		sysctls[sysctlEstimation] = step.before
		s.look(ipvs.Size{RealServers: step.servers})
		if got := sysctls[sysctlEstimation]; got != step.want {
			t.Errorf("%s at the start, %d real servers: %s is %s, want %s", step.before, step.servers, sysctlEstimation, got, step.want)
		}
	}
}

// TestAReadOnlyProcSysIsToldOfOnce: what has to be done is somebody else's.
func TestAReadOnlyProcSysIsToldOfOnce(t *testing.T) {
	s, log, sysctls := sizesOf(nil)
	s.set = func(name, _ string) (string, bool, error) { return sysctls[name], false, unix.EROFS }
	look := func(servers int, want string) {
		t.Helper()
		log.Reset()
		for range 3 {
			s.look(ipvs.Size{RealServers: servers})
		}
		for _, part := range strings.Split(want, "...") {
			if !strings.Contains(log.String(), part) {
				t.Errorf("no %q in\n%s", part, log)
			}
		}
		if told := strings.Count(log.String(), "\n"); told > 1 || told == 0 && want != "" {
			t.Errorf("told %d times:\n%s", told, log)
		}
	}
	look(50_000, "level=WARN...ipvs.estimation auto...read-only file system...init container...run_estimation=0")
	look(100, "")
	sysctls[sysctlEstimation] = "0"
	look(100, "level=WARN...ought to be started...run_estimation=1")
}

func TestAKernelWhoseEstimatorsCannotStopIsToldOf(t *testing.T) {
	s, log, sysctls := sizesOf(nil)
	delete(sysctls, sysctlEstimation)
	s.look(ipvs.Size{RealServers: 100})
	if log.Len() > 0 {
		t.Errorf("with few servers:\n%s", log)
	}
	for range 2 {
		s.look(ipvs.Size{RealServers: 50_000})
	}
	if got := strings.Count(log.String(), "run_estimation"); got != 1 {
		t.Errorf("told %d times:\n%s", got, log)
	}
}

func TestTablesThatAreTooSmallAreToldOfWithTheRemedy(t *testing.T) {
	numbers := map[string]int64{connTabBits: 12, "/proc/sys/" + sysctlConntrackMax: 131072, sysctlConntrackCount: 1000}
	s, log, _ := sizesOf(numbers)
	s.look(ipvs.Size{Connections: connsPerBucket << 12})
	if log.Len() > 0 {
		t.Errorf("with room enough:\n%s", log)
	}
	numbers[sysctlConntrackCount] = 110_000
	for range 3 {
		s.look(ipvs.Size{Connections: 100_000})
	}
	for _, want := range []string{"conn_tab_bits=17", "nf_conntrack_max=262144", "110000 of at most 131072"} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("%q is not told once:\n%s", want, log)
		}
	}
	log.Reset()
	numbers[sysctlConntrackCount] = 0
	s.look(ipvs.Size{})
	numbers[sysctlConntrackCount] = 131072
	s.look(ipvs.Size{})
	if !strings.Contains(log.String(), "131072 of at most 131072") {
		t.Errorf("full again, and not told again:\n%s", log)
	}
}

// TestTheInitContainerCountsWhatThereIs, for ipvs.estimation auto.
func TestTheInitContainerCountsWhatThereIs(t *testing.T) {
	kernel := ipvs.NewFake()
	var ops []ipvs.Op
	for i := range 3 {
		key := ipvs.Key{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 96, 0, byte(i)}), 80), Protocol: ipvs.TCP}
		ops = append(ops, ipvs.Op{Verb: ipvs.AddServer, Key: key, Server: ipvs.VirtualServer{Scheduler: "rr"}})
		for j := range i {
			real := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 244, 0, byte(j)}), 80)
			ops = append(ops, ipvs.Op{Verb: ipvs.AddReal, Key: key, Real: real, Value: ipvs.RealServer{Weight: 1}})
		}
	}
	if err := errors.Join(kernel.Apply(ops)...); err != nil {
		t.Fatal(err)
	}
	if size, err := sizeOf(kernel); err != nil || size != (ipvs.Size{VirtualServers: 3, RealServers: 3}) {
		t.Errorf("%+v, %v", size, err)
	}
}
