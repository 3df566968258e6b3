package controller

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/controller/render"
	"github.com/fairlead-lb/fairlead/internal/relay"
)

// TestWhoLosesANodePortDoesNotCloseTheRelayOfWhoGotIt: a Service is deleted and another one takes its node port, in one round
// and in either order.
func TestWhoLosesANodePortDoesNotCloseTheRelayOfWhoGotIt(t *testing.T) {
	loses, gets := types.NamespacedName{Namespace: "default", Name: "loses"}, types.NamespacedName{Namespace: "default", Name: "gets"}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().(*net.TCPAddr).AddrPort()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	c := &Controller{
		relays: make(map[types.NamespacedName][]netip.AddrPort), relayFor: make(map[netip.AddrPort]types.NamespacedName),
		relay: relay.New(func(listen netip.AddrPort, err error) { t.Logf("%s: %v", listen, err) }),
	}
	defer c.relay.Close()
	wanted := []render.Relay{{Listen: at, Targets: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}}} // which refuses

	for _, getsFirst := range []bool{true, false} {
		c.replaceRelays(loses, wanted)
		if getsFirst {
			c.replaceRelays(gets, wanted)
			c.replaceRelays(loses, nil)
		} else {
			c.replaceRelays(loses, nil)
			c.replaceRelays(gets, wanted)
		}
		if !listens(at, true) {
			t.Errorf("claimed first by the one that gets the node port, %v: it is closed", getsFirst)
		}
		c.replaceRelays(gets, nil)
		if listens(at, false) {
			t.Error("nobody wants the node port, and it is open")
		}
	}
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
