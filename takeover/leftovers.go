package takeover

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"

	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// Leftovers is what kube-proxy left on this node. It is not safe for concurrent use.
type Leftovers struct{ kernel Kernel }

// New returns the leftovers that a kernel has.
func New(kernel Kernel) *Leftovers { return &Leftovers{kernel} }

// Found is what there is of kube-proxy's.
type Found struct {
	inputs []input
	nft    []masq.Family
	sets   []string

	Stay []string // chains that a rule of somebody else leads to, with that rule
}

type input struct {
	step  int
	table Table
	text  string
}

// Any reports whether there is anything to remove.
func (f Found) Any() bool { return len(f.inputs)+len(f.nft)+len(f.sets) > 0 }

// Names lists what is to be removed: tables of rules, nftables tables, and the number of ipsets.
func (f Found) Names() (names []string) {
	for _, in := range f.inputs {
		if name := "iptables " + in.table.String(); !slices.Contains(names, name) {
			names = append(names, name) // filter has two steps
		}
	}
	for _, family := range f.nft {
		names = append(names, fmt.Sprintf("nftables kube-proxy (%s)", family))
	}
	if len(f.sets) > 0 {
		names = append(names, fmt.Sprintf("%d ipsets", len(f.sets)))
	}
	return names
}

// Find looks for what kube-proxy left. What cannot be read is left out, and an error.
func (l *Leftovers) Find() (f Found, err error) {
	var errs []error
	tables, err := l.kernel.Tables()
	errs = append(errs, err)
	saves := make(map[Table]string)
	for _, t := range tables {
		if saves[t], err = l.kernel.Save(t); err != nil {
			delete(saves, t)
			errs = append(errs, fmt.Errorf("list table %s: %w", t, err))
		}
	}
	f.plan(tables, saves)
	if f.nft, err = l.kernel.NFTables(); err != nil {
		errs = append(errs, fmt.Errorf("look for the nftables table kube-proxy: %w", err))
	}
	for _, name := range allSets() {
		switch _, err := l.kernel.Set(name); {
		case err == nil:
			f.sets = append(f.sets, name)
		case !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, fmt.Errorf("look for ipset %s: %w", name, err))
		}
	}
	return f, errors.Join(errs...)
}

// plan finds what is to be written to the tables, in the order in which it must be.
func (f *Found) plan(tables []Table, saves map[Table]string) {
	for i, s := range steps() {
		for _, t := range tables {
			if t.Name != s.table {
				continue
			}
			text, stay := removal(t.Name, saves[t], s.due)
			f.Stay = append(f.Stay, stay...)
			if text != "" {
				f.inputs = append(f.inputs, input{i, t, text})
			}
		}
	}
}

// keys names each thing that was found.
func (f Found) keys() (keys []string) {
	for _, in := range f.inputs {
		keys = append(keys, fmt.Sprintf("step %d, %s", in.step, in.table))
	}
	for _, family := range f.nft {
		keys = append(keys, family.String())
	}
	return append(keys, f.sets...)
}

// Remove removes what was found, each step at once or not at all, and returns what is gone. It goes on
// after errors, with the other family and the other variant: whatever can go goes. The sets go last, for rules use them, and they tell which virtual
// servers are kube-proxy's as long as something else has to be tried again.
func (l *Leftovers) Remove(f Found) (gone Found, err error) {
	var errs []error
	failed := make(map[Table]bool) // by variant and family: the next step needs the one before
	for _, in := range f.inputs {
		these := Table{Variant: in.table.Variant, Family: in.table.Family}
		if failed[these] {
			continue
		}
		if err := l.kernel.Restore(in.table, in.text); err != nil {
			failed[these] = true
			errs = append(errs, fmt.Errorf("remove kube-proxy's rules from table %s: %w", in.table, err))
			continue
		}
		gone.inputs = append(gone.inputs, in)
	}
	for _, family := range f.nft {
		if err := l.kernel.DeleteNFTable(family); err != nil {
			errs = append(errs, fmt.Errorf("delete the nftables table kube-proxy for %s: %w", family, err))
			continue
		}
		gone.nft = append(gone.nft, family)
	}
	if len(errs) > 0 {
		return gone, errors.Join(errs...)
	}
	for _, name := range f.sets {
		if err := l.kernel.DestroySet(name); err != nil {
			errs = append(errs, fmt.Errorf("destroy ipset %s: %w", name, err))
			continue
		}
		gone.sets = append(gone.sets, name)
	}
	return gone, errors.Join(errs...)
}

// IPVS reads which virtual servers and addresses are kube-proxy's.
func (l *Leftovers) IPVS() (IPVS, error) {
	known := IPVS{make(map[ipvs.Key]struct{}), make(map[nodePort]struct{}), make(map[netip.Addr]struct{})}
	var errs []error
	read := func(short string, f masq.Family, visit func(Member)) {
		members, err := l.kernel.Set(setName(short, f))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("read ipset %s: %w", setName(short, f), err))
		}
		for _, m := range members {
			visit(m)
		}
	}
	for _, f := range []masq.Family{masq.IPv4, masq.IPv6} {
		for _, short := range frontendSets() {
			read(short, f, func(m Member) {
				known.frontends[ipvs.Key{Addr: netip.AddrPortFrom(m.Addr, m.Port), Protocol: ipvs.Protocol(m.Protocol)}] = struct{}{}
			})
		}
		for short, protocol := range nodePortSets() {
			read(short, f, func(m Member) { known.nodePorts[nodePort{protocol, m.Port}] = struct{}{} })
		}
		read("IPVS-IPS", f, func(m Member) { known.VIPs[m.Addr] = struct{}{} })
	}
	return known, errors.Join(errs...)
}

// Adoptable returns the entries by which Fairlead will know as its own what kube-proxy's mode ipvs left, out
// of the virtual servers and the bound addresses that there are, on a host with these addresses of its own.
// Those that a Service has are in the sets already. The others belong to Services that are gone: as
// Fairlead's own they drain and go in the usual order. The sets must still be there.
func (l *Leftovers) Adoptable(servers []ipvs.Key, bound, host []netip.Addr) ([]masq.Entry, error) {
	known, err := l.IPVS()
	return known.adoptable(servers, bound, host), err
}
