package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// Dump is the state of a namespace in the operator's words, normalized so that two dumps are equal exactly when the state
// is: compare with ==. An empty table and no table are the same.
type Dump struct {
	IPVS      string // ipvsadm -Sn
	Iptables4 string // iptables-save
	Iptables6 string // ip6tables-save
	Ipset     string // ipset save
	Links     string // devices and their types
	Addrs     string // ip -o addr
	Routes    string // ip route, table local, IPv4 then IPv6
}

// Dump reads the namespace's state.
func (n *Namespace) Dump(ctx context.Context) (d Dump, err error) {
	var routes4, routes6 string
	parts := []struct {
		into      *string
		normalize func(string) string
		command   []string
	}{
		{&d.Iptables4, normalizeRules, []string{"iptables-save"}},
		{&d.Iptables6, normalizeRules, []string{"ip6tables-save"}},
		{&d.Ipset, normalizeSets, []string{"ipset", "save"}},
		{&d.Addrs, normalizeAddrs, []string{"ip", "-o", "addr"}},
		{&routes4, normalizeRoutes, []string{"ip", "-4", "route", "show", "table", "local"}},
		{&routes6, normalizeRoutes, []string{"ip", "-6", "route", "show", "table", "local"}},
	}
	for _, p := range parts {
		out, err := n.Run(ctx, p.command[0], p.command[1:]...)
		if err != nil {
			return Dump{}, fmt.Errorf("dump: %w", err)
		}
		*p.into = p.normalize(out)
	}
	d.Routes = routes4 + routes6
	if d.IPVS, err = n.dumpIPVS(ctx); err != nil {
		return Dump{}, err
	}
	d.Links, err = n.dumpLinks()
	return d, err
}

// dumpIPVS asks ipvsadm, but only where IPVS is loaded: on a kernel without it ipvsadm fails, and there is nothing to see.
func (n *Namespace) dumpIPVS(ctx context.Context) (string, error) {
	err := n.Do(func() error {
		_, err := os.Stat("/proc/thread-self/net/ip_vs")
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("dump: %w", err)
	}
	out, err := n.Run(ctx, "ipvsadm", "-Sn")
	if err != nil {
		return "", fmt.Errorf("dump: %w", err)
	}
	return normalizeServers(out), nil
}

func (n *Namespace) dumpLinks() (string, error) {
	links, err := n.link.LinkList()
	if err != nil {
		return "", fmt.Errorf("dump: list devices of %s: %w", n.Name, err)
	}
	var all []string
	for _, link := range links {
		all = append(all, link.Attrs().Name+" "+link.Type())
	}
	slices.Sort(all)
	return text(all), nil
}

// RuleCount counts the iptables rules of both families.
func (n *Namespace) RuleCount(ctx context.Context) (int, error) {
	var sum int
	for _, program := range []string{"iptables-save", "ip6tables-save"} {
		out, err := n.Run(ctx, program)
		if err != nil {
			return 0, fmt.Errorf("count rules: %w", err)
		}
		sum += countRules(out)
	}
	return sum, nil
}
