package relay

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/fairlead-lb/fairlead/internal/listen"
)

// listener is one address with its targets.
type listener struct {
	relay  *Relay
	socket *listen.Socket

	mu      sync.Mutex
	targets []netip.AddrPort // replaced as a whole
	sticky  bool
	chosen  netip.AddrPort // the target that sticky connections go to
	next    uint64         // whose turn it is
}

// newListener returns a listener without targets. Where the turns begin is left to chance, for else
// all nodes would begin with the same target.
func newListener(r *Relay, addr netip.AddrPort) *listener {
	failed := func(err error) { r.report(addr, err) }
	return &listener{relay: r, socket: listen.NewSocket(r.open, addr, failed), next: rand.Uint64()}
}

func (l *listener) set(targets []netip.AddrPort, sticky bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.targets, l.sticky = targets, sticky
}

// order returns the targets in the order in which one connection is to try them. A sticky one tries
// the others when the chosen one cannot be reached, but that changes no choice: an endpoint that
// restarts keeps its clients.
func (l *listener) order() []netip.AddrPort {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.targets) == 0 {
		return nil
	}
	first := slices.Index(l.targets, l.chosen)
	if !l.sticky || first < 0 {
		first = int(l.next % uint64(len(l.targets)))
		l.next++
		l.chosen = l.targets[first]
	}
	return slices.Concat(l.targets[first:], l.targets[:first])
}

// accept hands each connection to a goroutine of its own, until the listener is closed. It first
// accepts and then waits for a free slot: otherwise each idle listener would hold one.
func (l *listener) accept(from net.Listener) error {
	r := l.relay
	for {
		conn, err := from.Accept()
		if err != nil {
			return err
		}
		client := conn.(*net.TCPConn)
		select {
		case r.slots <- struct{}{}:
		case <-l.socket.Done():
			reset(client)
			return nil
		}
		r.running.Go(func() {
			defer func() { <-r.slots }()
			carry(r.ctx, client, l.order())
		})
	}
}
