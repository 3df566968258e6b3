package hostaddr

import (
	"context"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

const (
	vips    = "kube-ipvs0"
	patient = time.Minute // the machine may be emulated
)

// ip runs ip(8) with the words of each line.
func ip(t testing.TB, lines string) {
	t.Helper()
	for _, line := range kerneltest.Lines(lines) {
		kerneltest.Run(t, "ip", strings.Fields(line)...)
	}
}

// inNamespace gives the test a namespace with a device for VIPs and two others that never get an
// address by themselves.
func inNamespace(t testing.TB) {
	t.Helper()
	kerneltest.Want(t)
	kerneltest.Namespace(t)
	ip(t, `link add kube-ipvs0 type dummy
		link set kube-ipvs0 addrgenmode none up
		link add eth0 type dummy
		link set eth0 addrgenmode none up
		link add eth1 type dummy
		link set eth1 addrgenmode none up`)
}

func wantList(t testing.TB, want ...string) {
	t.Helper()
	addrs, err := List(vips)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, addr := range addrs {
		got = append(got, addr.String())
	}
	if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

func TestTheAddressesOfDevicesThatAreUpAreListed(t *testing.T) {
	inNamespace(t)
	wantList(t)
	ip(t, `addr add 10.1.0.1/24 dev eth1
		addr add 10.1.0.2/24 dev eth1
		addr add 2001:db8:1::1/64 dev eth1 nodad
		addr add 10.0.0.1 peer 10.0.0.9 dev eth0
		addr add fd00::1/64 dev eth0 nodad
		addr add fe80::1/64 dev eth0 nodad
		addr add 169.254.0.1/16 dev eth0
		addr add fd00::2/64 dev eth0 nodad preferred_lft 0
		addr add fd00::3/64 dev eth0 nodad valid_lft 3600 preferred_lft 0
		addr add 10.9.0.1/32 dev lo
		addr add fd00::9/128 dev lo nodad
		addr add 10.96.0.1/32 dev kube-ipvs0
		addr add fd00:10:96::1/128 dev kube-ipvs0 nodad`)
	wantList(t, "10.0.0.1", "fd00::1", "10.1.0.1", "10.1.0.2", "2001:db8:1::1", "fd00::2")
	ip(t, "link set eth0 down")
	wantList(t, "10.1.0.1", "10.1.0.2", "2001:db8:1::1")
	if addrs, err := List("eth1"); err != nil || len(addrs) != 2 || addrs[0] != netip.MustParseAddr("10.96.0.1") {
		t.Errorf("without eth1: %v, %v", addrs, err)
	}
	ip(t, "link set eth1 alias fairlead")
	if addrs, err := List(vips, "fairlead"); err != nil || len(addrs) != 0 {
		t.Errorf("without the alias of eth1: %v, %v", addrs, err)
	}
}

// TestAnAddressThatAnotherMachineHasIsNotListed: the other machine is the other end of a cable.
func TestAnAddressThatAnotherMachineHasIsNotListed(t *testing.T) {
	inNamespace(t)
	ip(t, `link add veth0 index 100 type veth peer name veth1 index 101
		link set veth0 up
		link set veth1 up
		addr add fd00::7/64 dev veth0 nodad
		addr add fd00::7/64 dev veth1
		addr add fd00::8/64 dev veth1`)
	await(t, "the duplicate is found, and the other address is good", func() bool {
		all := kerneltest.Run(t, "ip", "-6", "-o", "addr", "show", "dev", "veth1", "scope", "global")
		return strings.Contains(all, "dadfailed") && strings.Count(all, "tentative") == 1
	})
	wantList(t, "fd00::7", "fd00::8")
}

func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patient); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came to pass that %s", what)
		}
	}
}

// watching follows changes until the test ends. Each call is a value in the channel.
func watching(t *testing.T) (calls chan struct{}) {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	s, err := subscribe(vips, eventRoom)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	calls, ended := make(chan struct{}, 1000), make(chan error, 1)
	go func() { ended <- s.follow(ctx, func() { calls <- struct{}{} }) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patient):
			t.Fatal("it does not end")
		}
		goleak.VerifyNone(t, leaks)
	})
	called(t, calls, "at the start")
	return calls
}

func called(t testing.TB, calls chan struct{}, why string) {
	t.Helper()
	select {
	case <-calls:
	case <-time.After(patient):
		t.Fatalf("no call %s", why)
	}
}

func TestEveryChangeIsTold(t *testing.T) {
	inNamespace(t)
	calls := watching(t)
	for _, change := range []string{
		"addr add 10.0.0.1/24 dev eth0",
		"addr add fd00::1/64 dev eth0 nodad",
		"addr del 10.0.0.1/24 dev eth0",
		"addr del fd00::1/64 dev eth0",
		"link set eth0 down",
		"link set eth0 up",
		"addr add 10.1.0.1/24 dev eth1",
		"link del eth1",
	} {
		ip(t, change)
		called(t, calls, "after "+change)
		quiet(t, calls)
	}
}

// quiet waits until no call comes any more, and returns how many came. A change may be several
// events, and so more than one call.
func quiet(t testing.TB, calls chan struct{}) (n int) {
	t.Helper()
	for {
		select {
		case <-calls:
			n++
		case <-time.After(5 * settle):
			return n
		}
	}
}

// TestABurstOnTheVIPDeviceIsNoChange, and a change among it is told.
func TestABurstOnTheVIPDeviceIsNoChange(t *testing.T) {
	inNamespace(t)
	calls := watching(t)
	quiet(t, calls)
	burst(t, vips, 2000)
	if n := quiet(t, calls); n > 0 {
		t.Errorf("%d calls for VIPs", n)
	}
	burst(t, vips, 100)
	ip(t, "addr add 10.0.0.1/24 dev eth0")
	called(t, calls, "after the address")
}

func TestABurstIsFewCalls(t *testing.T) {
	inNamespace(t)
	calls := watching(t)
	quiet(t, calls)
	const events = 2000
	burst(t, "eth0", events)
	called(t, calls, "after the burst")
	if more := quiet(t, calls); more > events/20 {
		t.Errorf("%d calls for %d events", 1+more, events)
	}
	if addrs, err := List(vips); err != nil || len(addrs) != events {
		t.Errorf("%d addresses, want %d; %v", len(addrs), events, err)
	}
}

// TestAnOverrunIsAChangeAndNotTheEnd: the socket has room for a few events, and nobody reads yet.
// The events are of VIPs, so only that some are lost can be a reason to mark.
func TestAnOverrunIsAChangeAndNotTheEnd(t *testing.T) {
	inNamespace(t)
	s, err := subscribe(vips, 4096)
	if err != nil {
		t.Fatal(err)
	}
	kerneltest.CloseAtEnd(t, s.conn)
	kerneltest.CloseAtEnd(t, s.events)
	burst(t, vips, 500)
	marks, ended := make(chan struct{}, 1000), make(chan error, 1)
	go func() { ended <- s.read(func() { marks <- struct{}{} }) }()
	called(t, marks, "after the overrun")
	if n := quiet(t, marks); n > 0 {
		t.Errorf("%d calls more after the overrun", n)
	}
	ip(t, "addr add 10.97.0.1/32 dev kube-ipvs0")
	if n := quiet(t, marks); n > 0 {
		t.Errorf("%d calls for a VIP: the device is not known any more", n)
	}
	ip(t, "addr add 10.0.0.1/24 dev eth0")
	called(t, marks, "after the next change")
	if err := s.events.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestADeviceThatComesLaterIsKnown(t *testing.T) {
	inNamespace(t)
	ip(t, "link del kube-ipvs0")
	calls := watching(t)
	ip(t, `link add kube-ipvs0 type dummy
		link set kube-ipvs0 addrgenmode none up`)
	called(t, calls, "after the device came")
	quiet(t, calls)
	burst(t, vips, 100)
	if n := quiet(t, calls); n > 0 {
		t.Errorf("%d calls for VIPs", n)
	}
}

// TestASlowCallLosesNothing: what happens during a call is told by the next.
func TestASlowCallLosesNothing(t *testing.T) {
	inNamespace(t)
	s, err := subscribe(vips, eventRoom)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	entered, leave, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- s.follow(ctx, func() {
			entered <- struct{}{}
			<-leave
		})
	}()
	<-entered
	burst(t, "eth0", 1000)
	leave <- struct{}{}
	called(t, entered, "after the slow one")
	cancel()
	leave <- struct{}{}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	kerneltest.Namespace(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	ctx, cancel := context.WithCancel(context.Background())
	calls := 0
	if err := Watch(ctx, vips, func() { calls++; cancel() }); err != nil || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
	if err := Watch(ctx, vips, func() {}); err != nil {
		t.Error(err)
	}
}

// burst adds addresses to a device in as few sends as possible.
func burst(t testing.TB, name string, n int) {
	t.Helper()
	conn, err := nlbatch.Dial(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := subscription{conn: conn, filter: filter{except: name}}
	s.locate()
	if s.filter.index == 0 {
		t.Fatalf("no device %s", name)
	}
	var b nlbatch.Batch
	for i := range n {
		header := binary.NativeEndian.AppendUint32([]byte{unix.AF_INET, 32, 0, 0}, s.filter.index)
		addr := []byte{10, 96, byte(i >> 8), byte(i)}
		b.Begin(unix.RTM_NEWADDR, nlbatch.FlagCreate|nlbatch.FlagReplace, header...)
		b.Data(attrLocal, addr)
		b.Data(attrAddress, addr)
	}
	if errs := conn.Do(&b); errs != nil {
		t.Fatal(errs[0])
	}
}
