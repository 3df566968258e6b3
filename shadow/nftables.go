package shadow

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// FromNFTables reads mode nftables out of what `nft -j list table ip kube-proxy` prints, or ip6, into a state. The
// maps service-ips and service-nodeports lead to the chain of a Service port, and that to those of its endpoints.
// (kube-proxy, pkg/proxy/nftables/README.md)
func FromNFTables(text []byte, ipv6 bool, into State) error {
	var listing struct {
		NFTables []struct {
			Map *struct {
				Name string
				Elem []json.RawMessage
			}
			Rule *struct {
				Chain string
				Expr  json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(text, &listing); err != nil {
		return fmt.Errorf("read what nft lists: %w", err)
	}
	chains := make(map[string]*leads)
	for _, item := range listing.NFTables {
		if r := item.Rule; r != nil {
			if chains[r.Chain] == nil {
				chains[r.Chain] = new(leads)
			}
			var expr any
			if err := json.Unmarshal(r.Expr, &expr); err != nil {
				return fmt.Errorf("read a rule of chain %s: %w", r.Chain, err)
			}
			chains[r.Chain].collect(expr)
		}
	}
	for _, item := range listing.NFTables {
		if m := item.Map; m != nil && (m.Name == "service-ips" || m.Name == "service-nodeports") {
			for _, element := range m.Elem {
				if err := frontendIn(element, ipv6, chains, into); err != nil {
					return fmt.Errorf("read map %s: %w", m.Name, err)
				}
			}
		}
	}
	return nil
}

// leads is where the rules of a chain lead.
type leads struct {
	chains    []string
	endpoints []netip.AddrPort
}

// collect finds jumps and translations at any depth.
func (l *leads) collect(v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			l.collect(item)
		}
	case map[string]any:
		for name, item := range v {
			switch inner, _ := item.(map[string]any); {
			case (name == "goto" || name == "jump") && inner != nil:
				if target, ok := inner["target"].(string); ok {
					l.chains = append(l.chains, target)
				}
			case name == "dnat" && inner != nil:
				l.translate(inner)
			default:
				l.collect(item)
			}
		}
	}
}

// translate adds what a translation leads to: one endpoint, or any of those in a map.
func (l *leads) translate(dnat map[string]any) {
	if port, one := dnat["port"]; one {
		l.add(dnat["addr"], port)
		return
	}
	l.concatenated(dnat["addr"])
}

// concatenated finds addresses with a port, written as "10.1.0.1 . 8080", at any depth.
func (l *leads) concatenated(v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			l.concatenated(item)
		}
	case map[string]any:
		if parts, _ := v["concat"].([]any); len(parts) == 2 {
			l.add(parts[0], parts[1])
			return
		}
		for _, item := range v {
			l.concatenated(item)
		}
	}
}

func (l *leads) add(addr, port any) {
	text, _ := addr.(string)
	number, _ := port.(float64)
	if ip, err := netip.ParseAddr(text); err == nil && number > 0 && number < 65536 {
		l.endpoints = append(l.endpoints, netip.AddrPortFrom(ip, uint16(number)))
	}
}

// frontendIn adds the frontend of one element: a key of an address (but for node ports), a protocol and a port, and
// the chain that it leads to.
func frontendIn(element json.RawMessage, ipv6 bool, chains map[string]*leads, into State) error {
	var pair [2]json.RawMessage
	var key struct{ Concat []any }
	var lead any
	if err := json.Unmarshal(element, &pair); err != nil {
		return err
	}
	if err := json.Unmarshal(pair[0], &key); err != nil {
		return err
	}
	if err := json.Unmarshal(pair[1], &lead); err != nil {
		return err
	}
	var to leads
	to.collect(lead)
	f := Frontend{Addr: netip.IPv4Unspecified()}
	if ipv6 {
		f.Addr = netip.IPv6Unspecified()
	}
	for _, part := range key.Concat {
		switch part := part.(type) {
		case float64:
			f.Port = uint16(part)
		case string:
			if addr, err := netip.ParseAddr(part); err == nil {
				f.Addr = addr
			} else {
				f.Protocol = protocolOf(part)
			}
		}
	}
	if f.Protocol == 0 || f.Port == 0 {
		return fmt.Errorf("%s is no frontend", element)
	}
	into.Add(f, reached(to.chains, chains, nil)...)
	return nil
}

// reached returns the endpoints that chains of Service ports and endpoints lead to.
func reached(names []string, chains map[string]*leads, seen []string) (endpoints []netip.AddrPort) {
	for _, name := range names {
		l := chains[name]
		if l == nil || slices.Contains(seen, name) {
			continue
		}
		kind, _, _ := strings.Cut(name, "-")
		if kind == "service" || kind == "external" || kind == "endpoint" || kind == "local" {
			endpoints = append(endpoints, l.endpoints...)
			endpoints = append(endpoints, reached(l.chains, chains, append(seen, name))...)
		}
	}
	return endpoints
}
