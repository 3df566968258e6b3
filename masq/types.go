package masq

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
)

// Family is an address family.
type Family uint8

// The families; the only place where they are two is the tools that masq drives.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// String returns "IPv4" or "IPv6".
func (f Family) String() string { return fmt.Sprintf("IPv%d", uint8(f)) }

// FamilyOf returns the family of an address.
func FamilyOf(addr netip.Addr) Family {
	if addr.Is4() {
		return IPv4
	}
	return IPv6
}

// Set is one of the sets that the rules consult. Each exists once for a family.
type Set uint8

// The sets. A frontend is an address, protocol and port that clients send to.
const (
	VIPs       Set = iota + 1 // every VIP that is bound
	Served                    // every frontend that has a virtual server
	Hairpin                   // every endpoint that may run on this node, with itself
	Masquerade                // frontends whose clients are masqueraded, whoever they are
	Local                     // frontends that lead clients from outside to local endpoints, each with a firewall mark
	Restricted                // frontends that take new connections from some sources only, or from none, and do not say so
	Allowed                   // which sources those are
	Health                    // where load balancers ask for the health of a Service
)

// Sets lists them in the order in which they are filled: what restricts comes before what serves.
func Sets() []Set {
	sets := order()
	return sets[:]
}

func order() [8]Set {
	return [...]Set{Allowed, Restricted, Local, Masquerade, Served, Health, VIPs, Hairpin}
}

// rank is the set's place in Sets.
func (s Set) rank() int {
	return [...]int{Allowed: 0, Restricted: 1, Local: 2, Masquerade: 3, Served: 4, Health: 5, VIPs: 6, Hairpin: 7}[s]
}

// Name returns the name of the set in the kernel.
func (s Set) Name(f Family) string {
	names := [...][2]string{
		VIPs:       {"FAIRLEAD-VIP", "FAIRLEAD-6-VIP"},
		Served:     {"FAIRLEAD-SERVED", "FAIRLEAD-6-SERVED"},
		Hairpin:    {"FAIRLEAD-HAIRPIN", "FAIRLEAD-6-HAIRPIN"},
		Masquerade: {"FAIRLEAD-MASQ", "FAIRLEAD-6-MASQ"},
		Local:      {"FAIRLEAD-LOCAL", "FAIRLEAD-6-LOCAL"},
		Restricted: {"FAIRLEAD-RESTRICTED", "FAIRLEAD-6-RESTRICTED"},
		Allowed:    {"FAIRLEAD-ALLOWED", "FAIRLEAD-6-ALLOWED"},
		Health:     {"FAIRLEAD-HEALTH", "FAIRLEAD-6-HEALTH"},
	}[s]
	if f == IPv6 {
		return names[1]
	}
	return names[0]
}

// Type returns ipset's name of the set's type.
func (s Set) Type() string {
	switch s {
	case VIPs:
		return "hash:ip"
	case Hairpin:
		return "hash:net,net"
	case Allowed:
		return "hash:ip,port,net"
	}
	return "hash:ip,port"
}

// MaxEntries is the capacity of each set. The kernel's default of 65,536 is too small for large
// clusters, and kube-proxy's sets stopped there without a word (kubernetes/kubernetes 129389).
// Memory is taken as entries come.
const MaxEntries = 1 << 20

// Entry is one entry of one set.
type Entry struct {
	Set      Set
	Protocol uint8  // of sets of frontends; the IANA number
	Port     uint16 // the same
	Addr     netip.Addr
	Source   netip.Prefix // Allowed only; not /0, which the kernel's type cannot hold
}

// String returns the entry as `ipset save` does.
func (e Entry) String() string {
	name := e.Set.Name(FamilyOf(e.Addr))
	switch e.Set {
	case VIPs:
		return fmt.Sprintf("add %s %s", name, e.Addr)
	case Hairpin:
		return fmt.Sprintf("add %s %s,%s", name, e.Addr, e.Addr)
	}
	line := fmt.Sprintf("add %s %s,%s:%d", name, e.Addr, protocolName(e.Protocol), e.Port)
	if e.Source.IsValid() {
		line += "," + strings.TrimSuffix(e.Source.String(), fmt.Sprintf("/%d", e.Source.Addr().BitLen()))
	}
	return line
}

// Compare orders entries by set, address, port, protocol and source.
func (e Entry) Compare(o Entry) int {
	return cmp.Or(int(e.Set)-int(o.Set), e.Addr.Compare(o.Addr), int(e.Port)-int(o.Port), int(e.Protocol)-int(o.Protocol),
		e.Source.Addr().Compare(o.Source.Addr()), e.Source.Bits()-o.Source.Bits())
}

func protocolName(number uint8) string {
	switch number {
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 132:
		return "sctp"
	}
	return fmt.Sprint(number)
}

// Op is one write to a set: one netlink request.
type Op struct {
	Delete bool
	Entry  Entry
	Mark   uint32 // of an entry of Local
}

// String returns the operation as arguments of ipset(8).
func (o Op) String() string {
	line := o.Entry.String()
	if o.Delete {
		return "del" + strings.TrimPrefix(line, "add")
	}
	return line + markText(o.Mark)
}

// markText returns how `ipset save` prints an entry's mark.
func markText(mark uint32) string {
	if mark == 0 {
		return ""
	}
	return fmt.Sprintf(" skbmark %#x", mark)
}

// Creation is one set of one family, as it is created.
type Creation struct {
	Set    Set
	Family Family
}

// String returns the creation as arguments of ipset(8).
func (c Creation) String() string {
	line := fmt.Sprintf("create %s %s family inet", c.Set.Name(c.Family), c.Set.Type())
	if c.Family == IPv6 {
		line += "6"
	}
	line += fmt.Sprintf(" maxelem %d", MaxEntries)
	if c.Set == Local {
		line += " skbinfo"
	}
	return line
}

// allSets lists the sets of these families in the order in which they are created.
func allSets(families []Family) (all []Creation) {
	for _, f := range families {
		for _, set := range Sets() {
			all = append(all, Creation{set, f})
		}
	}
	return all
}

// Reader shows what there is of everybody's rules and of Fairlead's sets, and changes nothing.
type Reader interface {
	// Families lists the families that can be programmed.
	Families() []Family
	// RandomFully reports whether MASQUERADE can choose source ports at random (--random-fully).
	RandomFully(Family) bool
	// MissingSets lists the sets that do not exist. One of the name and another type is an error.
	MissingSets() ([]Creation, error)
	// Entries reads all sets. A set that does not exist has no entries.
	Entries() (map[Entry]uint32, error)
	// Save lists all rules of each family, as iptables-save prints them.
	Save() (map[Family]string, error)
}

// Kernel is iptables and ipset. One goroutine owns it, but that another one may call EnsureRules meanwhile.
type Kernel interface {
	// EnsureSets creates the sets that are missing. It reports whether it changed anything.
	EnsureSets() (changed bool, err error)
	// Entries reads all sets: the entries and their marks. A set that does not exist has no entries.
	Entries() (map[Entry]uint32, error)
	// MoreEntries reads a page of them, the first one if it is told so, or the next. It tells what was true when the page before
	// was read, and leaves out nothing that is there all the time. After an error it has to begin anew.
	MoreEntries(fromFirst bool) (entries map[Entry]uint32, more bool, err error)
	// Apply carries out the operations in order, each on its own. Adding what is there, which changes
	// its mark, and deleting what is not are successes; a set that does not exist is fs.ErrNotExist. The result is
	// nil, or has one entry for each operation.
	Apply(ops []Op) []error
	// EnsureRules makes Fairlead's rules in each of the chains exactly these, unless the chain is
	// tentative and has any, and leaves every other rule alone. It returns the number of rules that it
	// had to write. An error in one family does not keep it from the other.
	EnsureRules(chains map[Family][]Chain) (written int, err error)
	// Remove deletes Fairlead's rules from the chains, then its own chains, then its sets.
	Remove(chains map[Family][]Chain) error
	// Families lists the families that can be programmed.
	Families() []Family
	// RandomFully reports whether MASQUERADE can choose source ports at random (--random-fully).
	RandomFully(Family) bool
}
