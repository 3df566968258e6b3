package conntrack

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
)

// contract is what every Kernel does, in the words of conntrack(8). "# gone" is behind the flows
// that DeleteStale must delete. A frontend is followed by its endpoints.
var contract = []struct {
	name, flows, frontends string
	passes                 int
}{
	{
		"a flow to an endpoint that serves no more goes, one to an endpoint that serves stays",
		`udp src=10.0.0.5 dst=10.96.0.10 sport=1001 dport=53 src=10.244.1.2 dst=10.0.0.5 sport=5353 dport=1001
		 udp src=10.0.0.5 dst=10.96.0.10 sport=1002 dport=53 src=10.244.1.3 dst=10.0.0.5 sport=5353 dport=1002
		 udp src=10.0.0.5 dst=10.96.0.10 sport=1003 dport=53 src=10.244.1.9 dst=10.0.0.5 sport=5353 dport=1003 # gone`,
		`10.96.0.10:53 10.244.1.2:5353 10.244.1.3:5353`,
		1,
	},
	{
		"the same with IPv6",
		`udp src=fd00::5 dst=fd00:10:96::a sport=1001 dport=53 src=fd00:10:244::2 dst=fd00::5 sport=5353 dport=1001
		 udp src=fd00::5 dst=fd00:10:96::a sport=1003 dport=53 src=fd00:10:244::9 dst=fd00::5 sport=5353 dport=1003 # gone`,
		`[fd00:10:96::a]:53 [fd00:10:244::2]:5353`,
		1,
	},
	{
		"without endpoints every flow goes",
		`udp src=10.0.0.5 dst=10.96.0.10 sport=1001 dport=53 src=10.244.1.2 dst=10.0.0.5 sport=53 dport=1001 # gone
		 udp src=10.0.0.6 dst=10.96.0.10 sport=1001 dport=53 src=10.244.1.3 dst=10.0.0.6 sport=53 dport=1001 # gone`,
		`10.96.0.10:53`,
		1,
	},
	{
		"the endpoint's port counts, too",
		`udp src=10.0.0.5 dst=10.96.0.10 sport=1001 dport=53 src=10.244.1.2 dst=10.0.0.5 sport=5353 dport=1001 # gone`,
		`10.96.0.10:53 10.244.1.2:5354`,
		1,
	},
	{
		"a flow that the node itself answers goes: no endpoint has it",
		`udp src=10.0.0.5 dst=192.168.1.1 sport=1001 dport=30053 src=192.168.1.1 dst=10.0.0.5 sport=30053 dport=1001 # gone`,
		`192.168.1.1:30053 10.244.1.2:53`,
		1,
	},
	{
		"masquerading makes no difference",
		`udp src=10.0.0.5 dst=10.96.0.10 sport=1001 dport=53 src=10.244.1.2 dst=192.168.1.1 sport=53 dport=40001
		 udp src=10.0.0.5 dst=10.96.0.10 sport=1002 dport=53 src=10.244.1.9 dst=192.168.1.1 sport=53 dport=40002 # gone`,
		`10.96.0.10:53 10.244.1.2:53`,
		1,
	},
	{
		"TCP and SCTP stay",
		`tcp src=10.0.0.5 dst=10.96.0.10 sport=1001 dport=53 src=10.244.1.9 dst=10.0.0.5 sport=53 dport=1001
		 sctp src=10.0.0.5 dst=10.96.0.10 sport=1001 dport=53 src=10.244.1.9 dst=10.0.0.5 sport=53 dport=1001
		 tcp src=fd00::5 dst=fd00:10:96::a sport=1001 dport=53 src=fd00:10:244::9 dst=fd00::5 sport=53 dport=1001
		 udp src=10.0.0.5 dst=10.96.0.10 sport=1001 dport=53 src=10.244.1.9 dst=10.0.0.5 sport=53 dport=1001 # gone`,
		`10.96.0.10:53
		 [fd00:10:96::a]:53`,
		2,
	},
	{
		"flows to other addresses, to other ports and the other way stay",
		`udp src=10.0.0.5 dst=10.96.0.11 sport=1001 dport=53 src=10.244.1.9 dst=10.0.0.5 sport=53 dport=1001
		 udp src=10.0.0.5 dst=10.96.0.10 sport=1002 dport=54 src=10.244.1.9 dst=10.0.0.5 sport=53 dport=1002
		 udp src=10.96.0.10 dst=10.0.0.5 sport=53 dport=1003 src=10.0.0.5 dst=10.96.0.10 sport=1003 dport=53
		 udp src=10.0.0.5 dst=10.244.1.9 sport=1004 dport=53 src=10.244.1.9 dst=10.0.0.5 sport=53 dport=1004`,
		`10.96.0.10:53`,
		1,
	},
	{
		"an endpoint of one frontend is none of another",
		`udp src=10.0.0.5 dst=10.96.0.10 sport=1001 dport=53 src=10.244.1.2 dst=10.0.0.5 sport=53 dport=1001
		 udp src=10.0.0.5 dst=10.96.0.11 sport=1002 dport=53 src=10.244.1.2 dst=10.0.0.5 sport=53 dport=1002 # gone
		 udp src=fd00::5 dst=fd00:10:96::a sport=1001 dport=53 src=fd00:10:244::2 dst=fd00::5 sport=53 dport=1001`,
		`10.96.0.10:53 10.244.1.2:53
		 10.96.0.11:53 10.244.1.3:53
		 [fd00:10:96::a]:53 [fd00:10:244::2]:53
		 [fd00:10:96::b]:53`,
		2,
	},
	{
		"without frontends the table is not even read",
		`udp src=10.0.0.5 dst=10.96.0.10 sport=1001 dport=53 src=10.244.1.2 dst=10.0.0.5 sport=53 dport=1001`,
		``,
		0,
	},
	{"an empty table is no error", ``, `10.96.0.10:53`, 1},
}

// subject is a Kernel under contract.
type subject struct {
	Kernel
	track  func(Flow)
	list   func() string         // the flows, one a line, in any order
	passes func(deleted int) int // how often the table was read, if so many deletions were tried
}

func openFake(testing.TB) subject {
	f := NewFake()
	return subject{f, func(flow Flow) { f.Add(flow) }, f.Dump, func(int) int { return f.Passes }}
}

func TestContractOfTheFake(t *testing.T) { testContract(t, openFake) }

func TestContractOfTheKernel(t *testing.T) {
	kerneltest.Want(t)
	testContract(t, openKernel)
}

func testContract(t *testing.T, open func(testing.TB) subject) {
	for _, c := range contract {
		t.Run(c.name, func(t *testing.T) {
			k := open(t)
			var left []string
			gone := 0
			for _, line := range kerneltest.Lines(c.flows) {
				text, note, _ := strings.Cut(line, " # ")
				k.track(parseFlow(t, text))
				if note == "gone" {
					gone++
				} else {
					left = append(left, text)
				}
			}
			if got := len(kerneltest.Lines(k.list())); got != gone+len(left) {
				t.Fatalf("%d flows to begin with, want %d:\n%s", got, gone+len(left), k.list())
			}
			frontends := parseFrontends(t, c.frontends)
			deleted, err := k.DeleteStale(frontends)
			if passes := k.passes(deleted); deleted != gone || err != nil || passes != c.passes {
				t.Errorf("%d deleted in %d passes, want %d in %d; %v", deleted, passes, gone, c.passes, err)
			}
			for range 2 {
				slices.Sort(left)
				got := kerneltest.Lines(k.list())
				slices.Sort(got)
				if diff := cmp.Diff(left, got); len(left)+len(got) > 0 && diff != "" {
					t.Errorf("flows (-want +got):\n%s", diff)
				}
				if deleted, err := k.DeleteStale(frontends); deleted != 0 || err != nil {
					t.Errorf("the next time %d deleted, %v", deleted, err)
				}
			}
		})
	}
}

// parseFlow reads what Flow.String writes.
func parseFlow(t testing.TB, line string) Flow {
	t.Helper()
	words := strings.Fields(line)
	if len(words) != 9 {
		t.Fatalf("%q is no flow", line)
	}
	flow := Flow{Protocol: map[string]Protocol{"tcp": TCP, "udp": UDP, "sctp": SCTP}[words[0]]}
	for i, tuple := range []*Tuple{&flow.Orig, &flow.Reply} {
		values := make(map[string]string)
		for _, word := range words[1+4*i : 5+4*i] {
			name, value, _ := strings.Cut(word, "=")
			values[name] = value
		}
		tuple.Source = parseAddrPort(t, values["src"], values["sport"])
		tuple.Destination = parseAddrPort(t, values["dst"], values["dport"])
	}
	return flow
}

func parseAddrPort(t testing.TB, addr, port string) netip.AddrPort {
	t.Helper()
	if strings.Contains(addr, ":") {
		addr = "[" + addr + "]"
	}
	parsed, err := netip.ParseAddrPort(addr + ":" + port)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// parseFrontends reads lines of a frontend and its endpoints.
func parseFrontends(t testing.TB, text string) Frontends {
	t.Helper()
	frontends := Frontends{}
	for _, line := range kerneltest.Lines(text) {
		words := strings.Fields(line)
		endpoints := map[netip.AddrPort]struct{}{}
		for _, word := range words[1:] {
			endpoints[netip.MustParseAddrPort(word)] = struct{}{}
		}
		frontends[netip.MustParseAddrPort(words[0])] = endpoints
	}
	return frontends
}

func TestAFlowReadsAsConntrackListsIt(t *testing.T) {
	for _, c := range contract {
		for _, line := range kerneltest.Lines(c.flows) {
			text, _, _ := strings.Cut(line, " # ")
			if got := parseFlow(t, text).String(); got != text {
				t.Errorf("\n got %s\nwant %s", got, text)
			}
		}
	}
}
