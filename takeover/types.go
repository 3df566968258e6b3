package takeover

import (
	"fmt"

	"github.com/fairlead-lb/fairlead/masq"
)

// Variant is one of the two ways in which iptables programs keep their rules. Rules of both are in force.
type Variant string

// The variants.
const (
	NFT    Variant = "nft"
	Legacy Variant = "legacy"
)

// Table is a table of iptables rules.
type Table struct {
	Variant Variant
	Family  masq.Family
	Name    string
}

// String returns "nat (IPv4, nft)".
func (t Table) String() string { return fmt.Sprintf("%s (%s, %s)", t.Name, t.Family, t.Variant) }

// Process is a kube-proxy that runs in this network namespace.
type Process struct {
	PID     int
	Command string
}

// String returns "kube-proxy (process 123)".
func (p Process) String() string { return fmt.Sprintf("%s (process %d)", p.Command, p.PID) }

// tableNames lists the tables that kube-proxy writes to.
func tableNames() []string { return []string{"filter", "nat", "mangle"} }

// step is a part of the removal.
type step struct {
	table string
	due   func(chain string) bool
}

// steps are the order of the removal, in which no new connection fails between two of them. filter INPUT
// drops what comes to a load balancer's address and was not led on by nat, so it goes before nat.
// KUBE-FORWARD lets through what nat has led on and marked, so it goes after nat.
func steps() []step {
	const forward = "KUBE-FORWARD"
	return []step{
		{"filter", func(chain string) bool { return chain != forward }},
		{"nat", func(string) bool { return true }},
		{"filter", func(chain string) bool { return chain == forward }},
		{"mangle", func(string) bool { return true }},
	}
}

// Kernel is what kube-proxy wrote to. One goroutine owns it.
type Kernel interface {
	// Tables lists those of the tables filter, nat and mangle that there are.
	Tables() ([]Table, error)
	// Save returns what iptables-save prints, of this table at least.
	Save(Table) (string, error)
	// Restore carries out the input of `iptables-restore --noflush`, all of it or nothing.
	Restore(t Table, input string) error
	// NFTables lists the families that have an nftables table "kube-proxy".
	NFTables() ([]masq.Family, error)
	// DeleteNFTable deletes that table with all that is in it, at once. One that is gone is no error.
	DeleteNFTable(masq.Family) error
	// Set reads an ipset. A set that does not exist is fs.ErrNotExist.
	Set(name string) ([]Member, error)
	// DestroySet destroys an ipset. One that is gone is no error.
	DestroySet(name string) error
	// Processes lists the kube-proxies that run in this network namespace, as far as can be seen.
	Processes() ([]Process, error)
}
