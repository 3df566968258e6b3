package takeover

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

var (
	nat    = Table{NFT, masq.IPv4, "nat"}
	filter = Table{Legacy, masq.IPv4, "filter"}
)

func full(t *testing.T) *Fake {
	t.Helper()
	return &Fake{
		Texts: map[Table]string{nat: read(t, "ipvs-nat.txt"), filter: read(t, "iptables-filter.txt")},
		NFT:   []masq.Family{masq.IPv4, masq.IPv6},
		IPSets: map[string][]Member{
			"KUBE-LOOP-BACK":  nil,
			"KUBE-CLUSTER-IP": {{netip.MustParseAddr("172.30.0.1"), 6, 443}}, "KUBE-NODE-PORT-TCP": {{Port: 30080}},
			"KUBE-IPVS-IPS":                   {{Addr: netip.MustParseAddr("172.30.0.1")}},
			"KUBE-6-CLUSTER-IP":               {{netip.MustParseAddr("fd00::1"), 17, 53}},
			"KUBE-6-LOAD-BALANCER-SOURCE-CID": nil, "FAIRLEAD-SERVED": nil, "KUBE-MINE": nil,
		},
	}
}

func none() error { return nil }

func look(t *testing.T, w *Watch, now time.Time) Report {
	t.Helper()
	r, err := w.Look(now)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEverythingGoesOnceAndTheSetsLast(t *testing.T) {
	kernel := full(t)
	w := NewWatch(New(kernel), none)
	r := look(t, w, time.Unix(0, 0))
	want := []string{"iptables filter (IPv4, legacy)", "iptables nat (IPv4, nft)", "nftables kube-proxy (IPv4)", "nftables kube-proxy (IPv6)", "6 ipsets"}
	if diff := cmp.Diff(want, r.Removed); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(kernel.NFT) > 0 || len(kernel.IPSets) != 2 {
		t.Errorf("left: %v %v", kernel.NFT, kernel.IPSets)
	}
	for table, text := range kernel.Texts {
		if again, _ := removal(table.Name, text, everything); again != "" {
			t.Errorf("left in %s:\n%s", table, again)
		}
	}
	kernel.Restored = nil
	for i, wait := range []time.Duration{period, 2 * period, 4 * period, 8 * period, seldom} {
		if r := look(t, w, time.Unix(1, 0)); r.Removed != nil || r.Back || r.Next != wait {
			t.Errorf("look %d: %+v, want to wait %s", i, r, wait)
		}
	}
	if kernel.Restored != nil {
		t.Errorf("written again: %v", kernel.Restored)
	}
}

func TestAKubeProxyThatRunsIsLeftAloneUntilItIsGone(t *testing.T) {
	kernel := full(t)
	kernel.Running = []Process{{42, "kube-proxy"}}
	w := NewWatch(New(kernel), none)
	for range 3 {
		if r := look(t, w, time.Unix(0, 0)); !slices.Equal(r.Running, kernel.Running) || r.Removed != nil || r.Next != running {
			t.Fatalf("%+v", r)
		}
	}
	if kernel.Restored != nil {
		t.Fatalf("written: %v", kernel.Restored)
	}
	kernel.Running = nil
	if r := look(t, w, time.Unix(1, 0)); r.Removed == nil {
		t.Errorf("%+v", r)
	}
}

func TestWhatComesBackIsLetBeEverLonger(t *testing.T) {
	kernel := full(t)
	w := NewWatch(New(kernel), none)
	now := time.Unix(0, 0)
	look(t, w, now)
	var removals []time.Duration
	for range 200 {
		kernel.NFT = []masq.Family{masq.IPv4} // by a kube-proxy that nobody sees
		r := look(t, w, now)
		if r.Removed != nil {
			removals = append(removals, now.Sub(time.Unix(0, 0)))
		} else if !r.Back {
			t.Fatalf("not noticed: %+v", r)
		}
		now = now.Add(r.Next)
	}
	want := []time.Duration{time.Minute, 3*time.Minute + 30*time.Second, 8 * time.Minute}
	if len(removals) < 3 || !slices.Equal(removals[:3], want) {
		t.Errorf("removed again after %v, want %v", removals, want)
	}
	kernel.NFT = nil
	if r := look(t, w, now); r.Back || r.Removed != nil {
		t.Errorf("when it is gone: %+v", r)
	}
}

// TestAFailureIsTriedAgain lets every kernel call in turn fail once.
func TestAFailureIsTriedAgain(t *testing.T) {
	var calls []string
	kernel := full(t)
	kernel.Fail = func(call string) error { calls = append(calls, call); return nil }
	look(t, NewWatch(New(kernel), none), time.Unix(0, 0))
	for i, broken := range calls {
		kernel, n := full(t), -1
		kernel.Fail = func(string) error {
			if n++; n == i {
				return errors.New("broken")
			}
			return nil
		}
		w := NewWatch(New(kernel), none)
		var failed bool
		for look := range 4 {
			r, err := w.Look(time.Unix(int64(look), 0))
			failed = failed || err != nil && strings.Contains(err.Error(), "broken")
			if r.Back {
				t.Errorf("%s: what was left is taken for something that came back", broken)
			}
		}
		if !failed {
			t.Errorf("%s: no error", broken)
		}
		if len(kernel.NFT) > 0 || len(kernel.IPSets) != 2 {
			t.Errorf("after %s failed once: %v %v", broken, kernel.NFT, kernel.IPSets)
		}
	}
}

func TestNothingGoesBeforeWhatIsAdopted(t *testing.T) {
	kernel := full(t)
	adopted := false
	w := NewWatch(New(kernel), func() error {
		if adopted {
			return nil
		}
		adopted = true
		return errors.New("not yet")
	})
	if _, err := w.Look(time.Unix(0, 0)); err == nil || kernel.Restored != nil {
		t.Errorf("%v, %v", err, kernel.Restored)
	}
	if r := look(t, w, time.Unix(1, 0)); r.Removed == nil {
		t.Errorf("%+v", r)
	}
}

func TestOnlyWhatTheSetsNameIsAdopted(t *testing.T) {
	host := []netip.Addr{netip.MustParseAddr("192.168.77.10")}
	key := func(addr string, p ipvs.Protocol) ipvs.Key {
		return ipvs.Key{Addr: netip.MustParseAddrPort(addr), Protocol: p}
	}
	servers := []ipvs.Key{
		key("172.30.0.1:443", ipvs.TCP), key("172.30.0.1:443", ipvs.UDP), key("172.30.0.1:444", ipvs.TCP),
		key("192.168.77.10:30080", ipvs.TCP), key("192.168.77.99:30080", ipvs.TCP), key("[fd00::1]:53", ipvs.UDP), ipvs.MarkKey(5, false),
	}
	bound := []netip.Addr{netip.MustParseAddr("172.30.0.1"), netip.MustParseAddr("10.1.1.1")}
	entries, err := New(full(t)).Adoptable(servers, bound, host)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.String())
	}
	want := []string{"add FAIRLEAD-VIP 172.30.0.1", "add FAIRLEAD-SERVED 172.30.0.1,tcp:443", "add FAIRLEAD-SERVED 192.168.77.10,tcp:30080", "add FAIRLEAD-6-SERVED fd00::1,udp:53"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
