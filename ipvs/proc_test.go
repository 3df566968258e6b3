package ipvs

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// procText is what Linux 6.1 shows, a table with one virtual server of each kind.
const procText = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
UDP  [fd00:0096:0000:0000:0000:0000:0000:0001]:0035 rr 
  -> [fd00:0000:0000:0000:0000:0000:0000:0003]:0035      Masq    65535  0          0         
TCP  0A600001:01BB mh  persistent 75000 FFFFFFFF
  -> 0A010002:01BB      Tunnel  7      3          0         
  -> 0A010001:192B      Masq    0      0          12        
SCTP  0A600002:0009 rr  
FWM  50000002 rr persistent 1250 80000000
  -> [fd00:0000:0000:0000:0000:0000:0000:0001]:0050      Masq    1      0          0         
FWM  50000002 rr 
  -> 0A010001:0050      Masq    1      0          0         
FWM  00000005 rr 
`

func TestTheTableIsReadFromItsText(t *testing.T) {
	all, more, err := moreOfProc(strings.NewReader(procText), 100)
	if more || err != nil {
		t.Fatal(err)
	}
	var got []string
	for k, reals := range all {
		for addr, s := range reals {
			got = append(got, fmt.Sprintf("%s %s weight %d foreign %v active %d inactive %d", k, addr, s.Weight, s.Foreign, s.ActiveConnections, s.InactiveConnections))
		}
	}
	slices.Sort(got)
	want := []string{
		"mark 0x50000002 IPv4 10.1.0.1:80 weight 1 foreign false active 0 inactive 0",
		"mark 0x50000002 IPv6 [fd00::1]:80 weight 1 foreign false active 0 inactive 0",
		"tcp 10.96.0.1:443 10.1.0.1:6443 weight 0 foreign false active 0 inactive 12",
		"tcp 10.96.0.1:443 10.1.0.2:443 weight 7 foreign true active 3 inactive 0",
		"udp [fd00:96::1]:53 [fd00::3]:53 weight 65535 foreign false active 0 inactive 0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestATextThatMakesNoSenseIsAnError(t *testing.T) {
	for _, text := range []string{
		"TCP  0A600001 rr", "TCP  0A6000:01BB rr", "TCP  0A600001:1ZZ rr", "FWM  xyz rr", "UDP  [fd00::g]:0035 rr",
		"TCP  0A600001:01BB rr\n  -> 0A010002:01BB Masq 7 3",
		"TCP  0A600001:01BB rr\n  -> 0A010002:01BB Masq 7 many 0",
		"TCP  0A600001:01BB rr\n  -> nowhere Masq 7 3 0",
	} {
		if all, _, err := moreOfProc(strings.NewReader(text), 100); err == nil {
			t.Errorf("%q is read as %v", text, all)
		}
	}
}

// pages gives a text in pieces, as the kernel does, and one as large as the buffer that is cut.
type pages []string

func (p *pages) Read(buffer []byte) (int, error) {
	if len(*p) == 0 {
		return 0, io.EOF
	}
	n := copy(buffer, (*p)[0])
	if (*p)[0] = (*p)[0][n:]; (*p)[0] == "" {
		*p = (*p)[1:]
	}
	return n, nil
}

func TestTheTextIsReadPieceByPiece(t *testing.T) {
	var wide strings.Builder
	wide.WriteString("TCP  0A600001:01BB rr\n")
	for i := range 4000 {
		fmt.Fprintf(&wide, "  -> 0A01%04X:192B      Masq    1      0          0         \n", i)
	}
	in := &pages{
		"TCP  0A600002:0050 rr\n  -> 0A010001:0050      Masq    1      0          0         \nTCP  0A600003:0050 rr\n",
		wide.String(),
		"UDP  0A600004:0050 rr\n", "UDP  0A600005:0050 rr\n", "UDP  0A600006:0050 rr\n",
	}
	for i, want := range []struct {
		servers, reals int
		more           bool
	}{{2, 1, true}, {1, 4000, true}, {2, 0, true}, {1, 0, false}} {
		limit := []int{1, 1, 2, 100}[i]
		all, more, err := moreOfProc(in, limit)
		n := 0
		for _, reals := range all {
			n += len(reals)
		}
		if len(all) != want.servers || n != want.reals || more != want.more || err != nil {
			t.Errorf("read %d: %d virtual servers, %d real servers, more %v, %v; want %+v", i, len(all), n, more, err, want)
		}
	}
}

func FuzzReadProc(f *testing.F) {
	f.Add(procText)
	f.Fuzz(func(t *testing.T, text string) {
		all, _, _ := moreOfProc(strings.NewReader(text), 100)
		for k, reals := range all {
			for addr := range reals {
				if !addr.IsValid() || k.Mark != 0 && addr.Addr().Is4() != k.Addr.Addr().Is4() {
					t.Errorf("%s has %s", k, addr)
				}
			}
		}
	})
}

// TestWhatIsNotShownIsNotGone: those that one read of everything leaves out are read by themselves.
func TestWhatIsNotShownIsNotGone(t *testing.T) {
	const servers = 100
	fake := NewFake()
	fake.Hidden = func(k Key) bool { return k.Addr.Port()%3 == 0 }
	table := NewTable(fake, 0)
	for i := range servers {
		table.Set(Key{Addr: netip.AddrPortFrom(netip.MustParseAddr("10.96.0.10"), uint16(i+1)), Protocol: TCP}, VirtualServer{Scheduler: "rr"},
			Reals{{netip.MustParseAddrPort("10.1.0.1:80"), RealServer{Weight: 1}}})
	}
	if err := table.Upsert(always); err != nil {
		t.Fatal(err)
	}
	for _, table := range []*Table{table, NewTable(fake, 0)} { // one that knew, and one that starts
		before := fake.Messages
		drift, err := table.Resync(always)
		if drift != 0 || err != nil || len(table.servers) != servers {
			t.Errorf("drift %d, %d known, %v", drift, len(table.servers), err)
		}
		for k := range table.servers {
			if len(table.servers[k].thereReals) != 1 {
				t.Errorf("%s lost its real server", k)
			}
		}
		if got, want := fake.Messages-before, 2+servers/3; got != want {
			t.Errorf("%d reads, want %d", got, want)
		}
	}
}

// TestOneReadForMany: from some number of virtual servers on, they are not read one by one.
func TestOneReadForMany(t *testing.T) {
	for servers, want := range map[int]int{1: 1, manyServers - 1: manyServers - 1, manyServers: 1, 5000: 1} {
		fake := NewFake()
		table := NewTable(fake, 0)
		for i := range servers {
			addr := netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)})
			table.Set(Key{Addr: netip.AddrPortFrom(addr, 80), Protocol: TCP}, VirtualServer{Scheduler: "rr"},
				Reals{{netip.MustParseAddrPort("10.1.0.1:80"), RealServer{Weight: 1}}})
		}
		if err := table.Upsert(always); err != nil {
			t.Fatal(err)
		}
		if _, err := table.ResyncServers(always); err != nil {
			t.Fatal(err)
		}
		before := fake.Messages
		drift, err := table.ResyncReals(servers)
		if got := fake.Messages - before; got != want || drift != 0 || err != nil {
			t.Errorf("%d virtual servers: %d reads, want %d; drift %d, %v", servers, got, want, drift, err)
		}
	}
}
