package ipvs

import (
	"errors"
	"fmt"
	"net/netip"
)

// Kernel is the virtual server table as the kernel offers it. Errors satisfy errors.Is with
// fs.ErrExist and fs.ErrNotExist where the kernel says EEXIST, ENOENT or ESRCH. Implementations
// are not safe for concurrent use: one goroutine owns them.
type Kernel interface {
	// Apply carries out the operations in order, in as few sends as possible, each on its own: a
	// failed one does not stop the next. The result is nil, or has one entry for each operation.
	Apply(ops []Op) []error
	// Servers reads every virtual server.
	Servers() (map[Key]VirtualServer, error)
	// MoreServers reads a page of them, the first one if it is told so, or the next. Of each it tells what was true when the
	// page before was read. Where others come or go meanwhile, in any network namespace, it may leave one out or tell it twice.
	MoreServers(fromFirst bool) (servers map[Key]VirtualServer, more bool, err error)
	// Server reads one virtual server.
	Server(Key) (v VirtualServer, there bool, err error)
	// RealServers reads the real servers of one virtual server.
	RealServers(Key) (map[netip.AddrPort]RealStatus, error)
	// MoreRealServers reads those of the next virtual servers, at least so many unless more is false, from
	// the first one on if it is told so. That costs less than two dozen calls of RealServers do, or one call
	// for each. It may leave virtual servers out, for which RealServers must be asked; what it tells of one is
	// all of it, at that moment.
	MoreRealServers(fromFirst bool, limit int) (reals map[Key]map[netip.AddrPort]RealStatus, more bool, err error)
	// ProbeScheduler returns ErrNoScheduler when the kernel cannot provide the scheduler. It must be
	// asked before a scheduler is used for the first time.
	ProbeScheduler(scheduler string) error
}

// ErrNoScheduler says that the kernel does not know a scheduler.
var ErrNoScheduler = errors.New("the kernel has no such scheduler")

// ErrInvalidReal says that the kernel takes no such address for a real server: it is none of a single host. It knows that by
// its own addresses, too: the broadcast address of a subnet is none.
var ErrInvalidReal = errors.New("the kernel takes no such address for a real server")

// RealStatus is a real server as the kernel has it.
type RealStatus struct {
	RealServer
	ActiveConnections   int
	InactiveConnections int // closing or half open
}

// Idle reports that no connection of any state is left.
func (s RealStatus) Idle() bool { return s.ActiveConnections == 0 && s.InactiveConnections == 0 }

// Verb says what an Op does.
type Verb uint8

// The verbs, with ipvsadm's option for each.
const (
	AddServer    Verb = iota + 1 // -A
	EditServer                   // -E
	DeleteServer                 // -D; its real servers go with it
	AddReal                      // -a
	EditReal                     // -e
	DeleteReal                   // -d
)

// Op is one write: one netlink request.
type Op struct {
	Verb   Verb
	Key    Key
	Server VirtualServer  // for AddServer and EditServer
	Real   netip.AddrPort // for the real server verbs
	Value  RealServer     // for AddReal and EditReal
}

// String returns the operation as arguments of ipvsadm.
func (o Op) String() string {
	switch o.Verb {
	case AddServer:
		return FormatServer(o.Key, o.Server)
	case EditServer:
		return "-E" + FormatServer(o.Key, o.Server)[2:]
	case DeleteServer:
		return "-D " + o.Key.option()
	case AddReal:
		return FormatReal(o.Key, o.Real, o.Value)
	case EditReal:
		return "-e" + FormatReal(o.Key, o.Real, o.Value)[2:]
	case DeleteReal:
		return fmt.Sprintf("-d %s -r %s", o.Key.option(), o.Real)
	}
	return fmt.Sprintf("verb %d", o.Verb)
}
