package takeover

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/masq"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// without removes the lines that contain one of the words, which are the test's own words for what must go.
func without(text string, words ...string) string {
	var kept []string
	for line := range strings.Lines(text) {
		if !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(line, w) }) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func everything(string) bool { return true }

// removed carries the removal out on a text.
func removed(t *testing.T, table, text string) (after string, stay []string) {
	t.Helper()
	input, stay := removal(table, text, everything)
	after, err := restore(text, input)
	if err != nil {
		t.Fatalf("%v\n%s", err, input)
	}
	return after, stay
}

func TestOtherPeoplesRulesStayByteForByte(t *testing.T) {
	for _, c := range []struct {
		file, table string
		gone        []string
	}{
		{"iptables-nat.txt", "nat", []string{
			"KUBE-EXT-", "KUBE-NODEPORTS", "KUBE-PROXY-CANARY", "KUBE-SEP-", "KUBE-SVC-4QV5CVAXLKPZP2JM",
			":KUBE-SERVICES", `portals" -j KUBE-SERVICES`, "-A KUBE-SERVICES", `postrouting rules" -j`,
			"-A KUBE-MARK-MASQ -j MARK", "-A KUBE-POSTROUTING -m mark", "-A KUBE-POSTROUTING -j MARK", "requiring SNAT",
		}},
		{"iptables-filter.txt", "filter", []string{
			"KUBE-EXTERNAL-SERVICES", "KUBE-FORWARD", "KUBE-NODEPORTS", "KUBE-PROXY-CANARY", "KUBE-PROXY-FIREWALL", "KUBE-SERVICES",
		}},
	} {
		text := read(t, c.file)
		after, stay := removed(t, c.table, text)
		if diff := cmp.Diff(without(text, c.gone...), after); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.file, diff)
		}
		if len(stay) > 0 {
			t.Errorf("%s: stay: %v", c.file, stay)
		}
		if again, _ := removal(c.table, after, everything); again != "" {
			t.Errorf("%s: a second removal writes\n%s", c.file, again)
		}
	}
}

func TestAChainThatSomebodyElseLeadsToIsEmptiedAndStays(t *testing.T) {
	text := read(t, "ipvs-nat.txt")
	after, stay := removed(t, "nat", text)
	want := without(text, "-A KUBE-", ":KUBE-LOAD-BALANCER", ":KUBE-MARK-MASQ", ":KUBE-POSTROUTING", ":KUBE-SERVICES", `" -j KUBE-`)
	if diff := cmp.Diff(want, after); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"nat KUBE-NODE-PORT (PREROUTING -j KUBE-NODE-PORT)"}, stay); diff != "" {
		t.Errorf("stay (-want +got):\n%s", diff)
	}
	if again, _ := removal("nat", after, everything); again != "" {
		t.Errorf("a second removal writes\n%s", again)
	}
}

func TestTheJumpToASharedChainStaysAsLongAsItIsNeeded(t *testing.T) {
	const foreign = "-A KUBE-POSTROUTING -s 10.9.0.0/16 -j MASQUERADE\n"
	text := strings.Replace(read(t, "ipvs-nat.txt"), "COMMIT\n", foreign+"COMMIT\n", 1)
	after, _ := removed(t, "nat", text)
	for _, want := range []string{foreign, `-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING`} {
		if !strings.Contains(after, want) {
			t.Errorf("%q is gone:\n%s", want, after)
		}
	}
	if again, _ := removal("nat", after, everything); again != "" {
		t.Errorf("a second removal writes\n%s", again)
	}
}

func TestNothingOfKubeProxysIsNothingToDo(t *testing.T) {
	text := without(read(t, "iptables-nat.txt"), "KUBE-S", "KUBE-EXT", "KUBE-N", "KUBE-PROXY", "-A KUBE-MARK-MASQ -j", "-A KUBE-POSTROUTING -m mark", "-A KUBE-POSTROUTING -j", "kubernetes ")
	if input, stay := removal("nat", text, everything); input != "" || stay != nil {
		t.Errorf("%s%v", input, stay)
	}
}

func TestWhatIsOnlyKubeProxys(t *testing.T) {
	for name, want := range map[string]bool{
		"KUBE-SERVICES": true, "KUBE-SVC-4QV5CVAXLKPZP2JM": true, "KUBE-SVL-4QV5CVAXLKPZP2JM": true, "KUBE-FW-4QV5CVAXLKPZP2JM": true,
		"KUBE-NODE-PORT": true, "KUBE-IPVS-OUT-FILTER": true, "KUBE-SOURCE-RANGES-FIREWALL": true,
		"KUBE-FIREWALL": false, "KUBE-KUBELET-CANARY": false, "KUBE-MARK-DROP": false, "KUBE-MARK-MASQ": false, "KUBE-POSTROUTING": false,
		"KUBE-SVC-MINE": false, "KUBE-POD-FW-4QV5CVAXLKPZP2JM": false, "KUBE-NWPLCY-4QV5CVAXLKPZP2JM": false, "KUBE-ROUTER-SERVICES": false,
		"KUBE-IPTABLES-HINT": false, "FAIRLEAD-SERVICES": false, "": false,
	} {
		if got := chainOfTheirs(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestNoNewConnectionFailsBetweenTwoSteps is about connections under way: see steps.
func TestNoNewConnectionFailsBetweenTwoSteps(t *testing.T) {
	kernel := &Fake{Texts: map[Table]string{nat: read(t, "iptables-nat.txt"), {NFT, masq.IPv4, "filter"}: read(t, "iptables-filter.txt")}}
	var order []string
	kernel.Fail = func(call string) error {
		if table, is := strings.CutPrefix(call, "restore "); is {
			order = append(order, table)
			filter := kernel.Texts[Table{NFT, masq.IPv4, "filter"}]
			natStands := strings.Contains(kernel.Texts[nat], ":KUBE-SERVICES ")
			if table == nat.String() && strings.Contains(filter, "KUBE-PROXY-FIREWALL") {
				t.Error("nat goes while filter drops what nat has not led on")
			}
			if natStands && !strings.Contains(filter, `forwarding rules" -j KUBE-FORWARD`) {
				t.Error("KUBE-FORWARD has gone while nat leads on")
			}
		}
		return nil
	}
	look(t, NewWatch(New(kernel), none), time.Unix(0, 0))
	if want := []string{"filter (IPv4, nft)", "nat (IPv4, nft)", "filter (IPv4, nft)"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	if text := kernel.Texts[Table{NFT, masq.IPv4, "filter"}]; strings.Contains(text, "KUBE-FORWARD") {
		t.Errorf("left:\n%s", text)
	}
}

// TestASharedChainAloneIsNobodys: a CNI that marks by KUBE-MARK-MASQ may have made it.
func TestASharedChainAloneIsNobodys(t *testing.T) {
	const save = "*nat\n:KUBE-MARK-MASQ - [0:0]\n-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000\nCOMMIT\n"
	all := func(string) bool { return true }
	if input, stay := removal("nat", save, all); input != "" || len(stay) > 0 {
		t.Errorf("would write\n%s and keep %v", input, stay)
	}
	with := "*nat\n:KUBE-SERVICES - [0:0]\n" + save[len("*nat\n"):]
	if input, _ := removal("nat", with, all); !strings.Contains(input, "-X KUBE-MARK-MASQ") {
		t.Errorf("beside KUBE-SERVICES it is kube-proxy's, but this would be written:\n%s", input)
	}
}
