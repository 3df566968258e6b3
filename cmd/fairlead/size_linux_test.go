package main

import (
	"bytes"
	"io/fs"
	"log/slog"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// sizesOf returns a watcher of a made-up kernel, what it logs, and what it sets.
func sizesOf(numbers map[string]int64) (s *sizes, log *bytes.Buffer, sysctls map[string]string) {
	log, sysctls = new(bytes.Buffer), map[string]string{sysctlEstimation: "1"}
	return &sizes{
		log: slog.New(slog.NewTextHandler(log, nil)), auto: func() bool { return true }, old: true, estimate: true,
		sysctl: func(name, value string) (string, bool, error) {
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

func TestEstimatorsThatSomebodyElseHasStoppedStayStopped(t *testing.T) {
	s, _, sysctls := sizesOf(nil)
	sysctls[sysctlEstimation] = "0"
	for _, servers := range []int{100, estimateUpTo + 1, 100} {
		s.look(ipvs.Size{RealServers: servers})
		if got := sysctls[sysctlEstimation]; got != "0" {
			t.Errorf("%d real servers: %s is %s", servers, sysctlEstimation, got)
		}
	}
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
