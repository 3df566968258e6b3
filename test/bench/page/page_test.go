package page

import (
	"os"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/test/bench/result"
)

// tried is a small result by hand.
func tried() result.Result {
	var r result.Result
	add := func(row, subject string, n int, metric string, v float64, more bool) {
		r.Samples = append(r.Samples, result.Sample{Row: row, Subject: subject, Services: n, Metric: metric, Unit: "s", Value: v, More: more})
	}
	for _, n := range []int{1_000, 5_000, 10_000} {
		add("cold", "floor", n, "programming-route", 2, false)
		add("cold", "fairlead-route", n, "programming", 2.4, false)
		add("cold", "fairlead-route", n, "last", 3, false)
		add("cold", "kube-proxy-ipvs", n, "last", 61, n == 10_000)
		add("cold", "kube-proxy-nftables", n, "last", 4, false)
		add("cold", "kube-proxy-iptables", n, "last", 2.5, false)
	}
	return r
}

func TestTargets(t *testing.T) {
	text := targets(tried())
	for want, why := range map[string]string{
		"| at most 1.25 x floor | ratio 1.2 | met |":   "a ratio within its limit",
		"10,000 ipvs 1/more than 20.3":                 "a peer that met its time limit",
		"10,000 iptables 1/0.833 | **missed** |":       "a peer that is faster",
		"| within 1 s of the informers' sync |  | not": "what there is no sample for",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s: no %q in\n%s", why, want, text)
		}
	}
}

func TestMoreIsNeverWithin(t *testing.T) {
	var v verdict
	v.within("x", value{1, true, true}, 2)
	if !v.missed {
		t.Error("what is more than 1 counts as at most 2")
	}
	v = verdict{}
	v.below("x", value{1, true, true}, value{5, false, true}, 1)
	if !v.missed {
		t.Error("what is more than 1 counts as below 5")
	}
	v = verdict{}
	v.below("x", value{1, false, true}, value{5, true, true}, 1)
	if v.missed {
		t.Error("1 does not count as below what is more than 5")
	}
}

func TestNumber(t *testing.T) {
	for in, want := range map[float64]string{
		0: "0", 0.01234: "0.0123", 1.5: "1.5", 12.345: "12.3", 123.45: "123", 12345: "12,345", 1234567: "1,234,567", -0.5: "-0.5", 1000: "1,000",
	} {
		if got := number(in); got != want {
			t.Errorf("%v is written %s, want %s", in, got, want)
		}
	}
}

func TestUpdate(t *testing.T) {
	const text = "a\n<!-- bench:cold -->\nold\n<!-- /bench -->\nb\n<!-- bench:setup -->\n<!-- /bench -->\n"
	got, err := Update(text, tried(), "results/x.json")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got, "\nold\n") || !strings.HasPrefix(got, "a\n<!-- bench:cold -->\n| Services |") {
		t.Errorf("the page is\n%s", got)
	}
	if again, err := Update(got, tried(), "results/x.json"); err != nil || again != got {
		t.Errorf("a second time it is another page: %v\n%s", err, again)
	}
	if _, err := Update("<!-- bench:nonsense -->\n<!-- /bench -->", tried(), ""); err == nil {
		t.Error("an unknown marker is no error")
	}
}

// TestThePage makes sure that the real page can be made, and that no section is missing in it.
func TestThePage(t *testing.T) {
	text, err := os.ReadFile("../../../docs/benchmarks.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Update(string(text), tried(), ""); err != nil {
		t.Error(err)
	}
	for name := range sections {
		if !strings.Contains(string(text), "<!-- bench:"+name+" -->") {
			t.Errorf("docs/benchmarks.md has no marker %s", name)
		}
	}
}
