package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

func TestBars(t *testing.T) {
	got := bars([]bar{{"172.17.0.2", 300}, {"a", 1}, {"b", 0}})
	want := "172.17.0.2  " + strings.Repeat("#", barWidth) + "  300\n" +
		"a           #" + strings.Repeat(" ", barWidth-1) + "  1\n" +
		"b           " + strings.Repeat(" ", barWidth) + "  0"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := bars([]bar{{"nobody", 0}}); !strings.HasSuffix(got, " 0") {
		t.Errorf("no answers at all: %q", got)
	}
}

func TestGrid(t *testing.T) {
	got := grid([][]string{{"A", "LONG HEAD"}, {"first", "1"}, {"short"}})
	want := "A      LONG HEAD\n-----  ---------\nfirst  1\nshort"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		seconds(120 * time.Millisecond):  "120 ms",
		seconds(2340 * time.Millisecond): "2.3 s",
		thousands(7):                     "7",
		thousands(1001):                  "1,001",
		thousands(1234567):               "1,234,567",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestManyServices is about what the kernel and the claims depend on: unique VIPs in the announced range.
func TestManyServices(t *testing.T) {
	all := manyServices(many)
	within := netip.MustParsePrefix("172.30.100.0/22")
	seen := make(map[netip.Addr]bool)
	for _, s := range all {
		if !within.Contains(s.vip) || seen[s.vip] || !slices.Contains(endpoints, s.endpoint) {
			t.Errorf("%+v", s)
		}
		seen[s.vip] = true
	}
	documents := strings.Split(manifestOf(all), "---\n")[1:]
	if len(all) != many || len(documents) != 2*many {
		t.Fatalf("%d Services in %d documents", len(all), len(documents))
	}
	for i, document := range documents {
		var object struct{ Kind string }
		err := yaml.UnmarshalStrict([]byte(document), &map[string]any{})
		if err = errors.Join(err, yaml.Unmarshal([]byte(document), &object)); err != nil {
			t.Fatalf("document %d: %v\n%s", i+1, err, document)
		}
		if want := []string{"Service", "EndpointSlice"}[i%2]; object.Kind != want {
			t.Fatalf("document %d is a %s, want a %s", i+1, object.Kind, want)
		}
	}
}

// TestFiles holds the manifests against the scenario in the program.
func TestFiles(t *testing.T) {
	for name, want := range map[string][]string{
		"manifests/endpoints.yaml":     endpoints[:1],
		"changes/three-endpoints.yaml": endpoints,
		"changes/two-endpoints.yaml":   endpoints[:2],
	} {
		data, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var slice struct {
			Endpoints []struct{ Addresses []string }
		}
		if err := yaml.Unmarshal(data, &slice); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range slice.Endpoints {
			got = append(got, e.Addresses...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	data, err := files.ReadFile("manifests/service.yaml")
	if err != nil || !strings.Contains(string(data), "clusterIP: "+vip+"\n") {
		t.Errorf("manifests/service.yaml: no VIP %s (%v)", vip, err)
	}
}

func TestIptablesMode(t *testing.T) {
	if low, high := iptablesMode(1, 3); low != 8 || high != 11 {
		t.Errorf("got %d to %d", low, high)
	}
}

const (
	fromIpvsadm = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  172.30.15.111:8080 rr
  -> 172.17.0.2:8080              Masq    1      0          122
  -> 172.17.0.6:8080              Masq    0      1          121
UDP  172.30.0.10:53 wrr persistent 10800
`
	fromProc = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  AC1E0F6F:1F90 rr
  -> AC110002:1F90      Masq    1      0          122
  -> AC110006:1F90      Masq    0      1          121
UDP  AC1E000A:0035 wrr persistent 10800
`
)

func TestParseTable(t *testing.T) {
	for _, text := range []string{fromIpvsadm, fromProc} {
		table, err := parseTable(text)
		if err != nil {
			t.Fatal(err)
		}
		if len(table) != 2 || table[1].protocol != "UDP" || table[1].addr.String() != "172.30.0.10:53" {
			t.Fatalf("%+v", table)
		}
		v := find(table, service)
		if got, want := fmt.Sprint(v.weights()), "map[172.17.0.2:1 172.17.0.6:0]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		want := [][]string{
			{"TCP 172.30.15.111:8080", "rr", "172.17.0.2:8080", "1", "0", "122"},
			{"", "", "172.17.0.6:8080", "0", "1", "121"},
		}
		if got := v.rows()[1:]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if v.idle() || !table[1].idle() {
			t.Error("idle is wrong")
		}
	}
	if find(nil, service).weights() == nil || len(find(nil, service).rows()) != 2 {
		t.Error("an absent virtual server is not handled")
	}
	if _, err := parseTable("TCP  nonsense rr\n"); err == nil {
		t.Error("nonsense is accepted")
	}
}

func TestReport(t *testing.T) {
	var out bytes.Buffer
	r := &report{out: &out, steps: 2}
	r.title("First")
	r.check(nil, "%d is %d", 1, 1)
	if r.finish() != 0 || !strings.HasSuffix(out.String(), "demo: all 1 checks passed\n") {
		t.Errorf("got %s", out.String())
	}
	out.Reset()
	r.title("Second")
	r.check(unless(false, "saw %d", 3), "it is 2")
	r.fail(errors.New("no more"))
	if r.finish() != 1 {
		t.Error("failures, and status 0")
	}
	for _, want := range []string{
		"2/2  Second", "     FAILED  it is 2: saw 3\n", "demo: 2 of 3 checks failed:\n", "step 2: it is 2: saw 3\n", "step 2: stopped: no more\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("colors without a terminal")
	}
}

func TestFirstDifference(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"x\ny\n", "x\n", `"y" is gone`}, {"x\n", "x\ny\n", `"y" is new`}, {"x\ny\n", "y\nx\n", "the same lines in another order"},
	} {
		if got := firstDifference(c.a, c.b); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}
