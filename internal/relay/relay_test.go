package relay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fairlead-lb/fairlead/internal/listen"
)

// patience ends a test that hangs.
const patience = 20 * time.Second

// rig is a Relay that leaves no goroutine behind, and what it reports.
type rig struct {
	*testing.T
	*Relay
	mu      sync.Mutex
	reports []string
}

func newRig(t *testing.T, limit int) *rig {
	r := &rig{T: t}
	before := goleak.IgnoreCurrent()
	r.Relay = newRelay(func(addr netip.AddrPort, err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.reports = append(r.reports, fmt.Sprintf("%s %v", addr, err))
	}, limit)
	t.Cleanup(func() {
		r.Relay.Close()
		goleak.VerifyNone(t, before)
	})
	return r
}

func (r *rig) seen() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.reports, "\n")
}

// server serves each connection in a goroutine of its own until the test ends.
func (r *rig) server(serve func(*net.TCPConn)) netip.AddrPort {
	r.Helper()
	l := r.hold("127.0.0.1:0")
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer func() { _ = conn.Close() }()
				_ = conn.SetDeadline(time.Now().Add(patience))
				serve(conn.(*net.TCPConn))
			})
		}
	})
	r.Cleanup(func() {
		r.Relay.Close()
		_ = l.Close()
		running.Wait()
	})
	return addrOf(l)
}

// named is a server that says its name and then echoes.
func (r *rig) named(name string) netip.AddrPort {
	return r.server(func(c *net.TCPConn) {
		_, _ = io.WriteString(c, name)
		_, _ = io.Copy(c, c)
	})
}

func (r *rig) hold(address string) net.Listener {
	r.Helper()
	l, err := listen.TCP(context.Background(), "tcp", address)
	if err != nil {
		r.Fatal(err)
	}
	return l
}

// free returns an address that nobody listens on.
func (r *rig) free() netip.AddrPort {
	l := r.hold("127.0.0.1:0")
	defer func() { _ = l.Close() }()
	return addrOf(l)
}

func addrOf(l net.Listener) netip.AddrPort { return netip.MustParseAddrPort(l.Addr().String()) }

// dial connects as soon as somebody listens.
func (r *rig) dial(addr netip.AddrPort) *net.TCPConn {
	r.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		var conn net.Conn
		if conn, err = net.Dial("tcp", addr.String()); err == nil {
			_ = conn.SetDeadline(time.Now().Add(patience))
			r.Cleanup(func() { _ = conn.Close() })
			return conn.(*net.TCPConn)
		}
	}
	r.Fatalf("nobody listens: %v", err)
	return nil
}

// name returns the first byte that comes, or why none does.
func (r *rig) name(conn net.Conn) string {
	b := make([]byte, 1)
	switch _, err := io.ReadFull(conn, b); {
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case err != nil:
		return err.Error()
	}
	return string(b)
}

// names opens n connections, one after the other, and tells whom each has reached.
func (r *rig) names(addr netip.AddrPort, n int) (names string) {
	for range n {
		conn := r.dial(addr)
		names += r.name(conn)
		_ = conn.Close()
	}
	return names
}

// mustRefuse checks that nobody listens.
func (r *rig) mustRefuse(addr netip.AddrPort) {
	r.Helper()
	if conn, err := net.Dial("tcp", addr.String()); err == nil {
		_ = conn.Close()
		r.Errorf("%s is open", addr)
	}
}

func TestTargetsTakeTurns(t *testing.T) {
	r := newRig(t, 10)
	addr, a, b, c := r.free(), r.named("a"), r.named("b"), r.named("c")
	r.Set(addr, []netip.AddrPort{a, b, c}, false)
	if got := r.names(addr, 9); !strings.Contains("abcabcabcabc", got) {
		t.Errorf("reached %s", got)
	}
	r.Set(addr, []netip.AddrPort{a, b}, false)
	if got := r.names(addr, 6); !strings.Contains("abababab", got) {
		t.Errorf("without c, reached %s", got)
	}
}

func TestAStickyTargetIsKeptWhileItIsOne(t *testing.T) {
	r := newRig(t, 10)
	addr := r.free()
	targets := map[string]netip.AddrPort{"a": r.named("a"), "b": r.named("b"), "c": r.named("c")}
	all := []netip.AddrPort{targets["a"], targets["b"], targets["c"]}
	r.Set(addr, all, true)
	got := r.names(addr, 6)
	if strings.Trim(got, got[:1]) != "" {
		t.Fatalf("reached %s", got)
	}
	first := got[:1]
	var others []netip.AddrPort
	for _, target := range all {
		if target != targets[first] {
			others = append(others, target)
		}
	}
	r.Set(addr, append(others[:2:2], targets[first]), true)
	if again := r.names(addr, 6); again != got {
		t.Errorf("reached %s, then in another order %s", got, again)
	}
	r.Set(addr, others, true)
	next := r.names(addr, 6)
	if strings.Trim(next, next[:1]) != "" || next[:1] == first {
		t.Errorf("reached %s, then without that one %s", got, next)
	}
	r.Set(addr, all, true)
	if again := r.names(addr, 6); again != next {
		t.Errorf("reached %s, then, when the earlier one was back, %s", next, again)
	}
}

func TestATargetThatCannotBeReachedLeadsToTheNext(t *testing.T) {
	r := newRig(t, 10)
	addr, a := r.free(), r.named("a")
	for _, sticky := range []bool{false, true} {
		r.Set(addr, []netip.AddrPort{r.free(), a, r.free()}, sticky)
		if got := r.names(addr, 6); got != "aaaaaa" {
			t.Errorf("sticky %v: reached %s", sticky, got)
		}
	}
}

func TestWithoutATargetTheConnectionIsReset(t *testing.T) {
	r := newRig(t, 10)
	addr := r.free()
	for what, targets := range map[string][]netip.AddrPort{"none": nil, "unreachable": {r.free(), r.free()}} {
		r.Set(addr, targets, false)
		if got := r.name(r.dial(addr)); got != "reset" {
			t.Errorf("%s: %s", what, got)
		}
	}
}

// TestHalfClosedConnectionsGoOn closes one direction and then uses the other, each way round.
func TestHalfClosedConnectionsGoOn(t *testing.T) {
	r := newRig(t, 10)
	heard := make(chan string, 1)
	clientFirst := r.server(func(c *net.TCPConn) {
		data, err := io.ReadAll(c)
		_, _ = fmt.Fprintf(c, "%s %v", data, err)
	})
	serverFirst := r.server(func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "good bye")
		_ = c.CloseWrite()
		data, err := io.ReadAll(c)
		heard <- fmt.Sprintf("%s %v", data, err)
	})
	addr := r.free()
	r.Set(addr, []netip.AddrPort{clientFirst}, false)
	conn := r.dial(addr)
	_, _ = io.WriteString(conn, "question")
	_ = conn.CloseWrite()
	if answer, err := io.ReadAll(conn); string(answer) != "question <nil>" || err != nil {
		t.Errorf("answer %q, %v", answer, err)
	}
	r.Set(addr, []netip.AddrPort{serverFirst}, false)
	conn = r.dial(addr)
	if answer, err := io.ReadAll(conn); string(answer) != "good bye" || err != nil {
		t.Errorf("answer %q, %v", answer, err)
	}
	_, _ = io.WriteString(conn, "one thing more")
	_ = conn.Close()
	if got := <-heard; got != "one thing more <nil>" {
		t.Errorf("after its own end, the server heard %q", got)
	}
}

// TestAResetIsPassedOn makes sure that what was cut off does not look complete.
func TestAResetIsPassedOn(t *testing.T) {
	r := newRig(t, 10)
	heard := make(chan error, 1)
	breaks := r.server(func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "x")
		_, _ = io.ReadFull(c, make([]byte, 1))
		reset(c)
	})
	listens := r.server(func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "x")
		_, err := io.ReadAll(c)
		heard <- err
	})
	addr := r.free()
	r.Set(addr, []netip.AddrPort{breaks}, false)
	conn := r.dial(addr)
	_, _ = io.WriteString(conn, "y")
	if got := r.name(conn) + " " + r.name(conn); got != "x reset" {
		t.Errorf("the server resets, the client sees %s", got)
	}
	r.Set(addr, []netip.AddrPort{listens}, false)
	conn = r.dial(addr)
	if got := r.name(conn); got != "x" {
		t.Fatalf("the server says %s", got)
	}
	reset(conn)
	if err := <-heard; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client resets, the server sees %v", err)
	}
}

func TestMuchGoesBothWaysAtOnceAndIsWhole(t *testing.T) {
	r := newRig(t, 10)
	addr := r.free()
	r.Set(addr, []netip.AddrPort{r.named("a")}, false)
	data := make([]byte, 16<<20)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	conn := r.dial(addr)
	go func() {
		_, _ = io.Copy(conn, bytes.NewReader(data))
		_ = conn.CloseWrite()
	}()
	echo, err := io.ReadAll(conn)
	if err != nil || sha256.Sum256(echo) != sha256.Sum256(append([]byte("a"), data...)) {
		t.Errorf("sent %d bytes, got back %d: %v", len(data), len(echo), err)
	}
}

func TestUnsetStopsAcceptingAndCloseEndsTheRest(t *testing.T) {
	r := newRig(t, 10)
	addr, a := r.free(), r.named("a")
	r.Set(addr, []netip.AddrPort{a}, false)
	conn := r.dial(addr)
	if got := r.name(conn); got != "a" {
		t.Fatal(got)
	}
	r.Unset(addr)
	r.Unset(addr)
	r.mustRefuse(addr)
	_, _ = io.WriteString(conn, "b")
	if got := r.name(conn); got != "b" {
		t.Errorf("after Unset, an open connection says %s", got)
	}
	r.Set(addr, []netip.AddrPort{a}, false)
	if got := r.names(addr, 1); got != "a" {
		t.Errorf("set again, it says %s", got)
	}
	r.Relay.Close()
	if got := r.name(conn); got != "reset" {
		t.Errorf("after Close, an open connection says %s", got)
	}
	r.Set(addr, []netip.AddrPort{a}, false)
	r.mustRefuse(addr)
	if got := r.seen(); got != "" {
		t.Errorf("reported %s", got)
	}
}

func TestConnectionsBeyondTheLimitWait(t *testing.T) {
	r := newRig(t, 2)
	addr := r.free()
	r.Set(addr, []netip.AddrPort{r.named("a")}, false)
	first, second := r.dial(addr), r.dial(addr)
	if got := r.name(first) + r.name(second); got != "aa" {
		t.Fatal(got)
	}
	third, fourth := r.dial(addr), r.dial(addr)
	_ = third.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if got := r.name(third); !strings.Contains(got, "timeout") {
		t.Errorf("the third connection says %s", got)
	}
	_ = third.SetReadDeadline(time.Now().Add(patience))
	_ = first.Close()
	if got := r.name(third); got != "a" {
		t.Errorf("when there is room, the third connection says %s", got)
	}
	r.Unset(addr) // one waits for room and is refused, as those in the backlog are
	if got := r.name(fourth); got != "reset" {
		t.Errorf("after Unset, a connection that waits says %s", got)
	}
}

func TestAPortOfAnotherProcessIsWaitedFor(t *testing.T) {
	r := newRig(t, 10)
	holder := r.hold("127.0.0.1:0")
	addr := addrOf(holder)
	r.Set(addr, []netip.AddrPort{r.named("a")}, false)
	for deadline := time.Now().Add(patience); r.seen() == "" && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		continue
	}
	_ = holder.Close()
	if got := r.names(addr, 1); got != "a" {
		t.Errorf("reached %s", got)
	}
	if got, want := r.seen(), fmt.Sprintf("%s listen tcp4 %[1]s: bind: address already in use", addr); got != want {
		t.Errorf("reported\n%s\nwant, once,\n%s", got, want)
	}
}

func TestOnlyLoopbackIsListenedOn(t *testing.T) {
	r := newRig(t, 10)
	a := []netip.AddrPort{r.named("a")}
	for _, text := range []string{"0.0.0.0:80", "[::]:80", "192.0.2.1:80", "[fe80::1]:80", "[::ffff:192.0.2.1]:80"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is accepted", text)
				}
			}()
			r.Set(netip.MustParseAddrPort(text), a, false)
		}()
	}
	port := r.free().Port()
	for _, addr := range []string{"127.0.0.1", "127.1.2.3", "::1"} {
		addr := netip.AddrPortFrom(netip.MustParseAddr(addr), port)
		r.Set(addr, a, false)
		if got := r.names(addr, 1); got != "a" {
			t.Errorf("%s: reached %s", addr, got)
		}
	}
	mapped := netip.AddrPortFrom(netip.MustParseAddr("::ffff:127.0.0.1"), port)
	r.Set(mapped, nil, false)
	if got := r.names(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), 1); got != "reset" {
		t.Errorf("%s is not the same as without ::ffff: reached %s", mapped, got)
	}
}

// TestManyAtOnce is for the race detector.
func TestManyAtOnce(t *testing.T) {
	r := newRig(t, 3)
	addr, a, b := r.free(), r.named("a"), r.named("b")
	var group sync.WaitGroup
	for n := range 4 {
		group.Go(func() {
			for i := range 50 {
				r.Set(addr, []netip.AddrPort{a, b}[:1+i%2], i%3 == 0)
				if n == 0 && i%7 == 0 {
					r.Unset(addr)
				}
				if conn, err := net.Dial("tcp", addr.String()); err == nil {
					_ = conn.SetDeadline(time.Now().Add(patience))
					_, _ = io.ReadFull(conn, make([]byte, 1))
					_ = conn.Close()
				}
			}
		})
	}
	group.Wait()
	r.Unset(addr)
	r.Set(addr, []netip.AddrPort{a}, false)
	if got := r.names(addr, 1); got != "a" {
		t.Errorf("reached %s", got)
	}
}
