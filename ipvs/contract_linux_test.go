package ipvs

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
)

func openLinux(t testing.TB) *Linux {
	t.Helper()
	kerneltest.Need(t)
	k, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	kerneltest.CloseAtEnd(t, k)
	return k
}

func openKernel(t testing.TB) subject {
	t.Helper()
	k := openLinux(t)
	return subject{k, func() string { return kerneltest.Run(t, "ipvsadm", "-Sn") }}
}

func TestWhatOthersMakeIsReadAsItIs(t *testing.T) {
	k := openKernel(t)
	for _, args := range []string{
		"-A -f 7 -s rr",
		"-A -t 10.96.0.10:80 -s rr",
		"-a -t 10.96.0.10:80 -r 10.1.0.1:80 -g -w 3",
		"-a -t 10.96.0.10:80 -r 10.1.0.2:80 -i -w 3",
		"-a -t 10.96.0.10:80 -r 10.1.0.3:80 -m -w 3",
	} {
		kerneltest.Run(t, "ipvsadm", strings.Fields(args)...)
	}
	servers, err := k.Servers()
	if _, ok := servers[MarkKey(7, false)]; err != nil || len(servers) != 2 || !ok {
		t.Fatalf("got %v, %v", servers, err)
	}
	key := parse(t, "-D -t 10.96.0.10:80").Key
	reals, err := k.RealServers(key)
	if err != nil {
		t.Fatal(err)
	}
	for addr, status := range reals {
		if foreign := addr.Addr().String() != "10.1.0.3"; status.Foreign != foreign || status.Weight != 3 {
			t.Errorf("%s: %+v", addr, status)
		}
	}
	// Editing turns them into ours.
	for _, err := range k.Apply(script(t, `
		-e -t 10.96.0.10:80 -r 10.1.0.1:80 -m -w 3
		-e -t 10.96.0.10:80 -r 10.1.0.2:80 -m -w 3`)) {
		t.Error(err)
	}
	if out := kerneltest.Run(t, "ipvsadm", "-Sn"); strings.Count(out, " -m ") != 3 || !strings.Contains(out, "-A -f 7") {
		t.Errorf("table:\n%s", out)
	}
}

func TestOtherNamespacesAreInvisible(t *testing.T) {
	k := openKernel(t)
	runScript(t, k, "-A -t 10.96.0.10:80 -s rr", "-A -t 10.96.0.10:80 -s rr")
	t.Run("inside another", func(t *testing.T) {
		other := openKernel(t)
		runScript(t, other, "-D -t 10.96.0.10:80 # missing", "")
	})
}

// TestTheBroadcastAddressOfASubnetIsNoRealServer: only the kernel knows that it is one.
func TestTheBroadcastAddressOfASubnetIsNoRealServer(t *testing.T) {
	k := openKernel(t)
	kerneltest.Run(t, "ip", "link", "add", "subnet", "type", "dummy")
	kerneltest.Run(t, "ip", "addr", "add", "10.1.0.1/24", "dev", "subnet")
	kerneltest.Run(t, "ip", "link", "set", "subnet", "up")
	runScript(t, k, `
		-A -t 10.96.0.10:80 -s rr
		-a -t 10.96.0.10:80 -r 10.1.0.255:80 -m -w 1 # invalid
		-a -t 10.96.0.10:80 -r 10.1.0.2:80 -m -w 1`, `
		-A -t 10.96.0.10:80 -s rr
		-a -t 10.96.0.10:80 -r 10.1.0.2:80 -m -w 1`)
}

func TestProbeTellsSchedulersAndLeavesNothing(t *testing.T) {
	k := openKernel(t)
	probe := k.Kernel.(*Linux).ProbeScheduler
	for _, scheduler := range []string{"rr", "mh", "lblcr"} {
		if err := probe(scheduler); err != nil {
			t.Errorf("%s: %v", scheduler, err)
		}
	}
	err := probe("nosuch")
	if !errors.Is(err, ErrNoScheduler) || !strings.Contains(err.Error(), "ip_vs_nosuch") {
		t.Errorf("nosuch: %v", err)
	}
	if out := k.saved(); out != "" {
		t.Errorf("the probe left:\n%s", out)
	}
}

func TestTimeoutsChangeOnlyWhereAsked(t *testing.T) {
	k := openLinux(t)
	before := timeouts(t)
	for _, c := range []struct {
		set  Timeouts
		want string
	}{
		{Timeouts{}, before},
		{Timeouts{TCP: 901 * time.Second, TCPFin: 121 * time.Second, UDP: 301 * time.Second}, "901 121 301"},
		{Timeouts{UDP: 77 * time.Second}, "901 121 77"},
		{Timeouts{}, "901 121 77"},
	} {
		if err := k.SetTimeouts(c.set); err != nil {
			t.Fatal(err)
		}
		if got := timeouts(t); got != c.want {
			t.Errorf("after %+v: %s, want %s", c.set, got, c.want)
		}
	}
}

func timeouts(t *testing.T) string {
	_, numbers, _ := strings.Cut(strings.TrimSpace(kerneltest.Run(t, "ipvsadm", "-l", "--timeout")), ": ")
	return numbers
}

func TestOpenTellsWhetherTheKernelHasIPVS(t *testing.T) {
	k, err := Open()
	var want error
	if _, missing := os.Stat("/proc/net/ip_vs"); missing != nil && os.Getenv(kerneltest.Env) != "1" {
		want = ErrNoIPVS
	}
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
	if err == nil {
		k.Close()
	}
}

// TestServersOfOtherNamespacesHideNone: the text of the table loses its place where another network
// namespace has virtual servers, too, and then leaves some out. What it leaves out is not gone.
func TestServersOfOtherNamespacesHideNone(t *testing.T) {
	const servers = 400
	fill := func(third byte) *Table {
		table := NewTable(openKernel(t).Kernel, 0)
		for i := range servers {
			addr := netip.AddrFrom4([4]byte{10, 96, third + byte(i>>8), byte(i)})
			table.Set(Key{Addr: netip.AddrPortFrom(addr, 80), Protocol: TCP}, VirtualServer{Scheduler: "rr"}, Reals{
				{netip.MustParseAddrPort("10.1.0.1:80"), RealServer{Weight: 1}}, {netip.MustParseAddrPort("10.1.0.2:80"), RealServer{Weight: 1}},
			})
		}
		if err := table.Upsert(always); err != nil {
			t.Fatal(err)
		}
		return table
	}
	for i, table := range []*Table{fill(0), fill(10), fill(20)} {
		if drift, err := table.Resync(always); drift != 0 || err != nil || table.Pending() != 0 {
			t.Errorf("namespace %d: drift %d, %d pending, %v", i, drift, table.Pending(), err)
		}
	}
}
