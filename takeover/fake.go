package takeover

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/masq"
)

// Fake is a Kernel in memory. Its tables are text; Restore understands what this package writes.
type Fake struct {
	Texts   map[Table]string // as iptables-save prints them
	NFT     []masq.Family
	IPSets  map[string][]Member
	Running []Process

	Fail     func(call string) error // asked before each call, "restore nat (IPv4, nft)" for example
	Restored []Table
}

var _ Kernel = (*Fake)(nil)

func (f *Fake) fail(format string, args ...any) error {
	if f.Fail == nil {
		return nil
	}
	return f.Fail(fmt.Sprintf(format, args...))
}

// Tables implements Kernel.
func (f *Fake) Tables() (tables []Table, err error) {
	for _, name := range tableNames() {
		for t := range f.Texts {
			if t.Name == name {
				tables = append(tables, t)
			}
		}
	}
	return tables, f.fail("tables")
}

// Save implements Kernel.
func (f *Fake) Save(t Table) (string, error) { return f.Texts[t], f.fail("save %s", t) }

// Restore implements Kernel.
func (f *Fake) Restore(t Table, input string) error {
	if err := f.fail("restore %s", t); err != nil {
		return err
	}
	text, err := restore(f.Texts[t], input)
	if err != nil {
		return err
	}
	f.Texts[t] = text
	f.Restored = append(f.Restored, t)
	return nil
}

// restore carries out the lines of an input on a table's text.
func restore(text, input string) (string, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for line := range strings.Lines(input) {
		line = strings.TrimSpace(line)
		if name, is := strings.CutPrefix(line, ":"); is { // empty the chain
			name, _, _ = strings.Cut(name, " ")
			lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "-A "+name+" ") })
			continue
		}
		verb, rest, _ := strings.Cut(line, " ")
		switch verb {
		case "-D":
			at := slices.Index(lines, "-A "+rest)
			if at < 0 {
				return "", fmt.Errorf("no rule %q", rest)
			}
			lines = slices.Delete(lines, at, at+1)
		case "-X":
			if slices.ContainsFunc(lines, func(l string) bool {
				return strings.HasPrefix(l, "-A ") && target(l[3:]) == rest || strings.HasPrefix(l, "-A "+rest+" ")
			}) {
				return "", fmt.Errorf("chain %s is in use", rest)
			}
			lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, ":"+rest+" ") })
		}
	}
	return strings.Join(lines, "\n") + "\n", nil
}

// NFTables implements Kernel.
func (f *Fake) NFTables() ([]masq.Family, error) { return slices.Clone(f.NFT), f.fail("nftables") }

// DeleteNFTable implements Kernel.
func (f *Fake) DeleteNFTable(family masq.Family) error {
	if err := f.fail("delete nftables %s", family); err != nil {
		return err
	}
	f.NFT = slices.DeleteFunc(f.NFT, func(have masq.Family) bool { return have == family })
	return nil
}

// Set implements Kernel.
func (f *Fake) Set(name string) ([]Member, error) {
	if err := f.fail("set %s", name); err != nil {
		return nil, err
	}
	members, ok := f.IPSets[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return members, nil
}

// DestroySet implements Kernel. A set that a rule uses stays.
func (f *Fake) DestroySet(name string) error {
	if err := f.fail("destroy %s", name); err != nil {
		return err
	}
	for t, text := range f.Texts {
		if strings.Contains(text, "--match-set "+name+" ") {
			return fmt.Errorf("set %s is in use in %s", name, t)
		}
	}
	delete(f.IPSets, name)
	return nil
}

// Processes implements Kernel.
func (f *Fake) Processes() ([]Process, error) { return f.Running, f.fail("processes") }
