package main

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/conntrack"
	"github.com/fairlead-lb/fairlead/internal/kerneltest"
)

func TestConntrackSettings(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  ConntrackConfig
		want []kernelSetting
	}{
		{"the defaults", defaults(t).Conntrack, []kernelSetting{
			{"net/netfilter/nf_conntrack_tcp_timeout_established", "86400", "conntrack.tcpEstablishedTimeout", "conntrack.tcpEstablishedTimeout"},
			{"net/netfilter/nf_conntrack_tcp_timeout_close_wait", "3600", "conntrack.tcpCloseWaitTimeout", "conntrack.tcpCloseWaitTimeout"},
		}},
		{"the others", ConntrackConfig{TCPBeLiberal: true, UDPTimeout: 10 * time.Second, UDPStreamTimeout: 2 * time.Minute}, []kernelSetting{
			{"net/netfilter/nf_conntrack_udp_timeout", "10", "conntrack.udpTimeout", "conntrack.udpTimeout"},
			{"net/netfilter/nf_conntrack_udp_timeout_stream", "120", "conntrack.udpStreamTimeout", "conntrack.udpStreamTimeout"},
			{"net/netfilter/nf_conntrack_tcp_be_liberal", "1", "conntrack.tcpBeLiberal", "conntrack.tcpBeLiberal"},
		}},
		{"nothing", ConntrackConfig{}, nil},
	} {
		if diff := cmp.Diff(c.want, conntrackSettings(c.cfg), cmp.AllowUnexported(kernelSetting{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestConntrackMax(t *testing.T) {
	for _, c := range []struct {
		perCore, least, cores int
		want                  int64
	}{
		{32768, 131072, 2, 131072},
		{32768, 131072, 4, 131072},
		{32768, 131072, 8, 262144},
		{32768, 0, 1, 32768},
		{0, 131072, 8, 0},
		{1 << 30, 0, 128, 1<<31 - 1},
	} {
		if got := conntrackMax(ConntrackConfig{MaxPerCore: c.perCore, Min: c.least}, c.cores); got != c.want {
			t.Errorf("%+v: got %d", c, got)
		}
	}
}

func TestHashAdvice(t *testing.T) {
	for _, c := range []struct {
		limit, buckets int64
		want           string
	}{
		{262144, 16384, "echo 65536 > /sys/module/nf_conntrack/parameters/hashsize (now 16384)"},
		{262144, 65536, ""},
		{262144, 262144, ""},
		{262144, 0, ""},
		{0, 65536, ""},
	} {
		if got := hashAdvice(c.limit, c.buckets); got != c.want {
			t.Errorf("%d connections, %d buckets: got %q, want %q", c.limit, c.buckets, got, c.want)
		}
	}
}

func TestCountCPUs(t *testing.T) {
	for list, want := range map[string]int{"0": 1, "0-3": 4, "0-3,8": 5, "0,2,4-5": 4, "": 0, "x": 0, "3-0": 0, "0-3,": 0} {
		if got := countCPUs(list); got != want {
			t.Errorf("%q: got %d, want %d", list, got, want)
		}
	}
	if got := cores(); got < 1 {
		t.Errorf("this machine has %d", got)
	}
}

// inConntrackNamespace gives the test a network namespace with the sysctls of connection tracking.
func inConntrackNamespace(t *testing.T) {
	t.Helper()
	kerneltest.Want(t)
	kerneltest.Namespace(t)
	k, err := conntrack.Open() // loads what has them
	if err != nil {
		t.Fatal(err)
	}
	kerneltest.CloseAtEnd(t, k)
}

// tune runs tuneConntrack and returns what it logged, and what failed.
func tune(cfg ConntrackConfig) (string, []error) {
	var out bytes.Buffer
	err := tuneConntrack(cfg, slog.New(slog.NewTextHandler(&out, nil)))
	return out.String(), problemsIn(err)
}

func TestConntrackIsTunedOnce(t *testing.T) {
	inConntrackNamespace(t)
	cfg := ConntrackConfig{MaxPerCore: 1, Min: 1, TCPBeLiberal: true, TCPEstablishedTimeout: 7 * time.Hour,
		TCPCloseWaitTimeout: 41 * time.Second, UDPTimeout: 42 * time.Second, UDPStreamTimeout: 43 * time.Second}
	before := readNumber("/proc/sys/" + sysctlConntrackMax)
	log, failed := tune(cfg)
	for name, want := range map[string]int64{"tcp_timeout_established": 25200, "tcp_timeout_close_wait": 41,
		"udp_timeout": 42, "udp_timeout_stream": 43, "tcp_be_liberal": 1} {
		if got := readNumber("/proc/sys/net/netfilter/nf_conntrack_" + name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	if after := readNumber("/proc/sys/" + sysctlConntrackMax); after != before || before == 0 {
		t.Errorf("nf_conntrack_max was %d, is %d", before, after)
	}
	if strings.Count(log, "sysctl set") != 5 || strings.Contains(log, "WARN") || failed != nil {
		t.Errorf("failed %v, logged\n%s", failed, log)
	}
	if again, failed := tune(cfg); again != "" || failed != nil {
		t.Errorf("the second time %v\n%s", failed, again)
	}
}

// TestTheLimitOfTheHostIsNamed: in a namespace other than the first, Linux 6.1 shows the first
// one's nf_conntrack_max and lets nobody write it. Kernels that keep one for each may.
func TestTheLimitOfTheHostIsNamed(t *testing.T) {
	inConntrackNamespace(t)
	const limit = 1<<31 - 1
	log, failed := tune(ConntrackConfig{MaxPerCore: limit})
	if readNumber("/proc/sys/"+sysctlConntrackMax) == limit {
		return
	}
	if log != "" || len(failed) != 1 || keyOf(failed[0]) != "conntrack.maxPerCore" || !strings.Contains(failed[0].Error(), "nf_conntrack_max") {
		t.Errorf("failed %v, logged\n%s", failed, log)
	}
}

// readOnlyProcSys makes /proc/sys what it is in a container that is not privileged, for this test's thread.
func readOnlyProcSys(t *testing.T) {
	t.Helper()
	for _, err := range []error{
		unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS),
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("/proc/sys", "/proc/sys", "", unix.MS_BIND, ""),
		unix.Mount("", "/proc/sys", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAReadOnlyProcSysFailsKeyByKey(t *testing.T) {
	inConntrackNamespace(t)
	readOnlyProcSys(t)
	_, failed := tune(ConntrackConfig{TCPEstablishedTimeout: time.Hour, UDPTimeout: time.Second})
	if len(failed) != 2 || keyOf(failed[0]) != "conntrack.tcpEstablishedTimeout" || keyOf(failed[1]) != "conntrack.udpTimeout" ||
		!strings.Contains(failed[0].Error(), "read-only file system") {
		t.Errorf("%v", failed)
	}
	if _, err := os.ReadFile("/proc/sys/" + sysctlConntrackMax); err != nil {
		t.Error(err)
	}
}
