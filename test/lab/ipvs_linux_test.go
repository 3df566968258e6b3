package lab

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// byHand is the smallest setting in which a node balances a VIP with IPVS, for one family. The lab must carry it, or no
// test of Fairlead can pass. POOL is all pods, A to C the real servers; IPT and PREF differ by family.
//
// The VIP's address makes the node pick it as the source of its own traffic, so that traffic is masqueraded, and so is
// outside traffic. Pods are not, unless a pod reaches itself. An IPv6 VIP must be deprecated, or MASQUERADE may pick it.
const byHand = `set -e
echo 1 > /proc/sys/net/ipv4/vs/conntrack
ip link add DEV type dummy
ip addr add VIP/BITS dev DEV PREF
for proto in -t -u; do
  ipvsadm -A $proto [VIP]:8080 -s rr
  for pod in A B C; do ipvsadm -a $proto [VIP]:8080 -r [$pod]:8080 -m; done
done
IPT -t nat -A POSTROUTING ! -s POOL -d POOL -j MASQUERADE
for pod in A B C; do IPT -t nat -A POSTROUTING -s $pod -d $pod -j MASQUERADE; done
`

// TestIPVSByHand proves that the lab's network carries IPVS: pods, nodes and outside clients reach pods on the VIP's node
// and beyond, by IPv4 and IPv6, TCP and UDP, and a pod reaches itself.
func TestIPVSByHand(t *testing.T) {
	need(t, Supported())
	NeedIPVS(t)
	w := newTown(t)
	families := []struct {
		vip, pool string
		addr      func(*Pod) netip.Addr
		node      netip.Addr
		words     []string
	}{
		{"172.30.15.111", "172.17.0.0/16", (*Pod).Addr4, w.node1.Addr4,
			[]string{"[", "", "]", "", "IPT", "iptables", "BITS", "32", "PREF", "", "DEV", "kube-ipvs0"}},
		{"fd00:96::111", "fd00:17::/32", (*Pod).Addr6, w.node1.Addr6,
			[]string{"IPT", "ip6tables", "BITS", "128", "PREF", "preferred_lft 0", "DEV", "kube-ipvs1"}},
	}
	for _, f := range families {
		words := append(f.words, "VIP", f.vip, "POOL", f.pool,
			"in A B C", fmt.Sprintf("in %s %s %s", f.addr(w.a), f.addr(w.b), f.addr(w.c)))
		must(w.node1.Run(t.Context(), "sh", "-c", strings.NewReplacer(words...).Replace(byHand)))(t)
		check(t, w.client.AddRoute(host(netip.MustParseAddr(f.vip)).String(), w.node1))
		for name, pod := range map[string]*Pod{"a": w.a, "b": w.b, "c": w.c} {
			at := netip.AddrPortFrom(f.addr(pod), 8080).String()
			must(pod.ServeTCP(at, name))(t)
			must(pod.ServeUDP(at, name))(t)
		}
	}
	t.Log(must(w.node1.Dump(t.Context()))(t).IPVS)
	for _, f := range families {
		for _, network := range []string{"tcp", "udp"} {
			at := netip.AddrPortFrom(netip.MustParseAddr(f.vip), 8080).String()
			t.Run(network+"/"+at, func(t *testing.T) {
				// c is on another node: its way to the VIP is the fabric's gateway, so it does not ask here.
				ask := func(who string, from *Namespace, seen netip.Addr) { spread(t, who, from, network, at, seen, f.node) }
				ask("pod a", w.a.Namespace, f.addr(w.a))
				ask("pod b", w.b.Namespace, f.addr(w.b))
				ask("node", w.node1.Namespace, f.node)
				ask("client", w.client.Namespace, f.node)
				counted(t, w.node1.Namespace, network, at, 4*30)
			})
		}
	}
	t.Run("without estimators", func(t *testing.T) { standStill(t, w.node1, w.client.Namespace, "172.30.15.111:8080") })
}

// standStill checks that the counters of a virtual server stand still while the kernel's estimators are stopped, and have
// missed nothing when these run again.
func standStill(t *testing.T, node *Node, client *Namespace, at string) {
	t.Helper()
	k := ipvs.Key{Addr: netip.MustParseAddrPort(at), Protocol: ipvs.TCP}
	read := func() (c ipvs.Counters) {
		check(t, node.Do(func() (err error) {
			c, _, err = counters(k)
			return err
		}))
		return c
	}
	check(t, node.SetSysctl("ipv4/vs/run_estimation", "0"))
	before := read()
	for range 3 {
		must(Ask(t.Context(), client, "tcp", at))(t)
	}
	for range 10 {
		time.Sleep(500 * time.Millisecond)
		if now := read(); now != before {
			t.Fatalf("without estimators the counters went from %+v to %+v", before, now)
		}
	}
	check(t, node.SetSysctl("ipv4/vs/run_estimation", "1"))
	for deadline := time.Now().Add(20 * time.Second); read().Connections != before.Connections+3; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%+v, after 3 connections more than %+v", read(), before)
		}
	}
}

// counted checks that the kernel has counted so many connections, spread evenly, with packets and bytes both ways. It tells
// what its estimators last summed up, two seconds ago or less.
func counted(t *testing.T, node *Namespace, network, at string, want uint64) {
	t.Helper()
	k := ipvs.Key{Addr: netip.MustParseAddrPort(at), Protocol: map[string]ipvs.Protocol{"tcp": ipvs.TCP, "udp": ipvs.UDP}[network]}
	var c ipvs.Counters
	var reals map[netip.AddrPort]ipvs.Counters
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		check(t, node.Do(func() (err error) {
			c, reals, err = counters(k)
			return err
		}))
		var sum ipvs.Counters
		for _, one := range reals {
			sum = sum.Add(one)
		}
		if c.Connections == want && sum == c {
			break
		} else if time.Now().After(deadline) {
			t.Errorf("%s: the kernel has counted %+v, and %+v of its real servers; want %d connections", k, c, sum, want)
			break
		}
	}
	if c.InPackets < want || c.OutPackets < want || c.InBytes <= c.InPackets || c.OutBytes <= c.OutPackets {
		t.Errorf("%s: the kernel has counted %+v", k, c)
	}
	for at, one := range reals {
		if one.Connections != want/3 {
			t.Errorf("%s: %s has %d connections, want %d", k, at, one.Connections, want/3)
		}
	}
	if len(reals) != 3 {
		t.Errorf("%s: %d real servers", k, len(reals))
	}
}

// counters reads what the kernel has counted for a virtual server and its real servers.
func counters(k ipvs.Key) (c ipvs.Counters, reals map[netip.AddrPort]ipvs.Counters, err error) {
	kernel, err := ipvs.Open()
	if err != nil {
		return c, nil, err
	}
	defer kernel.Close()
	servers, err := kernel.Counters()
	if err != nil {
		return c, nil, err
	}
	reals, err = kernel.RealCounters(k)
	return servers[k], reals, err
}

// spread asks 30 times, wants each of the three servers 10 times, and the address that they see: the asker's own, or the
// node's where the asker is the server.
func spread(t *testing.T, who string, from *Namespace, network, at string, seen, node netip.Addr) {
	t.Helper()
	counts := make(map[string]int)
	for range 30 {
		answer, err := Ask(t.Context(), from, network, at)
		if err != nil {
			t.Errorf("%s: %v", who, err)
			return
		}
		counts[answer.Server]++
		want := seen
		if answer.Local.Addr() == seen {
			want = node
		}
		if answer.Client.Addr() != want {
			t.Errorf("%s: server %s saw %s, want %s", who, answer.Server, answer.Client, want)
		}
	}
	if counts["a"] != 10 || counts["b"] != 10 || counts["c"] != 10 {
		t.Errorf("%s: distribution %v, want 10 each", who, counts)
	}
}
