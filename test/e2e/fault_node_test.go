//go:build linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/test/lab"
)

func externalAt(ips ...string) edit {
	return func(svc *corev1.Service) { svc.Spec.ExternalIPs = ips }
}

func (s *faultScene) duplicateVIP(f fault) {
	shared := fmt.Sprintf(external4, 250)
	first := s.serve(nil, externalAt(shared))
	first.pods(s.a)
	time.Sleep(1100 * time.Millisecond) // ages are whole seconds
	second := s.serve(nil, externalAt(shared))
	second.pods(s.b)
	s.settle()
	at := net.JoinHostPort(shared, "8080")
	s.soon("the older one has it", func() error { return s.reach(s.outside(), "tcp", at, nil, "a") })
	s.named(f, at, "Service "+nameOfService(first)+": in force", "lost to Service "+nameOfService(first), "Service "+nameOfService(second))
	first.delete()
	s.settle()
	s.soon("the other one has it", func() error { return s.reach(s.outside(), "tcp", at, nil, "b") })
	s.silent(f, at)
}

// missingModule asks for a scheduler whose module somebody keeps from being loaded: a daemon with that configuration does
// not start, and the doctor says why.
func (s *faultScene) missingModule(f fault) {
	t, ok := s.t.(*testing.T)
	if !ok {
		s.t.Fatal("rows belong to a test")
	}
	blacklist(t, "ip_vs_sed")
	_, _ = s.node.Run(s.t.Context(), "rmmod", "ip_vs_sed") // of another test; usually it is not there
	c := setup{lines: []string{"socketPath: " + s.socket, "ipvs: {scheduler: sed}"}}
	config := writeConfig(s.t, c.fairlead("node1", s.api.kubeconfig)...)
	const words = "the kernel has no such scheduler: sed"
	if out, status := s.fairlead("run", "--config", config); status != 1 || !strings.Contains(out, words) {
		s.t.Errorf("fairlead run: exit status %d, and\n%s", status, out)
	}
	if err := s.saysBy(f, "", config, "problem  modules", "install ip_vs_sed /bin/false"); err != nil {
		s.t.Error(err)
	}
	v := s.serve(nil, annotate(schedulerKey, "sed"))
	v.pods(s.a)
	s.settle()
	if out, status := s.fairlead("explain", nameOfService(v)); status != 0 || !strings.Contains(out, words) {
		s.t.Errorf("explain: exit status %d, and\n%s", status, out)
	}
}

// foreignFlush takes everything out of IPVS. Until the next audit connections are refused.
func (s *faultScene) foreignFlush(f fault) {
	v := s.serve(nil)
	v.pods(s.a)
	s.settle()
	before := s.status().Drift.Servers
	var err error
	for range 3 { // an audit may be faster
		_, flushed := s.node.Run(s.t.Context(), "ipvsadm", "-C")
		must(s.t, flushed)
		if err = s.refuses(s.pod(), "tcp", v.at(clusterIP, tcp4)); err == nil {
			break
		}
	}
	if err != nil {
		s.t.Error(err)
	}
	s.within(40*time.Second, "put right by the audit", func() error { return s.reach(s.pod(), "tcp", v.at(clusterIP, tcp4), nil, "a") })
	s.named(f, "")
	if after := s.status().Drift.Servers; after <= before {
		s.t.Errorf("%d servers were changed by somebody else before, %d after", before, after)
	}
}

// kubeProxyRuns starts the daemon beside a process that is called as kube-proxy is.
func (s *faultScene) kubeProxyRuns(f fault) {
	program := filepath.Join(s.t.TempDir(), "kube-proxy")
	must(s.t, os.WriteFile(program, []byte("#!/bin/sh\nsleep 600\nexit\n"), 0o755))
	s.proxy.stop()
	ctx, end := context.WithCancel(s.t.Context())
	defer end()
	cmd := s.node.Command(ctx, program)
	must(s.t, cmd.Start())
	d := start(s.proxy.t, s.node, s.config)
	s.proxy = d
	s.soon("named", func() error { return s.says(f, "", fmt.Sprintf("kube-proxy (process %d)", cmd.Process.Pid)) })
	if out, status := s.fairlead("doctor", "--config", s.config); status != 2 || !strings.Contains(out, "runs on this node, too") {
		s.t.Errorf("doctor: exit status %d, and\n%s", status, out)
	}
	must(s.t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	s.silent(f.known(), "")
}

// conntrackFull leaves no room for one more connection. The limit is the machine's, and counts in each network namespace
// by itself.
func (s *faultScene) conntrackFull(f fault) {
	const file = "/proc/sys/net/netfilter/nf_conntrack_max"
	before, err := os.ReadFile(file)
	must(s.t, err)
	v := s.serve(nil)
	v.pods(s.a)
	s.settle()
	at := v.at(clusterIP, tcp4)
	var held []*lab.Held
	for range 8 {
		h, err := lab.Hold(s.t.Context(), s.caller.Namespace, at)
		must(s.t, err)
		held = append(held, h)
	}
	restore := func() { must(s.t, os.WriteFile(file, before, 0)) }
	defer restore()
	must(s.t, os.WriteFile(file, []byte(strconv.Itoa(len(held)-2)), 0))
	// The kernel makes room by dropping one that is about to end, where it finds one.
	s.soon("no new connections", func() error { return s.drops(s.pod(), "tcp", at) })
	for _, h := range held {
		if err := h.Ping(); err != nil {
			s.t.Errorf("an open connection: %v", err)
		}
	}
	s.named(f, "", "problem  conntrack")
	restore()
	for _, h := range held {
		must(s.t, h.Reset())
	}
	s.soon("new connections", func() error { return s.reach(s.pod(), "tcp", at, nil, "a") })
	s.silent(f.known(), "")
}

// wrongVariant has the other variant of iptables drop what is forwarded, which the rules of Fairlead's cannot help.
func (s *faultScene) wrongVariant(f fault) {
	version, err := s.node.Run(s.t.Context(), "iptables", "--version")
	must(s.t, err)
	other := "iptables-nft"
	if strings.Contains(version, "nf_tables") {
		other = "iptables-legacy"
	}
	policy := func(target string) {
		s.t.Helper()
		_, err := s.node.Run(s.t.Context(), other, "-P", "FORWARD", target)
		must(s.t, err)
	}
	v := s.serve(nil)
	v.pods(s.a)
	s.settle()
	at := v.at(clusterIP, tcp4)
	policy("DROP")
	defer policy("ACCEPT")
	s.soon("no answers", func() error { return s.drops(s.outside(), "tcp", at) })
	s.named(f, "", "problem  forward-policy", "do: "+other+" -P FORWARD ACCEPT")
	policy("ACCEPT")
	s.soon("answers", func() error { return s.reach(s.outside(), "tcp", at, nil, "a") })
	s.silent(f, "")
}

// firewall has the node drop what it does not know, before IPVS and behind it, and does what doctor says against it.
func (s *faultScene) firewall(f fault) {
	v := s.serve(nil)
	v.pods(s.a)
	s.settle()
	iptables := func(args string) {
		s.t.Helper()
		_, err := s.node.Run(context.Background(), "iptables", strings.Fields(args)...) // at the end of a row, too
		must(s.t, err)
	}
	rule := func(spec string) {
		s.t.Helper()
		iptables("-I " + spec)
		s.t.Cleanup(func() { iptables("-D " + spec) })
	}
	for _, chain := range []string{"INPUT", "OUTPUT"} {
		rule(chain + map[string]string{"INPUT": " -i lo", "OUTPUT": " -o lo"}[chain] + " -j ACCEPT")
		rule(chain + " -m conntrack --ctstate ESTABLISHED -j ACCEPT")
		iptables("-P " + chain + " DROP")
		s.t.Cleanup(func() { iptables("-P " + chain + " ACCEPT") })
		s.soon("nothing comes through", func() error { return s.drops(s.outside(), "tcp", v.at(clusterIP, tcp4)) })
		s.named(f, "", "warning  "+strings.ToLower(chain)+"-policy")
		out, _ := s.fairlead("doctor", "--config", s.config)
		do := regexp.MustCompile(`: iptables-\w+ -I (` + chain + ` .* -j ACCEPT)\n`).FindStringSubmatch(out)
		if do == nil {
			s.t.Fatalf("doctor does not tell what to do:\n%s", out)
		}
		rule(do[1])
		s.soon("let through", func() error { return s.reach(s.outside(), "tcp", v.at(clusterIP, tcp4), nil, "a") })
		s.silent(f, "")
	}
}

// apiServerAway ends the node's way to the API server. What is in force stays.
func (s *faultScene) apiServerAway(f fault) {
	v := s.serve(nil)
	v.pods(s.a)
	s.settle()
	must(s.t, s.relay.Close())
	s.soon("noticed", func() error { return s.says(f, "", "Services, EndpointSlices, Nodes", "connection refused") })
	s.reaches(s.pod(), v, clusterIP, nil, "a")
	if out, status := s.fairlead("doctor", "--config", s.config); status != 2 || !strings.Contains(out, "does not answer: ") {
		s.t.Errorf("doctor: exit status %d, and\n%s", status, out)
	}
	connected := func(want string) error {
		metrics, err := s.proxy.get("10249", "/metrics")
		if err == nil && !strings.Contains(metrics, `fairlead_source_connected{kind="Service"} `+want+"\n") {
			err = errors.New("fairlead_source_connected is not " + want)
		}
		return err
	}
	if err := connected("0"); err != nil {
		s.t.Error(err)
	}
	relay, err := lab.Relay(s.api.ctx, s.node.Namespace, "127.0.0.1:"+s.api.port, s.api.host+":"+s.api.port)
	must(s.t, err)
	s.relay = relay // it ends with the node
	s.within(time.Minute, "connected again", func() error { return connected("1") })
	s.silent(f, "")
	v.pods(s.b)
	s.settle()
	s.reaches(s.pod(), v, clusterIP, nil, "b")
}

// stuckDrain keeps a connection open to an endpoint that is gone.
func (s *faultScene) stuckDrain(f fault) {
	v := s.serve(nil)
	v.pods(s.a)
	s.settle()
	at := v.at(clusterIP, tcp4)
	held, err := lab.Hold(s.t.Context(), s.caller.Namespace, at)
	must(s.t, err)
	v.pods(s.b)
	s.settle()
	s.named(f, "", "tcp "+at, s.a.Addr4().String()+":8080")
	if out, _ := s.fairlead("status"); !strings.Contains(out, "removed, with open connections, gone by ") || !strings.Contains(out, "at the latest: fairlead get endpoints --state draining") {
		s.t.Errorf("status does not tell of the drain:\n%s", out)
	}
	if err := held.Ping(); err != nil {
		s.t.Errorf("the open connection: %v", err)
	}
	must(s.t, held.Reset())
	s.within(time.Minute, "drained", func() error {
		if out, _ := s.fairlead(strings.Fields(f.command)[1:]...); strings.Contains(out, at) {
			return errors.New(out)
		}
		return nil
	})
}
