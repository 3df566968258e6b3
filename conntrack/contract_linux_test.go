package conntrack

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

func openKernel(t testing.TB) subject {
	t.Helper()
	kerneltest.Need(t)
	k, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	kerneltest.CloseAtEnd(t, k)
	before := k.conn.Sent()
	return subject{
		Kernel: k,
		track:  func(flow Flow) { track(t, flow) },
		list:   func() string { return list(t) },
		// What was sent and was no deletion was a reading of the table.
		passes: func(deleted int) int { return int(k.conn.Sent()-before) - deleted },
	}
}

// track makes the kernel track a flow, by conntrack(8).
func track(t testing.TB, flow Flow) {
	t.Helper()
	port := func(a netip.AddrPort) string { return strconv.Itoa(int(a.Port())) }
	args := []string{"-I", "-p", flow.Protocol.String(), "--timeout", "600",
		"--orig-src", flow.Orig.Source.Addr().String(), "--orig-dst", flow.Orig.Destination.Addr().String(),
		"--orig-port-src", port(flow.Orig.Source), "--orig-port-dst", port(flow.Orig.Destination),
		"--reply-src", flow.Reply.Source.Addr().String(), "--reply-dst", flow.Reply.Destination.Addr().String(),
		"--reply-port-src", port(flow.Reply.Source), "--reply-port-dst", port(flow.Reply.Destination)}
	switch flow.Protocol {
	case TCP:
		args = append(args, "--state", "ESTABLISHED")
	case SCTP:
		args = append(args, "--state", "ESTABLISHED", "--orig-vtag", "1", "--reply-vtag", "2")
	}
	kerneltest.Run(t, "conntrack", args...)
}

// list returns the flows of both families as conntrack(8) tells them, in the form of Flow.String.
func list(t testing.TB) string {
	t.Helper()
	var out strings.Builder
	for _, family := range []string{"ipv4", "ipv6"} {
		for _, line := range kerneltest.Lines(kerneltest.Run(t, "conntrack", "-L", "-f", family)) {
			if strings.HasPrefix(line, "conntrack v") { // its last line counts
				continue
			}
			words := strings.Fields(line)
			out.WriteString(words[0])
			for _, word := range words[1:] {
				switch name, _, _ := strings.Cut(word, "="); name {
				case "src", "dst", "sport", "dport":
					out.WriteString(" " + word)
				}
			}
			out.WriteString("\n")
		}
	}
	return out.String()
}

// TestTheNextPacketOfAClientGoesToTheNewEndpoint sends real packets: a flow keeps its endpoint as
// long as it is tracked, whatever the rule says by now.
func TestTheNextPacketOfAClientGoesToTheNewEndpoint(t *testing.T) {
	k := openKernel(t)
	old, young := answer(t, "10.0.0.1:0", "old"), answer(t, "10.0.0.1:0", "young")
	const vip = "10.96.0.10:53"
	rule := func(verb string, endpoint netip.AddrPort) {
		kerneltest.Run(t, "iptables", "-w", "-t", "nat", verb, "OUTPUT", "-p", "udp", "-d", "10.96.0.10",
			"--dport", "53", "-j", "DNAT", "--to-destination", endpoint.String())
	}
	rule("-A", old)
	client, err := net.Dial("udp", vip)
	if err != nil {
		t.Fatal(err)
	}
	kerneltest.CloseAtEnd(t, client)
	ask(t, client, "old")
	rule("-D", old)
	rule("-A", young)
	ask(t, client, "old")

	frontends := parseFrontends(t, vip+" "+old.String())
	if deleted, err := k.DeleteStale(frontends); deleted != 0 || err != nil {
		t.Errorf("%d deleted, %v", deleted, err)
	}
	ask(t, client, "old")
	frontends = parseFrontends(t, vip+" "+young.String())
	if deleted, err := k.DeleteStale(frontends); deleted != 1 || err != nil {
		t.Errorf("%d deleted, %v", deleted, err)
	}
	ask(t, client, "young")
}

// answer answers every packet with a word until the test ends.
func answer(t testing.TB, listen, word string) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp", listen)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var room [64]byte
		for {
			_, from, err := conn.ReadFrom(room[:])
			if err != nil {
				return
			}
			_, _ = conn.WriteTo([]byte(word), from) // a lost answer is asked for again
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// ask sends a packet and wants this answer.
func ask(t testing.TB, client net.Conn, want string) {
	t.Helper()
	var room [64]byte
	if _, err := client.Write([]byte("who")); err != nil {
		t.Fatal(err)
	}
	if err := client.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := client.Read(room[:])
	if got := string(room[:n]); err != nil || got != want {
		t.Errorf("%q answers, want %q; %v", got, want, err)
	}
}

// TestADeletionIsOfThatFlowOnly: not of one between the same addresses with another id. (That a newer
// flow has another id cannot be had at will: the kernel makes it of the place in memory, which may be the
// same.)
func TestADeletionIsOfThatFlowOnly(t *testing.T) {
	k := openKernel(t).Kernel.(*Linux)
	flow := stales(1)[0]
	track(t, flow)
	var dump, deletion, other nlbatch.Batch
	encodeDump(&dump, true)
	err := k.conn.Dump(&dump, func(message []byte) {
		encodeDelete(&deletion, message)
		nlbatch.Attribute(message[headerLen:], attrID)[0] ^= 1
		encodeDelete(&other, message)
	})
	if err != nil {
		t.Fatal(err)
	}
	refused := k.conn.Do(&other)
	if deleted, err := outcome([]Flow{flow}, refused); deleted != 0 || err != nil || refused == nil {
		t.Errorf("of a flow with another id: %d deleted, %v, kernel says %v", deleted, err, refused)
	}
	if got := strings.TrimSpace(list(t)); got != flow.String() {
		t.Errorf("left:\n%s", got)
	}
	kerneltest.Run(t, "conntrack", "-F")
	gone := k.conn.Do(&deletion)
	if deleted, err := outcome([]Flow{flow}, gone); deleted != 0 || err != nil || gone == nil {
		t.Errorf("of a flow that is gone: %d deleted, %v, kernel says %v", deleted, err, gone)
	}
}

// TestOfManyFlowsExactlyTheStaleGo in several sends and several messages of the dump.
func TestOfManyFlowsExactlyTheStaleGo(t *testing.T) {
	k := openKernel(t).Kernel.(*Linux)
	const n = 3000
	var create nlbatch.Batch
	for i, flow := range stales(n) {
		if i%3 == 0 {
			flow.Orig.Destination = netip.MustParseAddrPort("10.96.0.11:53")
		}
		encodeCreate(&create, flow)
	}
	if errs := k.conn.Do(&create); errs != nil {
		t.Fatal(errors.Join(errs...))
	}
	if deleted, err := k.DeleteStale(Frontends{dns: nil}); deleted != 2*n/3 || err != nil {
		t.Errorf("%d deleted, %v", deleted, err)
	}
	if got := strings.TrimSpace(kerneltest.Run(t, "conntrack", "-C")); got != strconv.Itoa(n/3) {
		t.Errorf("%s left", got)
	}
}

// encodeCreate asks for a flow of UDP that lasts ten minutes.
func encodeCreate(b *nlbatch.Batch, flow Flow) {
	message := encodeFlow(flow, 0)[headerLen:]
	b.Begin(subsystem, nlbatch.FlagCreate|nlbatch.FlagExcl, familyIPv4, 0, 0, 0)
	for _, attr := range []uint16{attrOrig, attrReply} {
		b.Data(attr|nested, nlbatch.Attribute(message, attr))
	}
	b.Data(7, []byte{0, 0, 2, 88}) // CTA_TIMEOUT
}

// TestOnlyUDPIsToldOf: that kernels from 5.8 on leave TCP out shows that the filter is well-formed.
func TestOnlyUDPIsToldOf(t *testing.T) {
	k := openKernel(t).Kernel.(*Linux)
	udp, tcp := stales(2)[0], stales(2)[1]
	tcp.Protocol = TCP
	track(t, udp)
	track(t, tcp)
	for _, v4 := range []bool{true, false} {
		var dump nlbatch.Batch
		encodeDump(&dump, v4)
		var told []string
		if err := k.conn.Dump(&dump, func(message []byte) {
			flow, ok := decode(message)
			told = append(told, fmt.Sprint(ok, " ", flow))
		}); err != nil {
			t.Fatal(err)
		}
		if want := map[bool]string{true: "[true " + udp.String() + "]", false: "[]"}[v4]; fmt.Sprint(told) != want {
			t.Errorf("IPv4 %v: %v", v4, told)
		}
	}
}

func TestAKernelThatLacksItSaysSo(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EPROTONOSUPPORT, syscall.EINVAL} {
		if err := lacking(fmt.Errorf("open: %w", errno)); !errors.Is(err, ErrNoConntrack) {
			t.Errorf("%v: %v", errno, err)
		}
	}
	if err := lacking(syscall.EPERM); !errors.Is(err, syscall.EPERM) || errors.Is(err, ErrNoConntrack) {
		t.Errorf("got %v", err)
	}
}
