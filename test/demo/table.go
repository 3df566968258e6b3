package main

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// virtualServer is one virtual server of the kernel: a VIP, a port, and where connections to it go.
type virtualServer struct {
	protocol, scheduler string
	addr                netip.AddrPort
	reals               []realServer
}

// realServer is one destination. Inactive connections are closed ones that the kernel still remembers.
type realServer struct {
	addr                     netip.AddrPort
	weight, active, inactive int
}

// parseTable reads the output of ipvsadm -Ln or the text of /proc/net/ip_vs: they differ in how an address looks.
func parseTable(text string) ([]virtualServer, error) {
	var all []virtualServer
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) >= 3 && slices.Contains([]string{"TCP", "UDP", "SCTP"}, words[0]):
			addr, err := parseAddr(words[1])
			if err != nil {
				return nil, fmt.Errorf("line %q: %w", line, err)
			}
			all = append(all, virtualServer{protocol: words[0], scheduler: words[2], addr: addr})
		case len(words) == 6 && words[0] == "->" && len(all) > 0:
			destination, err := parseReal(words[1:])
			if err != nil {
				return nil, fmt.Errorf("line %q: %w", line, err)
			}
			last := &all[len(all)-1]
			last.reals = append(last.reals, destination)
		}
	}
	return all, nil
}

// parseReal reads the words after the arrow: address, forwarding method, weight, connections.
func parseReal(words []string) (realServer, error) {
	addr, err := parseAddr(words[0])
	if err != nil {
		return realServer{}, err
	}
	var numbers [3]int
	for i := range numbers {
		if numbers[i], err = strconv.Atoi(words[2+i]); err != nil {
			return realServer{}, err
		}
	}
	return realServer{addr, numbers[0], numbers[1], numbers[2]}, nil
}

// parseAddr reads 172.17.0.2:8080, and AC110002:1F90 as well, which is how /proc has it.
func parseAddr(text string) (netip.AddrPort, error) {
	addr, port, _ := strings.Cut(text, ":")
	if len(addr) != 8 || len(port) != 4 {
		return netip.ParseAddrPort(text)
	}
	bytes, err := hex.DecodeString(addr + port)
	if err != nil {
		return netip.ParseAddrPort(text)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(bytes)), uint16(bytes[4])<<8|uint16(bytes[5])), nil
}

// find returns the virtual server at an address, or nil.
func find(table []virtualServer, addr string) *virtualServer {
	i := slices.IndexFunc(table, func(v virtualServer) bool { return v.addr.String() == addr })
	if i < 0 {
		return nil
	}
	return &table[i]
}

// weights is what a virtual server sends where: weight by address. It is empty where there is none.
func (v *virtualServer) weights() map[string]int {
	all := make(map[string]int)
	if v != nil {
		for _, r := range v.reals {
			all[r.addr.Addr().String()] = r.weight
		}
	}
	return all
}

// rows are the lines of a virtual server in a grid, below a head.
func (v *virtualServer) rows() [][]string {
	rows := [][]string{{"VIRTUAL SERVER", "SCHEDULER", "SENDS TO", "WEIGHT", "OPEN", "CLOSED"}}
	if v == nil {
		return append(rows, []string{"(none)"})
	}
	name := []string{v.protocol + " " + v.addr.String(), v.scheduler}
	for _, r := range v.reals {
		rows = append(rows, append(name[:2:2], r.addr.String(), strconv.Itoa(r.weight),
			strconv.Itoa(r.active), strconv.Itoa(r.inactive)))
		name = []string{"", ""}
	}
	if len(v.reals) == 0 {
		rows = append(rows, append(name, "(nobody)"))
	}
	return rows
}

// idle tells whether the virtual server gives new connections to nobody.
func (v *virtualServer) idle() bool {
	return !slices.ContainsFunc(v.reals, func(r realServer) bool { return r.weight > 0 })
}
