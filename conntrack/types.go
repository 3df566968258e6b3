package conntrack

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// Frontends holds, for each UDP address and port that clients send to (a VIP and port, or an
// address of the node and node port), the endpoints that serve it now; none is a valid answer.
// IPv4 addresses are plain ones, not IPv6 ones that contain them.
type Frontends map[netip.AddrPort]map[netip.AddrPort]struct{}

// Kernel is the connection tracking table. One goroutine owns it.
type Kernel interface {
	// DeleteStale deletes every UDP flow whose original destination is a frontend and whose reply
	// source is not among its endpoints, and tells how many. It reads the table once for each
	// address family among the frontends, and again where the kernel says that a reading was
	// interrupted, a few times at most. A flow that cannot be deleted does not stop the others; one
	// that is gone already is no error. After an error the same call can be made again.
	DeleteStale(Frontends) (deleted int, err error)
}

// Flow is a tracked connection, as its first packet was sent and as answers are expected.
type Flow struct {
	Protocol Protocol
	Orig     Tuple
	Reply    Tuple
}

// Tuple is one direction of a Flow.
type Tuple struct {
	Source, Destination netip.AddrPort
}

// Protocol is the number of a transport protocol.
type Protocol uint8

// The protocols that have a name here. Only flows of UDP are ever deleted.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// String returns the protocol's name, or its number.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case SCTP:
		return "sctp"
	}
	return fmt.Sprintf("%d", uint8(p))
}

// String returns the tuple as conntrack(8) lists it.
func (t Tuple) String() string {
	return fmt.Sprintf("src=%s dst=%s sport=%d dport=%d",
		t.Source.Addr(), t.Destination.Addr(), t.Source.Port(), t.Destination.Port())
}

// String returns the flow as conntrack(8) lists it, without what changes by itself.
func (f Flow) String() string {
	return fmt.Sprintf("%s %s %s", f.Protocol, f.Orig, f.Reply)
}

// stale reports whether the flow leads from a frontend to what is none of its endpoints.
func (f Frontends) stale(flow Flow) bool {
	if flow.Protocol != UDP {
		return false
	}
	endpoints, ours := f[flow.Orig.Destination]
	if !ours {
		return false
	}
	_, serves := endpoints[flow.Reply.Source]
	return !serves
}

// sweep calls pass for each address family among the frontends, and again while the pass was
// interrupted. An interrupted pass has deleted what it saw, so the next one finds less.
func (f Frontends) sweep(pass func(v4 bool) (deleted int, err error)) (deleted int, err error) {
	var errs []error
	for _, v4 := range []bool{true, false} {
		if !f.has(v4) {
			continue
		}
		errs = append(errs, nlbatch.Whole(func() error {
			n, err := pass(v4)
			deleted += n
			return err
		}))
	}
	return deleted, errors.Join(errs...)
}

func (f Frontends) has(v4 bool) bool {
	for frontend := range f {
		if frontend.Addr().Is4() == v4 {
			return true
		}
	}
	return false
}

// shown is how many failed deletions an error spells out: a table that refuses one may refuse
// thousands.
const shown = 10

// failures joins errors, the first few in full.
func failures(errs []error) error {
	if more := len(errs) - shown; more > 0 {
		errs = append(errs[:shown:shown], fmt.Errorf("and %d flows more", more))
	}
	return errors.Join(errs...)
}
