package main

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
)

const configYAML = "../../config.yaml"

// TestConfigYAML proves that the file that is shipped is the table of keys.
func TestConfigYAML(t *testing.T) {
	kerneltest.Golden(t, filepath.Join("..", configYAML), defaultsYAML()) // beside testdata, not in it
	config, warnings, err := loadConfig(configYAML, nil, nil)
	if err != nil || warnings != nil {
		t.Fatalf("config.yaml has warnings %q, error %v", warnings, err)
	}
	if diff := cmp.Diff(defaults(t), config, netipValues()); diff != "" {
		t.Errorf("config.yaml is not the defaults (-defaults +config.yaml):\n%s", diff)
	}
}

func TestConfigYAMLReadsWell(t *testing.T) {
	for i, line := range strings.Split(defaultsYAML(), "\n") {
		if len(line) > 80 {
			t.Errorf("line %d is %d wide: %s", i+1, len(line), line)
		}
	}
	sections := sectionComments()
	for _, k := range keys() {
		if k.comment == "" || !strings.HasSuffix(k.comment, ".") {
			t.Errorf("%s: the comment %q is not a sentence", k.path, k.comment)
		}
		if section, _ := splitPath(k.path); section != "" && sections[section] == "" {
			t.Errorf("section %s has no comment", section)
		}
	}
}

// samples holds one value for each key that is not its default, as written in
// the environment, and what else it takes for it to be valid.
func samples() map[string][2]string {
	return map[string][2]string{
		"hostnameOverride":                {"node-a.example"},
		"source.kind":                     {"directory", "FAIRLEAD_SOURCE_DIRECTORY=/m"},
		"source.directory":                {"/manifests", "FAIRLEAD_SOURCE_KIND=directory"},
		"clientConnection.kubeconfig":     {"/etc/kubeconfig"},
		"clientConnection.qps":            {"7.5"},
		"clientConnection.burst":          {"20"},
		"dummyInterface.name":             {"dummy0"},
		"dummyInterface.bind":             {"route"},
		"ipvs.scheduler":                  {"wlc"},
		"ipvs.schedulerFlags":             {"mh-port,mh-fallback", "FAIRLEAD_IPVS_SCHEDULER=mh"},
		"ipvs.syncPeriod":                 {"1m"},
		"ipvs.minSyncPeriod":              {"1s"},
		"ipvs.excludeCIDRs":               {"10.1.0.0/16, fd00::/64"},
		"ipvs.strictARP":                  {"true"},
		"ipvs.tcpTimeout":                 {"15m"},
		"ipvs.tcpFinTimeout":              {"2m"},
		"ipvs.udpTimeout":                 {"5m"},
		"ipvs.drainTimeout":               {"0s"},
		"ipvs.estimation":                 {"off"},
		"ipvs.estimationCPUs":             {"0-3,8"},
		"ipvs.estimationNice":             {"10"},
		"ipvs.fwmarkBase":                 {"0x10000000"},
		"ipvs.fwmarkMask":                 {"0xfff"},
		"externalIPs.allowedCIDRs":        {"192.0.2.0/24"},
		"externalIPs.checkNodes":          {"false"},
		"iptables.masqueradeAll":          {"true"},
		"iptables.masqueradeBit":          {"0"},
		"clusterCIDR":                     {"10.244.0.0/16,fd00:10:244::/56"},
		"detectLocalMode":                 {"NodeCIDR"},
		"detectLocal.bridgeInterface":     {"cni0"},
		"detectLocal.interfaceNamePrefix": {"veth"},
		"nodePortAddresses":               {"primary,192.168.0.0/16"},
		"healthzBindAddress":              {"[::]:10256"},
		"metricsBindAddress":              {""},
		"statusBindAddress":               {"127.0.0.1:10266"},
		"socketPath":                      {"/tmp/f.sock"},
		"metrics.maxVirtualServers":       {"5"},
		"metrics.perEndpoint":             {"true"},
		"conntrack.maxPerCore":            {"0"},
		"conntrack.min":                   {"1000"},
		"conntrack.tcpEstablishedTimeout": {"2h"},
		"conntrack.tcpCloseWaitTimeout":   {"30s"},
		"conntrack.tcpBeLiberal":          {"true"},
		"conntrack.udpTimeout":            {"10s"},
		"conntrack.udpStreamTimeout":      {"60s"},
		"takeover.removeKubeProxy":        {"false"},
		"oomScoreAdj":                     {"-500"},
		"enableProfiling":                 {"true"},
		"logging.format":                  {"json"},
		"logging.level":                   {"debug"},
	}
}

// TestEveryKey sets each key in the environment alone, and in a file alone, and
// wants the same Config of both, which is not the default one.
func TestEveryKey(t *testing.T) {
	all := samples()
	for _, k := range keys() {
		t.Run(k.path, func(t *testing.T) {
			sample, ok := all[k.path]
			if !ok {
				t.Fatal("no sample value in this test")
			}
			var extra []string
			if sample[1] != "" {
				extra = []string{sample[1]}
			}
			base, _ := load(t, "", nil, withoutBroken(extra)...)
			fromEnv, _ := load(t, "", nil, append(extra, k.env()+"="+sample[0])...)
			if cmp.Equal(base, fromEnv, netipValues()) {
				t.Errorf("%s=%s changed nothing", k.env(), sample[0])
			}
			fromFile, _ := load(t, asYAML(k, sample[0]), nil, extra...)
			if diff := cmp.Diff(fromEnv, fromFile, netipValues()); diff != "" {
				t.Errorf("environment and file differ (-env +file):\n%s", diff)
			}
		})
	}
}

// withoutBroken drops settings that are not valid alone.
func withoutBroken(environ []string) []string {
	if _, _, err := loadConfig("", nil, environ); err != nil {
		return nil
	}
	return environ
}

// asYAML writes a file that sets one key.
func asYAML(k key, text string) string {
	value := text
	switch {
	case k.kind.list:
		value = "[" + text + "]"
	case text == "" || text[0] == '[':
		value = strconv.Quote(text)
	}
	section, name := splitPath(k.path)
	if section == "" {
		return name + ": " + value + "\n"
	}
	return section + ":\n  " + name + ": " + value + "\n"
}
