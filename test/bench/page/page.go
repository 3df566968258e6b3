// Package page turns a result into what docs/benchmarks.md says: the text between its markers, and the figures. It reads
// nothing but the result. What it has no sample for, it does not mention, or calls not measured.
package page

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/test/bench/result"
)

// Update returns the page with the text between each pair of markers made anew:
//
//	<!-- bench:NAME -->
//	<!-- /bench -->
//
// A marker with a name that nothing is known about is an error.
func Update(text string, r result.Result, file string) (string, error) {
	var unknown error
	out := marker.ReplaceAllStringFunc(text, func(found string) string {
		name := marker.FindStringSubmatch(found)[1]
		section, ok := sections[name]
		switch {
		case name == "setup":
			section = func(r result.Result) string { return setup(r, file) }
		case !ok:
			unknown = fmt.Errorf("the page has a marker %q, which means nothing", name)
			return found
		}
		return fmt.Sprintf("<!-- bench:%s -->\n%s<!-- /bench -->", name, section(r))
	})
	return out, unknown
}

var marker = regexp.MustCompile(`(?s)<!-- bench:([a-z-]+) -->\n.*?<!-- /bench -->`)

// order is how subjects stand in tables and figures.
var order = []string{"floor", "fairlead-route", "fairlead-address", "kube-proxy-ipvs", "kube-proxy-nftables", "kube-proxy-iptables"}

const (
	floor    = "floor"
	ours     = "fairlead-route"
	ipvsPeer = "kube-proxy-ipvs"
)

var peers = []string{"kube-proxy-ipvs", "kube-proxy-nftables", "kube-proxy-iptables"}

// value is a quantile of samples, as far as it is known.
type value struct {
	v    float64
	more bool // it is more than v
	ok   bool // there is one
}

func quantile(r result.Result, row, subject string, services int, metric string, q float64) value {
	v, more, ok := r.Of(row, subject, services, metric).Quantile(q)
	return value{v, more, ok}
}

func median(r result.Result, row, subject string, services int, metric string) value {
	return quantile(r, row, subject, services, metric, 0.5)
}

// String is the value with three significant digits.
func (v value) String() string {
	switch {
	case !v.ok:
		return "-"
	case v.more:
		return "> " + number(v.v)
	}
	return number(v.v)
}

// number writes three significant digits, and no power of ten. Negative zero is zero.
func number(v float64) string {
	if v == 0 {
		return "0"
	}
	digits := max(0, 2-int(math.Floor(math.Log10(math.Abs(v)))))
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	whole, rest, _ := strings.Cut(text, ".")
	if n, err := strconv.Atoi(whole); err == nil && rest == "" {
		return thousands(n)
	}
	return text
}

// thousands writes 50000 as 50,000.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// grid is a table in Markdown. The first row is its head.
func grid(rows [][]string) string {
	var b strings.Builder
	for i, row := range rows {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			b.WriteString("|" + strings.Repeat("---|", len(row)) + "\n")
		}
	}
	return b.String()
}

// known returns those of the subjects in the page's order that have a sample.
func known(r result.Result, row, metric string) []string {
	have := r.Subjects(row, metric)
	return slices.DeleteFunc(slices.Clone(order), func(name string) bool { return !slices.Contains(have, name) })
}

// setup says what was measured, on what, and when.
func setup(r result.Result, file string) string {
	s := r.Setup
	var b strings.Builder
	if s.Quick {
		b.WriteString("**This is a quick run, made to try the tools. Its numbers say nothing.**\n\n")
	}
	processor := fmt.Sprintf("%d x %s", s.CPUs, s.Processor)
	if s.Emulated {
		processor += ", emulated"
	}
	rows := [][]string{
		{"what", "value"},
		{"date", s.Date.Format(time.DateOnly)},
		{"Fairlead", s.Commit},
		{"kernel", s.Kernel},
		{"processor, as the kernel sees it", processor},
	}
	for _, name := range []string{"kube-proxy", "kube-apiserver", "etcd"} {
		if v, ok := s.Versions[name]; ok {
			rows = append(rows, []string{name, v})
		}
	}
	rows = append(rows, []string{"endpoints of a Service", strconv.Itoa(s.Endpoints)})
	if slow, ok := slowness(r); ok {
		rows = append(rows, []string{"the same piece of work takes", number(slow) + " times as long there as on the host"})
	}
	for _, l := range s.Load {
		rows = append(rows, []string{fmt.Sprintf("load of the host before %s Services", thousands(l.Services)), l.Average})
	}
	rows = append(rows, []string{"every sample", fmt.Sprintf("[%s](%s)", file, file)})
	b.WriteString(grid(rows))
	return b.String()
}

// slowness is how many times longer a fixed piece of work takes in the VM than on the host. Of several boots the one with
// the least counts: somebody else's work on the host makes it more, and estimates of native time too good.
func slowness(r result.Result) (float64, bool) {
	host := median(r, "machine", "host", 0, "calibration")
	var vm result.Values
	for _, s := range r.Samples {
		if s.Row == "machine" && s.Subject == "vm" {
			vm = append(vm, s)
		}
	}
	v, _, ok := vm.Quantile(0)
	if !ok || !host.ok || host.v == 0 {
		return 0, false
	}
	return v / host.v, true
}
