package main

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/doctor"
	"github.com/fairlead-lb/fairlead/internal/kerneltest"
	"github.com/fairlead-lb/fairlead/ipvs"
)

// TestTheDoctorRunsOnAnyMachine looks at the machine that the test runs on, whatever that is and whoever runs it.
func TestTheDoctorRunsOnAnyMachine(t *testing.T) {
	path := writeFile(t, "source: {kind: directory, directory: "+t.TempDir()+"}\nhealthzBindAddress: ''\nsocketPath: ''\n")
	status, stdout, stderr := command("doctor", "--config", path, "-o", "json")
	var got diagnosis
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || stderr != "" {
		t.Fatalf("%v, stderr %q, in\n%s", err, stderr, stdout)
	}
	if problems := got.Counts[doctor.Problem]; status != map[bool]int{true: 2, false: 0}[problems > 0] {
		t.Errorf("status %d with %d problems", status, problems)
	}
	for _, c := range doctor.Checks() {
		if !slices.ContainsFunc(got.Findings, func(f doctor.Finding) bool { return f.Check == c.Name && f.Evidence != "" }) {
			t.Errorf("%s found nothing, not even that it could not look", c.Name)
		}
	}
	if status, stdout, _ = command("doctor", "--config", path); !strings.Contains(stdout, "\nok ") || strings.Contains(stdout, "\x1b") {
		t.Errorf("status %d\n%s", status, stdout)
	}
}

// healthy makes a namespace that nothing is wrong with, and returns the configuration that goes with it.
func healthy(t *testing.T) Config {
	t.Helper()
	kerneltest.Need(t)
	cfg := defaults(t)
	cfg.Source = SourceConfig{Kind: sourceDirectory, Directory: t.TempDir()}
	table, err := ipvs.Open() // loads IPVS
	if err != nil {
		t.Fatal(err)
	}
	kerneltest.CloseAtEnd(t, table)
	for _, s := range settings(cfg) {
		write(t, "/proc/sys/"+s.name, s.value)
	}
	write(t, "/proc/sys/net/ipv6/conf/all/forwarding", "1")
	return cfg
}

func write(t *testing.T, path, value string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
		t.Fatal(err)
	}
}

// diagnose runs the doctor on the test's namespace, and returns what is not good there, by check. Whether a daemon runs
// is another test's.
func diagnose(t *testing.T, cfg Config) map[string]string {
	t.Helper()
	var out strings.Builder
	if err := runDoctor(t.Context(), cfg, true, true, &out); err != nil && !errors.As(err, new(exitStatus)) {
		t.Fatal(err)
	}
	var got diagnosis
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	for _, f := range got.Findings {
		if f.Verdict != doctor.OK && f.Check != "daemon" {
			found[f.Check] += string(f.Verdict) + ": " + f.Evidence + " -> " + f.Do + "\n"
		}
	}
	return found
}

// wantOnly compares with what is to be found: of one check, all of these words, and of no other anything.
func wantOnly(t *testing.T, found map[string]string, check string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(found[check], w) {
			t.Errorf("%s does not say %q: %q", check, w, found[check])
		}
	}
	delete(found, check)
	if len(found) > 0 {
		t.Errorf("found, too: %q", found)
	}
}

func TestTheDoctorFindsNothingWrongOnAHealthyNode(t *testing.T) {
	cfg := healthy(t)
	kerneltest.Run(t, "ipvsadm", "-A", "-t", "10.96.0.10:53", "-s", "rr")
	kerneltest.Run(t, "ipvsadm", "-a", "-t", "10.96.0.10:53", "-r", "10.244.0.2:53", "-m")
	wantOnly(t, diagnose(t, cfg), "ipvs-users", "note: 1 virtual servers are somebody else's", "tcp 10.96.0.10:53")
}

func TestTheDoctorFindsSysctlsThatAreWrong(t *testing.T) {
	cfg := healthy(t)
	kerneltest.Run(t, "ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1")
	write(t, "/proc/sys/net/ipv4/conf/up0/rp_filter", "1")
	wantOnly(t, diagnose(t, cfg), "rp-filter", "warning: rp_filter is strict on up0, and there are 2 ways", "sysctl -w net.ipv4.conf.up0.rp_filter=2")
	kerneltest.Run(t, "sysctl", "-w", "net.ipv4.conf.up0.rp_filter=2") // as it says

	write(t, "/proc/sys/net/ipv4/ip_forward", "0")
	wantOnly(t, diagnose(t, cfg), "forwarding", "warning: net.ipv4.ip_forward = 0", "sysctl -w net.ipv4.ip_forward=1")
	write(t, "/proc/sys/net/ipv4/ip_forward", "1")

	write(t, "/proc/sys/net/ipv4/vs/conn_reuse_mode", "0")
	wantOnly(t, diagnose(t, cfg), "conn-reuse-mode", "warning: net.ipv4.vs.conn_reuse_mode = 0, Linux ", "conn_reuse_mode=1")
	write(t, "/proc/sys/net/ipv4/vs/conn_reuse_mode", "1")

	write(t, "/proc/sys/net/ipv4/vs/conntrack", "0")
	wantOnly(t, diagnose(t, cfg), "sysctls", "note: net.ipv4.vs.conntrack = 0, not 1", "sysctl -w net.ipv4.vs.conntrack=1")
}

func TestTheDoctorFindsAFullConntrackTable(t *testing.T) {
	cfg := healthy(t)
	kerneltest.Run(t, "iptables", "-A", "OUTPUT", "-m", "conntrack", "--ctstate", "NEW", "-j", "ACCEPT") // now it tracks
	conn, err := net.Dial("udp", "10.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	kerneltest.CloseAtEnd(t, conn)
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	before := strings.TrimSpace(kerneltest.Run(t, "cat", "/proc/sys/net/netfilter/nf_conntrack_max"))
	limit := func(value string) { // the machine's: it cannot be written from in here
		t.Helper()
		kerneltest.Run(t, "nsenter", "--target", "1", "--net", "sysctl", "-w", "net.netfilter.nf_conntrack_max="+value)
	}
	t.Cleanup(func() { limit(before) })
	limit("1")
	found := diagnose(t, cfg)
	limit(before)
	wantOnly(t, found, "conntrack", "problem: 1 of at most 1 connections are tracked (100 %)", "sysctl -w net.netfilter.nf_conntrack_max=2")
}

func TestTheDoctorFindsRulesOfTheOtherVariant(t *testing.T) {
	cfg := healthy(t)
	kerneltest.Run(t, "iptables-legacy", "-t", "nat", "-A", "POSTROUTING", "-s", "172.17.0.0/16", "-j", "MASQUERADE")
	kerneltest.Run(t, "iptables-legacy", "-P", "FORWARD", "DROP")
	kerneltest.Run(t, "iptables-nft", "-A", "FORWARD", "-m", "comment", "--comment", "fairlead: here", "-j", "ACCEPT")
	found := diagnose(t, cfg)
	if want := "problem: FORWARD of table filter (IPv4, legacy) drops by default"; !strings.Contains(found["forward-policy"], want) {
		t.Errorf("forward-policy: %q", found["forward-policy"])
	}
	delete(found, "forward-policy")
	wantOnly(t, found, "iptables", "warning: ", "1 rules for IPv4 are in the variant legacy", "iptables-legacy -t nat -F")

	kerneltest.Run(t, "iptables-legacy", "-t", "nat", "-F") // as it says
	kerneltest.Run(t, "iptables-legacy", "-P", "FORWARD", "ACCEPT")
	kerneltest.Run(t, "iptables-legacy", "-A", "INPUT", "-m", "comment", "--comment", "fairlead: there", "-j", "ACCEPT")
	kerneltest.Run(t, "iptables-legacy", "-A", "INPUT", "-i", "theirs0", "-j", "ACCEPT")
	found = diagnose(t, cfg)
	_, remedy, _ := strings.Cut(strings.Split(found["iptables"], "\n")[0], " -> ")
	wantOnly(t, found, "iptables", "problem: 1 of Fairlead's rules for IPv4 are in the variant legacy, too")
	kerneltest.Run(t, "sh", "-c", remedy)
	if left := kerneltest.Run(t, "iptables-legacy-save"); strings.Contains(left, "fairlead") || !strings.Contains(left, "theirs0") {
		t.Errorf("after %s:\n%s", remedy, left)
	}
}

func TestTheDoctorFindsWhatKubeProxyLeft(t *testing.T) {
	cfg := healthy(t)
	kerneltest.Run(t, "iptables", "-t", "nat", "-N", "KUBE-SERVICES")
	kerneltest.Run(t, "iptables", "-t", "nat", "-A", "PREROUTING", "-m", "comment", "--comment", "kubernetes service portals", "-j", "KUBE-SERVICES")
	wantOnly(t, diagnose(t, cfg), "kube-proxy", "warning: kube-proxy's: iptables nat (IPv4, nft); it is in force", "fairlead run")
}

func TestTheDoctorFindsModulesThatAreNotThere(t *testing.T) {
	cfg := healthy(t)
	cfg.IPVS.Scheduler = "nosuch"
	wantOnly(t, diagnose(t, cfg), "modules", "problem: Linux ", "has no ip_vs_nosuch", "set ipvs.scheduler: rr")
}

func TestTheDoctorFindsNoManifests(t *testing.T) {
	cfg := healthy(t)
	cfg.Source.Directory = filepath.Join(cfg.Source.Directory, "gone")
	wantOnly(t, diagnose(t, cfg), "source", "problem: directory ", "no such file or directory", "source.directory")
}
