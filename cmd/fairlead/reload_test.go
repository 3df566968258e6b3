package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
)

// reloading is a reloader over a file of its own, and what came of it.
type reloading struct {
	*reloader
	t        *testing.T
	log      strings.Builder
	applied  []string // the changed keys of each time
	events   []string
	registry *prometheus.Registry
	refuse   error // what check says
	fail     error // what apply says, of all that changed
}

func startReloading(t *testing.T, text string, flags *pflag.FlagSet, environ ...string) *reloading {
	t.Helper()
	r := &reloading{t: t, registry: prometheus.NewRegistry()}
	from := configOrigin{path: writeFile(t, text), flags: flags, environ: environ}
	cfg, _, err := from.load()
	if err != nil {
		t.Fatal(err)
	}
	r.reloader = &reloader{
		from: from, seen: text, current: cfg, log: slog.New(slog.NewTextHandler(&r.log, nil)),
		check: func(Config, Config) error { return r.refuse },
		apply: func(_ Config, changed []string) ([]string, error) {
			r.applied = append(r.applied, strings.Join(changed, " "))
			if r.fail == nil {
				return nil, nil
			}
			return changed, r.fail
		},
		told: []teller{tellMetrics(r.registry), tellEvent(func(reason, text string) {
			r.events = append(r.events, reason+": "+text)
		})},
	}
	return r
}

// becomes gives the file another content, has it looked at, and returns the log of that.
func (r *reloading) becomes(text string) string {
	r.t.Helper()
	if err := os.WriteFile(r.from.path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return r.looks()
}

func (r *reloading) looks() string {
	r.log.Reset()
	r.applied, r.events = nil, nil
	r.look()
	return r.log.String()
}

func (r *reloading) metrics() string {
	r.t.Helper()
	var lines []string
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			label := m.GetLabel()[0]
			lines = append(lines, fmt.Sprintf("%s{%s=%q} %v", f.GetName(), label.GetName(), label.GetValue(), m.GetCounter().GetValue()+m.GetGauge().GetValue()))
		}
	}
	return strings.Join(lines, "\n")
}

func TestAChangedFileIsTakenOver(t *testing.T) {
	r := startReloading(t, "ipvs: {scheduler: rr}\n", nil)
	r.looks()
	if r.applied != nil || r.log.Len() > 0 {
		t.Errorf("nothing changed, but %q is applied: %s", r.applied, r.log.String())
	}
	log := r.becomes("ipvs: {scheduler: mh, schedulerFlags: [mh-port]}\nclusterCIDR: 10.0.0.0/8\nlogging: {level: debug}\n")
	want := []string{"ipvs.scheduler ipvs.schedulerFlags clusterCIDR logging.level"}
	if diff := cmp.Diff(want, r.applied); diff != "" || r.current.IPVS.Scheduler != "mh" || !strings.Contains(log, want[0]) {
		t.Errorf("in force %+v, log %s (-want +applied):\n%s", r.current.IPVS, log, diff)
	}
	if r.becomes("# only another comment\nipvs: {scheduler: mh, schedulerFlags: [mh-port]}\nclusterCIDR: 10.0.0.0/8\nlogging: {level: debug}\n"); r.applied != nil {
		t.Errorf("a comment changed, and %q is applied", r.applied)
	}
}

func TestAWrongFileIsRefusedAsAWhole(t *testing.T) {
	r := startReloading(t, "ipvs: {scheduler: wrr}\n", nil)
	before := r.current
	log := r.becomes("ipvs: {scheduler: best, syncPeriod: 10s}\nclusterCDIR: 10.0.0.0/8\n")
	for _, want := range []string{"key=ipvs.scheduler", `\"best\" is not a kernel scheduler`, "key=clusterCDIR", ":2: "} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in the log:\n%s", want, log)
		}
	}
	if diff := cmp.Diff(before, r.current, netipValues()); diff != "" || r.applied != nil {
		t.Errorf("%q is applied (-before +after):\n%s", r.applied, diff)
	}
	if len(r.events) != 1 || !strings.HasPrefix(r.events[0], "ConfigurationRefused: ") || !strings.Contains(r.events[0], "ipvs.scheduler") || !strings.Contains(r.events[0], "clusterCDIR") {
		t.Errorf("events %q", r.events)
	}
	if got := r.metrics(); !strings.Contains(got, `fairlead_config_error{key="ipvs.scheduler"} 1`) || !strings.Contains(got, `fairlead_config_error{key="clusterCDIR"} 1`) || !strings.Contains(got, `{result="refused"} 1`) {
		t.Errorf("metrics\n%s", got)
	}
	if log := r.looks(); log != "" || r.events != nil {
		t.Errorf("told again: %s", log)
	}
	log = r.becomes("ipvs: {scheduler: wrr}\n")
	if got := r.metrics(); strings.Contains(got, "fairlead_config_error") || !strings.Contains(got, `{result="applied"} 1`) || !strings.Contains(log, "taken over") {
		t.Errorf("good again: %s\n%s", log, got)
	}
}

func TestAFileThatCannotBeTakenChangesNothing(t *testing.T) {
	r := startReloading(t, "ipvs: {scheduler: wrr}\n", nil)
	for _, step := range [][2]string{{"", "the file is empty"}, {"ipvs: [", "not valid YAML"}, {"\n", "the file is empty"}} {
		if log := r.becomes(step[0]); !strings.Contains(log, step[1]) || r.applied != nil {
			t.Errorf("%q: applied %q, log %s", step[0], r.applied, log)
		}
	}
	if err := os.Remove(r.from.path); err != nil {
		t.Fatal(err)
	}
	if log := r.looks(); !strings.Contains(log, "no such file") || len(r.events) != 1 {
		t.Errorf("events %q, log %s", r.events, log)
	}
	r.refuse = problem("", "ipvs.scheduler", "the kernel has no scheduler lc")
	if log := r.becomes("ipvs: {scheduler: lc}\nclusterCIDR: 10.0.0.0/8\n"); !strings.Contains(log, "key=ipvs.scheduler") || r.applied != nil || r.current.IPVS.Scheduler != "wrr" {
		t.Errorf("the node cannot do it, but applied %q, log %s", r.applied, log)
	}
}

// TestWhatTheNodeDoesNotLetHappenIsTold: the file is good and taken over, and a part of it fails. It is not called applied,
// and is tried again with the next change of the file, whatever that is of.
func TestWhatTheNodeDoesNotLetHappenIsTold(t *testing.T) {
	r := startReloading(t, "ipvs: {scheduler: rr}\n", nil)
	var status notes
	r.told = append(r.told, tellNotes(&status))
	r.fail = problem("", "ipvs.strictARP", "set sysctl arp_ignore: read-only file system")
	log := r.becomes("ipvs: {scheduler: rr, strictARP: true}\n")
	if !strings.Contains(log, "key=ipvs.strictARP") || !strings.Contains(log, "read-only") || strings.Contains(log, "taken over") {
		t.Errorf("log %s", log)
	}
	if got := r.metrics(); !strings.Contains(got, `fairlead_config_error{key="ipvs.strictARP"} 1`) || !strings.Contains(got, `{result="incomplete"} 1`) ||
		!strings.Contains(got, `{result="applied"} 0`) || !strings.Contains(got, `{result="refused"} 0`) {
		t.Errorf("metrics\n%s", got)
	}
	if len(r.events) != 1 || !strings.HasPrefix(r.events[0], "ConfigurationIncomplete: ") || !strings.Contains(r.events[0], "there the node stays as it was: ipvs.strictARP: ") {
		t.Errorf("events %q", r.events)
	}
	if list := status.list(); len(list) != 1 || !strings.Contains(list[0], "ipvs.strictARP") {
		t.Errorf("status %q", list)
	}
	r.fail = nil
	log = r.becomes("ipvs: {scheduler: lc, strictARP: true}\n")
	if !slices.Equal(r.applied, []string{"ipvs.scheduler ipvs.strictARP"}) || len(status.list()) > 0 || !strings.Contains(log, "taken over") {
		t.Errorf("applied %q, status %q, log %s", r.applied, status.list(), log)
	}
	if r.becomes("ipvs: {scheduler: rr, strictARP: true}\n"); !slices.Equal(r.applied, []string{"ipvs.scheduler"}) {
		t.Errorf("applied %q: what has succeeded is not tried again", r.applied)
	}
}

// TestAPartThatFailsKeepsNoOtherBack has two parts fail, and one between them take its keys over.
func TestAPartThatFailsKeepsNoOtherBack(t *testing.T) {
	var took []string
	take := func(name string, err error) part {
		return part{[]string{name + "."}, func(context.Context, Config) error {
			took = append(took, name)
			return err
		}}
	}
	parts := []part{take("a", errors.New("no a")), take("b", nil), take("c", errors.New("no c")), take("d", nil)}
	failed, err := takeAll(t.Context(), parts, Config{}, []string{"a.x", "a.y", "b.x", "c.x"})
	if !slices.Equal(took, []string{"a", "b", "c"}) || !slices.Equal(failed, []string{"a.x", "a.y", "c.x"}) || len(problemsIn(err)) != 2 {
		t.Errorf("%q took it, failed %q, %v", took, failed, err)
	}
}

func TestWhatNeedsARestartStaysAsItWas(t *testing.T) {
	r := startReloading(t, "dummyInterface: {bind: address}\n", nil)
	log := r.becomes("dummyInterface: {bind: route}\nclientConnection: {qps: 7}\niptables: {masqueradeBit: 3}\nipvs: {scheduler: lc}\n")
	if !strings.Contains(log, `wait for a restart" keys="clientConnection.qps dummyInterface.bind iptables.masqueradeBit"`) {
		t.Errorf("log %s", log)
	}
	want := defaults(t)
	want.IPVS.Scheduler = "lc"
	if diff := cmp.Diff(want, r.current, netipValues()); diff != "" || !slices.Equal(r.applied, []string{"ipvs.scheduler"}) {
		t.Errorf("applied %q (-want +in force):\n%s", r.applied, diff)
	}
}

// TestRulesBetweenKeysSurviveARestartThatIsPending: were a rule about a key that needs a restart and one
// that does not, keeping the one as it was could make a configuration that is not valid.
func TestRulesBetweenKeysSurviveARestartThatIsPending(t *testing.T) {
	for _, r := range rules() {
		for _, path := range r.keys {
			if keyAt(path).restart != keyAt(r.keys[0]).restart {
				t.Errorf("a rule over %q: not all need a restart, nor do all not", r.keys)
			}
		}
	}
}

func TestEnvironmentAndFlagsGoOnToWin(t *testing.T) {
	flags := pflag.NewFlagSet("run", pflag.ContinueOnError)
	addConfigFlags(flags)
	if err := flags.Parse([]string{"--log-level=error"}); err != nil {
		t.Fatal(err)
	}
	r := startReloading(t, "ipvs: {scheduler: rr}\n", flags, "FAIRLEAD_IPVS_SCHEDULER=wrr")
	r.becomes("ipvs: {scheduler: lc, drainTimeout: 1m}\nlogging: {level: debug}\n")
	if !slices.Equal(r.applied, []string{"ipvs.drainTimeout"}) || r.current.IPVS.Scheduler != "wrr" || r.current.Logging.Level != slog.LevelError {
		t.Errorf("applied %q, in force %+v", r.applied, r.current)
	}
}

func TestAFileOfKubeProxyIsReadAgainToo(t *testing.T) {
	r := startReloading(t, header+"mode: ipvs\n", nil)
	r.becomes(header + "mode: ipvs\nipvs: {scheduler: lc}\n")
	if !slices.Equal(r.applied, []string{"ipvs.scheduler"}) {
		t.Errorf("applied %q", r.applied)
	}
	if log := r.becomes(header + "mode: ipvs\nipvs: {shceduler: lc}\n"); !strings.Contains(log, "key=ipvs.shceduler") {
		t.Errorf("log %s", log)
	}
}

// TestEveryKeyReachesAPart changes each key that needs no restart, and wants a part that takes it over.
func TestEveryKeyReachesAPart(t *testing.T) {
	parts := new(daemon).parts()
	for _, k := range keys() {
		reached := slices.ContainsFunc(parts, func(p part) bool { return len(p.concerned([]string{k.path})) > 0 })
		if !k.restart && !reached {
			t.Errorf("%s: nobody takes a change over", k.path)
		}
	}
}

// TestASchedulerThatTheKernelLacksIsAMistakeOfTheFile asks the kernel only about another one.
func TestASchedulerThatTheKernelLacksIsAMistakeOfTheFile(t *testing.T) {
	var asked []string
	d := &daemon{from: configOrigin{path: "c.yaml"}, name: "node-1", probe: func(scheduler string) error {
		asked = append(asked, scheduler)
		return errors.New("not in this kernel")
	}}
	current := defaults(t)
	if err := d.possible(current, current); err != nil || asked != nil {
		t.Errorf("nothing changed: %v, asked for %q", err, asked)
	}
	next := current
	next.IPVS.Scheduler = "lc"
	if err := d.possible(current, next); keyOf(err) != "ipvs.scheduler" || !slices.Equal(asked, []string{"lc"}) {
		t.Errorf("%v, asked for %q", err, asked)
	}
}

func TestTheTextOfAnEventHasRoom(t *testing.T) {
	var text string
	tellEvent(func(_, s string) { text = s })(outcome{problems: []error{errors.New(strings.Repeat("ä", 5000))}})
	if len(text) > 1024 || !strings.HasSuffix(text, "ä...") {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}
