package main

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/internal/kerneltest"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/plan"
	"github.com/fairlead-lb/fairlead/view"
)

// leftBehind is what a daemon left that does not run any more, beside a virtual server of somebody else's.
func leftBehind(t *testing.T) plan.State {
	t.Helper()
	state := plan.State{IPVS: ipvs.NewFake(), Dummyif: dummyif.NewFake(), Masq: masq.NewFake()}
	vip, real := netip.MustParseAddrPort("10.96.0.10:80"), netip.MustParseAddrPort("10.244.1.5:8080")
	ours := ipvs.Key{Addr: vip, Protocol: ipvs.TCP}
	local := ipvs.MarkKey(0x50000001, false)
	var errs []error
	for _, k := range []ipvs.Key{ours, local, {Addr: netip.MustParseAddrPort("192.0.2.1:443"), Protocol: ipvs.TCP}} {
		errs = append(errs, state.IPVS.Apply([]ipvs.Op{
			{Verb: ipvs.AddServer, Key: k, Server: ipvs.VirtualServer{Scheduler: "rr"}},
			{Verb: ipvs.AddReal, Key: k, Real: real, Value: ipvs.RealServer{Weight: 1}},
		})...)
	}
	_, err := state.Masq.EnsureSets()
	errs = append(errs, err)
	errs = append(errs, state.Masq.Apply([]masq.Op{
		{Entry: masq.Entry{Set: masq.VIPs, Addr: vip.Addr()}},
		{Entry: masq.Entry{Set: masq.Served, Addr: vip.Addr(), Port: 80, Protocol: 6}},
		{Entry: masq.Entry{Set: masq.Local, Addr: vip.Addr(), Port: 80, Protocol: 6}, Mark: 0x50000001},
	})...)
	_, err = state.Dummyif.Ensure()
	errs = append(errs, err)
	errs = append(errs, state.Dummyif.Apply([]dummyif.Op{{Verb: dummyif.Bind, Binding: dummyif.Binding{Addr: vip.Addr()}}})...)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return state
}

// TestKernelView shows, where no daemon answers, what the kernel has, and whose it is.
func TestKernelView(t *testing.T) {
	kernel, err := newKernelView(leftBehind(t))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	s, err := kernel.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Kernel = "RELEASE"
	if err := writeStatus(&text, s); err != nil {
		t.Fatal(err)
	}
	for _, get := range []func(f getFlags) (listing, error){
		func(f getFlags) (listing, error) { return getServices(t.Context(), kernel, f) },
		func(f getFlags) (listing, error) { return getEndpoints(t.Context(), kernel, f) },
		func(f getFlags) (listing, error) { return getAddresses(t.Context(), kernel, f) },
		func(f getFlags) (listing, error) { return getSets(t.Context(), kernel, f) },
	} {
		answer, err := get(getFlags{})
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString("\n")
		table := columns(&text)
		answer.write(table)
		_ = table.Flush()
		if _, err := get(getFlags{Filter: view.Filter{Namespace: "ns"}}); !errors.Is(err, errNoNames) {
			t.Errorf("asked for Services of a namespace: %v", err)
		}
	}
	list, err := kernel.Explain(t.Context(), "10.96.0.10:80")
	if err != nil {
		t.Fatal(err)
	}
	text.WriteString("\n")
	writeExplanation(&text, list[0], s.Now)
	kerneltest.Golden(t, "kernel.txt", text.String())
}

func TestExplainWithoutADaemonIsByAddress(t *testing.T) {
	kernel, err := newKernelView(leftBehind(t))
	if err != nil {
		t.Fatal(err)
	}
	for what, servers := range map[string]int{"10.96.0.10:80": 1, "10.96.0.10": 1, "10.244.1.5:8080": 3, "10.96.0.10:81": 0, "ns/web": 0, "web": 0} {
		list, err := kernel.Explain(t.Context(), what)
		if (err == nil) != (servers > 0) || err == nil && len(list[0].Servers) != servers {
			t.Errorf("%s: %+v, %v", what, list, err)
		}
	}
}

// TestTheKernelIsReadOnlyWhereNoDaemonAnswers, and the answer says so.
func TestTheKernelIsReadOnlyWhereNoDaemonAnswers(t *testing.T) {
	var stderr strings.Builder
	cmd := &cobra.Command{}
	cmd.SetErr(&stderr)
	a := newAsker(cmd, t.TempDir()+"/none")
	a.kernel = func() (view.Source, error) { return newKernelView(leftBehind(t)) }
	s, err := ask(a, func(from view.Source) (view.Status, error) { return from.Status(t.Context()) })
	if err != nil || s.VirtualServers.Total != 3 || !strings.Contains(stderr.String(), "no daemon answers") {
		t.Errorf("%+v, %v, %q", s, err, stderr.String())
	}
	a.kernel = func() (view.Source, error) { return nil, errors.New("not allowed") }
	if _, err := ask(a, func(from view.Source) (view.Status, error) { return from.Status(t.Context()) }); !errors.Is(err, view.ErrNoDaemon) || !strings.Contains(err.Error(), "not allowed") {
		t.Error(err)
	}
}
