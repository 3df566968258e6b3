package controller

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/controller/render"
)

// loopback is a node port on the loopback, and the Services that want it.
type loopback struct {
	*testing.T
	at     netip.AddrPort
	relays *relays
	ages   map[string]int64 // of those that want it
}

func newLoopback(t *testing.T) *loopback {
	l := &loopback{T: t, at: free(t), relays: newRelays(slog.New(slog.NewTextHandler(t.Output(), nil))), ages: make(map[string]int64)}
	t.Cleanup(l.relays.relay.Close)
	return l
}

// claim has a Service of an age want the node port, or none of age 0, as the controller does: who is woken is claimed, too.
func (l *loopback) claim(name string, age int64) {
	l.ages[name] = age
	for woken := []string{name}; len(woken) > 0; woken = woken[1:] {
		var wanted []render.Relay
		if l.ages[woken[0]] > 0 {
			wanted = []render.Relay{{Listen: l.at, Targets: []netip.AddrPort{l.endpoint(woken[0])}}}
		}
		for _, other := range l.relays.replace(claimant{named(woken[0]), time.Unix(l.ages[woken[0]], 0), render.NodePort}, wanted) {
			woken = append(woken, other.Name)
		}
	}
}

// endpoint serves connections with a name.
func (l *loopback) endpoint(name string) netip.AddrPort {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { _ = socket.Close() })
	go func() {
		for {
			conn, err := socket.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, name)
			_ = conn.Close()
		}
	}()
	return socket.Addr().(*net.TCPAddr).AddrPort()
}

// answers checks who is reached at the node port; "" is nobody.
func (l *loopback) answers(want string) {
	l.Helper()
	listens(l.at, want != "")
	var got []byte
	if conn, err := net.DialTimeout("tcp", l.at.String(), time.Second); err == nil {
		got, _ = io.ReadAll(conn)
		_ = conn.Close()
	}
	if string(got) != want {
		l.Errorf("%q answers, want %q", got, want)
	}
}

// TestWhoLosesANodePortDoesNotCloseTheRelayOfWhoGotIt: a Service is deleted and another one takes its node port, in one round
// and in either order.
func TestWhoLosesANodePortDoesNotCloseTheRelayOfWhoGotIt(t *testing.T) {
	l := newLoopback(t)
	for _, getsFirst := range []bool{true, false} {
		l.claim("loses", 1)
		l.answers("loses")
		if getsFirst {
			l.claim("gets", 2)
			l.claim("loses", 0)
		} else {
			l.claim("loses", 0)
			l.claim("gets", 2)
		}
		l.answers("gets")
		l.claim("gets", 0)
		l.answers("")
	}
}

// TestOfTwoServicesWithOneNodePortTheOtherGetsTheRelay when the one that has it goes, or is younger all at once, and keeps
// it when the other one goes.
func TestOfTwoServicesWithOneNodePortTheOtherGetsTheRelay(t *testing.T) {
	l := newLoopback(t)
	for _, firstFirst := range []bool{true, false} {
		if firstFirst {
			l.claim("first", 1)
		}
		l.claim("second", 2)
		l.claim("first", 1)
		l.answers("first")
		l.claim("second", 2) // looked at again, for whatever reason
		l.answers("first")
		l.claim("first", 0)
		l.answers("second")
		l.claim("first", 1)
		l.answers("first")
		l.claim("second", 0)
		l.answers("first")
		l.claim("second", 2)
		l.claim("first", 3)
		l.answers("second")
		l.claim("second", 0)
		l.answers("first")
		l.claim("first", 0)
		l.answers("")
	}
}

// TestARelayStaysForTheServiceThatStays goes through the controller.
func TestARelayStaysForTheServiceThatStays(t *testing.T) {
	at := free(t)
	for _, goes := range []string{"old", "young"} {
		r := newRig(t, func(o *Options) { o.NodePorts = NodePorts{Localhost: true} })
		for n, name := range []string{"old", "young"} {
			age := created(time.Unix(int64(100*n+100), 0))
			r.set(service(name, vip(n), nodePort(int32(at.Port())), age), endpoints(endpoint(n)))
			r.round()
		}
		r.remove(named(goes))
		r.round()
		if !listens(at, true) {
			t.Errorf("the %s one goes, and the node port of the other is closed", goes)
		}
		r.c.relays.relay.Close()
	}
}

// free is an address of the loopback that nobody listens at.
func free(t *testing.T) netip.AddrPort {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	return socket.Addr().(*net.TCPAddr).AddrPort()
}

// listens reports whether an address takes connections, and waits for it to be as it should.
func listens(at netip.AddrPort, should bool) bool {
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", at.String(), time.Second)
		if err == nil {
			_ = conn.Close()
		}
		if (err == nil) == should || time.Now().After(end) {
			return err == nil
		}
	}
}
