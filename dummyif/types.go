package dummyif

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
)

// Alias marks a device as Fairlead's own creation (ip link: "alias fairlead").
const Alias = "fairlead"

// Way is how a VIP is bound.
type Way uint8

// The ways.
const (
	ByAddress Way = iota
	// ByRoute is a local route with RouteMetric.
	ByRoute
	// ByOldRoute is an IPv4 one without a metric, as Fairlead wrote it once. The kernel's own have none, and to replace
	// "the" local route of an address that another device holds was to replace that one. It is never desired. Unbinding
	// it takes the VIP's ByRoute instead where there is no such route: the kernel does not tell "none" from "any".
	ByOldRoute

	ways
)

// String returns the value of dummyInterface.bind.
func (w Way) String() string {
	if w == ByAddress {
		return "address"
	}
	return "route"
}

// Binding is one VIP bound in one way.
type Binding struct {
	Addr netip.Addr
	Way  Way
}

// String returns the line that shows the binding in `ip addr` or `ip route show table local`.
func (b Binding) String() string {
	switch {
	case b.Way == ByRoute:
		return fmt.Sprintf("local %s metric %d", b.Addr, RouteMetric)
	case b.Way == ByOldRoute:
		return "local " + b.Addr.String()
	case b.Addr.Is4():
		return "inet " + b.Addr.String() + "/32 scope host"
	}
	return "inet6 " + b.Addr.String() + "/128 scope global nodad deprecated"
}

// Compare orders bindings by address, addresses before routes.
func (b Binding) Compare(o Binding) int {
	return cmp.Or(b.Addr.Compare(o.Addr), cmp.Compare(b.Way, o.Way))
}

// Verb says what an Op does.
type Verb uint8

// The verbs. Bind replaces what is there.
const (
	Bind Verb = iota + 1
	Unbind
)

// Op is one write: one netlink request.
type Op struct {
	Verb    Verb
	Binding Binding
	// Source is the preferred source of a route; invalid: the kernel chooses. Of an IPv6 address it is that address
	// where the kernel may choose it as a source: somebody else bound it, and not deprecated. It is never desired.
	Source netip.Addr
}

// String returns the operation as arguments of ip(8).
func (o Op) String() string {
	object := "route"
	if o.Binding.Way == ByAddress {
		object = "addr"
	}
	return fmt.Sprintf("%s %s %s", object, o.word(), shown(o.Binding, o.Source))
}

// shown returns the line that shows a binding with its source.
func shown(b Binding, source netip.Addr) string {
	switch {
	case !source.IsValid():
		return b.String()
	case b.Way == ByAddress:
		return strings.TrimSuffix(b.String(), " deprecated")
	}
	return b.String() + " src " + source.String()
}

// Command returns the operation as ip(8) takes it for a device.
func (o Op) Command(device string) string {
	family := ""
	if o.Binding.Addr.Is6() {
		family = "-6 "
	}
	addr, way := o.Binding.Addr, o.Binding.Way
	line := fmt.Sprintf("ip %saddr %s %s/%d dev %s", family, o.word(), addr, addr.BitLen(), device)
	if way != ByAddress {
		line = fmt.Sprintf("ip %sroute %s local %s dev %s table local proto %d", family, o.word(), addr, device, RouteProtocol)
	}
	if way == ByRoute {
		line += fmt.Sprintf(" metric %d", RouteMetric)
	}
	switch {
	case o.Verb == Unbind:
		return line
	case way != ByAddress && o.Source.IsValid():
		return line + " src " + o.Source.String()
	case way != ByAddress:
		return line
	case addr.Is4():
		return line + " scope host"
	case o.Source.IsValid():
		return line + " nodad"
	}
	return line + " nodad preferred_lft 0 valid_lft forever"
}

func (o Op) word() string { return map[Verb]string{Bind: "replace", Unbind: "del"}[o.Verb] }

// State is how a device is.
type State uint8

// The states.
const (
	Missing State = iota
	Down
	Up
)

// Commands returns what Ensure does to a device in this state, as ip(8) takes it.
func (s State) Commands(device string) (commands []string) {
	if s == Missing {
		commands = append(commands, "ip link add "+device+" type dummy",
			"ip link set dev "+device+" alias "+Alias, "ip link set dev "+device+" addrgenmode none")
	}
	if s != Up {
		commands = append(commands, "ip link set dev "+device+" up")
	}
	return commands
}

// Reader shows what there is, and changes nothing.
type Reader interface {
	// State looks for the device. One that is no dummy is an error.
	State() (State, error)
	// Bindings reads the addresses and local routes of the device, each with its source as of an Op.
	Bindings() (map[Binding]netip.Addr, error)
}

// Kernel is the dummy device. Errors satisfy errors.Is with fs.ErrNotExist where the kernel says
// that the device, address or route is not there. One goroutine owns it.
type Kernel interface {
	// Ensure creates the device if it is missing and brings it up. It reports whether it changed
	// anything.
	Ensure() (changed bool, err error)
	// Bindings reads the addresses and local routes of the device, each with its source as of an Op.
	Bindings() (map[Binding]netip.Addr, error)
	// MoreBindings reads a page of them, the first one if it is told so, or the next. It tells what was true when the page before
	// was read. With the last page comes nlbatch.ErrInterrupted where something may have been left out that was there all the
	// time. After another error it has to begin anew.
	MoreBindings(fromFirst bool) (bindings map[Binding]netip.Addr, more bool, err error)
	// Apply carries out the operations in order, each on its own. The result is nil, or has one
	// entry for each operation.
	Apply(ops []Op) []error
	// Remove deletes the device if Fairlead created it and nothing is bound to it any more.
	Remove() error
}
