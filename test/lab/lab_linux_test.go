package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// town is the lab that most tests use: three pods on two nodes, and somebody outside.
type town struct {
	*Lab

	node1, node2 *Node
	a, b, c      *Pod // a and b on node1, c on node2
	client       *Client
}

func newTown(t *testing.T) *town {
	t.Helper()
	return build(t, New(t))
}

func build(t *testing.T, l *Lab) *town {
	t.Helper()
	w := &town{Lab: l}
	w.node1 = must(l.AddNode("node1", "172.17.0.0/24", "fd00:17::/64"))(t)
	w.node2 = must(l.AddNode("node2", "172.17.1.0/24", "fd00:17:1::/64"))(t)
	w.a = must(w.node1.AddPod("a", "172.17.0.2", "fd00:17::2"))(t)
	w.b = must(w.node1.AddPod("b", "172.17.0.5", "fd00:17::5"))(t)
	w.c = must(w.node2.AddPod("c", "172.17.1.6", "fd00:17:1::6"))(t)
	w.client = must(l.AddClient("client"))(t)
	check(t, w.client.AddRoute("172.17.0.0/24", w.node1))
	check(t, w.client.AddRoute("172.17.1.0/24", w.node2))
	check(t, w.client.AddRoute("fd00:17::/64", w.node1))
	check(t, w.client.AddRoute("fd00:17:1::/64", w.node2))
	return w
}

func TestEverybodyReachesEveryPod(t *testing.T) {
	w := newTown(t)
	pods := map[string]*Pod{"a": w.a, "b": w.b, "c": w.c}
	for name, pod := range pods {
		for _, addr := range pod.Addrs {
			at := netip.AddrPortFrom(addr, 8080).String()
			must(pod.ServeTCP(at, name))(t)
			must(pod.ServeUDP(at, name))(t)
		}
	}
	sources := []struct {
		name string
		ns   *Namespace
		from []netip.Addr
	}{
		{"pod-a", w.a.Namespace, w.a.Addrs},
		{"pod-c", w.c.Namespace, w.c.Addrs},
		{"node1", w.node1.Namespace, w.node1.Addrs()},
		{"node2", w.node2.Namespace, w.node2.Addrs()},
		{"client", w.client.Namespace, []netip.Addr{w.client.Addr4, w.client.Addr6}},
	}
	for _, source := range sources {
		for name, pod := range pods {
			for i, addr := range pod.Addrs {
				for _, network := range []string{"tcp", "udp"} {
					at := netip.AddrPortFrom(addr, 8080)
					t.Run(fmt.Sprintf("%s/%s/%s", source.name, network, at), func(t *testing.T) {
						answer := must(Ask(t.Context(), source.ns, network, at.String()))(t)
						if answer.Server != name || answer.Local != at {
							t.Errorf("answer %+v, want server %s at %s", answer, name, at)
						}
						if want := source.from[i]; answer.Client.Addr() != want && source.ns != pod.Namespace {
							t.Errorf("the server saw %s, want %s", answer.Client, want)
						}
					})
				}
			}
		}
	}
}

func TestServersCount(t *testing.T) {
	w := newTown(t)
	tcp := must(w.a.ServeTCP("172.17.0.2:8080", "a"))(t)
	udp := must(w.a.ServeUDP("172.17.0.2:8080", "a"))(t)
	for network, server := range map[string]*Server{"tcp": tcp, "udp": udp} {
		counts, errs := AskMany(t.Context(), w.b.Namespace, network, server.Addr(), 20)
		if len(errs) > 0 || counts["a"] != 20 || server.Connections() != 20 {
			t.Errorf("%s: counts %v, server counted %d, errors %v", network, counts, server.Connections(), errs)
		}
	}
}

func TestHTTPWithCurl(t *testing.T) {
	w := newTown(t)
	server := must(w.c.ServeHTTP("[fd00:17:1::6]:8080", "web"))(t)
	out := must(w.a.Run(t.Context(), "curl", "-sS", "--max-time", "10", "http://"+server.Addr()+"/"))(t)
	if !strings.HasPrefix(out, "name=web client=[fd00:17::2]:") || server.Connections() != 1 {
		t.Errorf("curl printed %q, server counted %d", out, server.Connections())
	}
}

func TestRefusedAndTimedOut(t *testing.T) {
	w := newTown(t)
	for _, network := range []string{"tcp", "udp"} {
		for _, at := range []string{"172.17.0.2:1", "[fd00:17::2]:1"} {
			if _, err := Ask(t.Context(), w.b.Namespace, network, at); !Refused(err) || TimedOut(err) {
				t.Errorf("%s %s with nobody there: %v, want refused", network, at, err)
			}
		}
	}
	must(w.a.Run(t.Context(), "iptables", "-A", "INPUT", "-j", "DROP"))(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := Ask(ctx, w.b.Namespace, "tcp", "172.17.0.2:1"); !TimedOut(err) || Refused(err) {
		t.Errorf("dropped: %v, want a timeout", err)
	}
}

func TestHold(t *testing.T) {
	w := newTown(t)
	server := must(w.c.ServeTCP("172.17.1.6:8080", "c"))(t)
	held := must(Hold(t.Context(), w.a.Namespace, server.Addr()))(t)
	for range 3 {
		check(t, held.Ping())
	}
	if held.Answer.Server != "c" || server.Connections() != 1 {
		t.Errorf("greeting %+v, server counted %d", held.Answer, server.Connections())
	}
	check(t, server.Close())
	if held.Ping() == nil {
		t.Error("ping succeeds after the server ended")
	}
}

func TestRemovePod(t *testing.T) {
	w := newTown(t)
	before := must(w.node1.Dump(t.Context()))(t)
	pod := must(w.node1.AddPod("d", "172.17.0.9", "fd00:17::9"))(t)
	server := must(pod.ServeTCP("172.17.0.9:80", "d"))(t)
	must(Ask(t.Context(), w.client.Namespace, "tcp", server.Addr()))(t)
	check(t, pod.Remove())
	if after := must(w.node1.Dump(t.Context()))(t); after != before {
		t.Errorf("the pod left something on its node:\n%+v\nbefore:\n%+v", after, before)
	}
	if _, err := Ask(t.Context(), w.node1.Namespace, "tcp", server.Addr()); err == nil {
		t.Error("a removed pod answers")
	}
	if _, err := pod.ServeTCP("172.17.0.9:80", "d"); err == nil {
		t.Error("a removed pod serves")
	}
}

func TestRelay(t *testing.T) {
	w := newTown(t)
	outside := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	server := accept(outside, func(conn net.Conn) { io.Copy(conn, conn) }) //nolint:errcheck // an echo
	defer server.Close()
	relay := must(Relay(t.Context(), w.node1.Namespace, "127.0.0.1:6443", outside.Addr().String()))(t)
	conn := must(w.node1.DialContext(t.Context(), "tcp", relay.Addr()))(t)
	defer conn.Close()
	check(t, conn.SetDeadline(time.Now().Add(AskTimeout)))
	must(conn.Write([]byte("through the wall")))(t)
	check(t, conn.(*net.TCPConn).CloseWrite())
	if got := must(io.ReadAll(conn))(t); string(got) != "through the wall" {
		t.Errorf("came back: %q", got)
	}
}

func TestCommand(t *testing.T) {
	w := newTown(t)
	out := must(w.node1.Run(t.Context(), "ip", "-o", "addr", "show", "eth0"))(t)
	if !strings.Contains(out, "192.168.77.10/24") || strings.Contains(out, "tentative") {
		t.Errorf("eth0 of node1: %s", out)
	}
	_, err := w.node1.Run(t.Context(), "sh", "-c", "echo reason >&2; exit 3")
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || !strings.Contains(err.Error(), "reason") {
		t.Errorf("a failed program: %v", err)
	}
	visible := must(exec.Command("ip", "netns", "exec", w.node1.Name, "ip", "-o", "addr", "show", "eth0").CombinedOutput())(t)
	if string(visible) != out {
		t.Errorf("ip netns exec sees %s", visible)
	}
}

func TestDump(t *testing.T) {
	w := newTown(t)
	ctx := t.Context()
	before := must(w.node1.Dump(ctx))(t)
	if again := must(w.node1.Dump(ctx))(t); again != before {
		t.Errorf("two dumps differ:\n%+v\n%+v", before, again)
	}
	for _, command := range []string{
		"iptables -t nat -N X", "iptables -t nat -A X -j ACCEPT", "ip6tables -A FORWARD -j ACCEPT",
		"ipset create s hash:ip", "ipset add s 10.0.0.1", "ip addr add 10.9.9.9/32 dev lo",
	} {
		must(w.node1.Run(ctx, "sh", "-c", command))(t)
	}
	changed := must(w.node1.Dump(ctx))(t)
	for part, ok := range map[string]bool{
		"iptables":  changed.Iptables4 == "*nat\n:X -\n-A X -j ACCEPT\nCOMMIT\n",
		"ip6tables": changed.Iptables6 == "*filter\n-A FORWARD -j ACCEPT\nCOMMIT\n",
		"ipset":     strings.HasSuffix(changed.Ipset, "add s 10.0.0.1\n"),
		"addrs":     strings.Contains(changed.Addrs, "10.9.9.9/32"),
		"routes":    strings.Contains(changed.Routes, "local 10.9.9.9 dev lo"),
		"links":     changed.Links == "eth0 veth\nlo device\nveth1 veth\nveth2 veth\n",
	} {
		if !ok {
			t.Errorf("the dump lacks the change in %s: %+v", part, changed)
		}
	}
	if n := must(w.node1.RuleCount(ctx))(t); n != 2 {
		t.Errorf("%d rules, want 2", n)
	}
	for _, command := range []string{
		"iptables -t nat -F X", "iptables -t nat -X X", "ip6tables -D FORWARD -j ACCEPT",
		"ipset destroy s", "ip addr del 10.9.9.9/32 dev lo",
	} {
		must(w.node1.Run(ctx, "sh", "-c", command))(t)
	}
	if after := must(w.node1.Dump(ctx))(t); after != before {
		t.Errorf("after undoing:\n%+v\nbefore:\n%+v", after, before)
	}
}

// must returns the value of a call, or fails the test: must(f())(t).
func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		check(t, err)
		return value
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
