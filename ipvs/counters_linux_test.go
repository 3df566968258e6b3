package ipvs

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
)

// payload is what each connection carries in each direction.
const payload = 1000

// counting is a kernel with one virtual server of each sort, and one real server for each, which answers.
type counting struct {
	t      *testing.T
	kernel *Linux
	ops    []Op
	sent   map[Key]uint64 // connections that have been made
}

func newCounting(t *testing.T) *counting {
	c := &counting{t: t, kernel: openLinux(t), sent: make(map[Key]uint64)}
	c.run("net.ipv4.vs.run_estimation", "1")
	for _, at := range []string{"10.0.0.1:8080", "[fd00::1]:8080"} {
		echo(t, at)
	}
	c.ops = script(t, `
		-A -t 10.96.0.10:80 -s rr
		-a -t 10.96.0.10:80 -r 10.0.0.1:8080 -m -w 1
		-A -u 10.96.0.10:80 -s rr
		-a -u 10.96.0.10:80 -r 10.0.0.1:8080 -m -w 1
		-A -t [fd00:96::a]:80 -s rr
		-a -t [fd00:96::a]:80 -r [fd00::1]:8080 -m -w 1
		-A -f 7 -s rr
		-a -f 7 -r 10.0.0.1:8080 -m -w 1`)
	for _, err := range c.kernel.Apply(c.ops) {
		if err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c *counting) run(name, value string) { kerneltest.Run(c.t, "sysctl", "-q", "-w", name+"="+value) }

// echo sends back what it gets, by TCP and UDP, until the test ends.
func echo(t *testing.T, at string) {
	t.Helper()
	listener, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	kerneltest.CloseAtEnd(t, listener)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(conn, conn)
			_ = conn.Close()
		}
	}()
	packets, err := net.ListenPacket("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	kerneltest.CloseAtEnd(t, packets)
	go func() {
		var room [2 * payload]byte
		for {
			n, from, err := packets.ReadFrom(room[:])
			if err != nil {
				return
			}
			_, _ = packets.WriteTo(room[:n], from)
		}
	}()
}

// send makes one connection through a virtual server, from this namespace, and waits for the answer.
func (c *counting) send(k Key) {
	c.t.Helper()
	network, to := k.Protocol.String(), k.Addr.String()
	var dialer net.Dialer
	if k.Mark != 0 {
		network, to = "tcp", "10.96.0.20:443"
		dialer.Control = func(_, _ string, raw syscall.RawConn) error {
			var failed error
			err := raw.Control(func(fd uintptr) {
				failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(k.Mark))
			})
			if err != nil {
				return err
			}
			return failed
		}
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	conn, err := dialer.DialContext(ctx, network, to)
	if err != nil {
		c.t.Fatalf("%s: %v", k, err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := conn.Write(make([]byte, payload)); err != nil {
		c.t.Fatalf("%s: %v", k, err)
	}
	if _, err := io.ReadFull(conn, make([]byte, payload)); err != nil {
		c.t.Fatalf("%s: %v", k, err)
	}
	c.sent[k]++
}

func (c *counting) counters() map[Key]Counters {
	c.t.Helper()
	all, err := c.kernel.Counters()
	if err != nil {
		c.t.Fatal(err)
	}
	return all
}

// totals are the sums over this namespace, which need no estimator.
func (c *counting) totals() Counters {
	c.t.Helper()
	file, err := os.Open("/proc/thread-self/net/ip_vs_stats_percpu")
	if err != nil {
		c.t.Fatal(err)
	}
	defer file.Close()
	sum, err := ReadTotals(file)
	if err != nil {
		c.t.Fatal(err)
	}
	return sum
}

// settled waits until the virtual servers have counted all that there was, and returns what they have.
func (c *counting) settled() map[Key]Counters {
	c.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		var sum Counters
		all := c.counters()
		for _, one := range all {
			sum = sum.Add(one)
		}
		if want := c.totals(); sum == want {
			return all
		} else if time.Now().After(deadline) {
			c.t.Fatalf("the virtual servers have counted %+v, the kernel %+v", sum, want)
		}
	}
}

// TestTheKernelCountsConnections: real packets, through virtual servers of each sort. Of each the connections are those
// that were made, and all together are what the kernel has counted on its CPUs.
func TestTheKernelCountsConnections(t *testing.T) {
	c := newCounting(t)
	for i, op := range c.ops {
		if op.Verb == AddServer {
			for range 1 + i/2 {
				c.send(op.Key)
			}
		}
	}
	all := c.settled()
	if len(all) != 4 {
		t.Errorf("%d virtual servers, want 4: %v", len(all), all)
	}
	for i, op := range c.ops {
		if op.Verb != AddReal {
			continue
		}
		got, n := all[op.Key], c.sent[op.Key]
		if n != uint64(1+i/2) || got.Connections != n || got.InPackets < n || got.OutPackets < n || got.InBytes < n*payload || got.OutBytes < n*payload {
			t.Errorf("%s: %+v after %d connections", op.Key, got, n)
		}
		reals, err := c.kernel.RealCounters(op.Key)
		if want := map[netip.AddrPort]Counters{op.Real: got}; err != nil || len(reals) != 1 || reals[op.Real] != got {
			t.Errorf("%s: real servers %v, %v, want %v", op.Key, reals, err, want)
		}
	}
	missing := parse(t, "-D -t 10.96.0.99:80").Key
	if reals, err := c.kernel.RealCounters(missing); err != nil || len(reals) != 0 {
		t.Errorf("a missing virtual server has %v, %v", reals, err)
	}

	remade := c.ops[0].Key
	for _, err := range c.kernel.Apply(append([]Op{{Verb: DeleteServer, Key: remade}}, c.ops[:2]...)) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := c.counters()[remade]; got != (Counters{}) {
		t.Errorf("made again, it begins with %+v", got)
	}
}

// TestCountersStandStillWithoutEstimators, and have missed nothing when these run again.
func TestCountersStandStillWithoutEstimators(t *testing.T) {
	c := newCounting(t)
	k := c.ops[0].Key
	c.send(k)
	before := c.settled()[k]
	c.run("net.ipv4.vs.run_estimation", "0")
	counted := c.totals()
	c.send(k)
	if now := c.totals(); now.Connections != counted.Connections+1 {
		t.Errorf("the kernel counted %+v, and %+v before", now, counted)
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		if got := c.counters()[k]; got != before {
			t.Fatalf("without estimators the counters went from %+v to %+v", before, got)
		}
	}
	c.run("net.ipv4.vs.run_estimation", "1")
	if got := c.settled()[k]; got.Connections != 2 {
		t.Errorf("%+v after 2 connections", got)
	}
}
