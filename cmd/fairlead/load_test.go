package main

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"
)

// comparable values of net/netip have unexported fields.
func netipValues() cmp.Option { return cmpopts.EquateComparable(netip.Prefix{}, netip.AddrPort{}) }

// load loads text as a file named config.yaml, and fails the test on an error.
func load(t *testing.T, text string, flags *pflag.FlagSet, environ ...string) (Config, []string) {
	t.Helper()
	config, warnings, err := mergeConfig("config.yaml", []byte(text), flags, environ)
	if err != nil {
		t.Fatalf("loading:\n%v", err)
	}
	return config, warnings
}

func defaults(t *testing.T) Config {
	t.Helper()
	config, warnings, err := loadConfig("", nil, nil)
	if err != nil || warnings != nil {
		t.Fatalf("the defaults have warnings %q, error %v", warnings, err)
	}
	return config
}

func TestDefaults(t *testing.T) {
	want := Config{
		Source:             SourceConfig{Kind: "kubernetes"},
		ClientConnection:   ClientConnectionConfig{QPS: 5, Burst: 10},
		DummyInterface:     DummyInterfaceConfig{Name: "kube-ipvs0", Bind: "address"},
		IPTables:           IPTablesConfig{MasqueradeBit: 14},
		DetectLocalMode:    "ClusterCIDR",
		HealthzBindAddress: netip.MustParseAddrPort("0.0.0.0:10256"),
		MetricsBindAddress: netip.MustParseAddrPort("127.0.0.1:10249"),
		Metrics:            MetricsConfig{MaxVirtualServers: 2000},
		SocketPath:         defaultSocket,
		Takeover:           TakeoverConfig{RemoveKubeProxy: true},
		OOMScoreAdj:        -999,
		ExternalIPs:        ExternalIPsConfig{CheckNodes: true},
		Logging:            LoggingConfig{Format: "text", Level: slog.LevelInfo},
		IPVS: IPVSConfig{
			Scheduler: "rr", SyncPeriod: 30 * time.Second, DrainTimeout: 15 * time.Minute, Estimation: "auto",
			FWMarkBase: 0x50000000, FWMarkMask: 0x0ff0307f,
		},
		Conntrack: ConntrackConfig{
			MaxPerCore: 32768, Min: 131072, TCPEstablishedTimeout: 24 * time.Hour, TCPCloseWaitTimeout: time.Hour,
		},
	}
	if diff := cmp.Diff(want, defaults(t), netipValues()); diff != "" {
		t.Errorf("built-in defaults (-want +got):\n%s", diff)
	}
}

func TestPrecedence(t *testing.T) {
	flags := func(args ...string) *pflag.FlagSet {
		set := pflag.NewFlagSet("run", pflag.ContinueOnError)
		addConfigFlags(set)
		if err := set.Parse(args); err != nil {
			t.Fatal(err)
		}
		return set
	}
	const file = "logging: {level: warn}\nsource: {kind: kubernetes}\n"
	const env = "FAIRLEAD_LOGGING_LEVEL=error"
	for name, tc := range map[string]struct {
		file  string
		env   []string
		flags *pflag.FlagSet
		want  slog.Level
	}{
		"defaults":              {"", nil, flags(), slog.LevelInfo},
		"file over defaults":    {file, nil, flags(), slog.LevelWarn},
		"environment over file": {file, []string{env}, flags(), slog.LevelError},
		"flag over all":         {file, []string{env}, flags("--log-level=debug"), slog.LevelDebug},
		"no flags at all":       {file, []string{env}, nil, slog.LevelError},
	} {
		t.Run(name, func(t *testing.T) {
			config, _ := load(t, tc.file, tc.flags, tc.env...)
			if config.Logging.Level != tc.want {
				t.Errorf("level %v, want %v", config.Logging.Level, tc.want)
			}
		})
	}

	config, _ := load(t, file, flags("--source-directory=/m", "--kubeconfig=/k", "--hostname-override= Node-A "),
		"FAIRLEAD_SOURCE_KIND=kubernetes")
	want := defaults(t)
	want.Source = SourceConfig{Kind: "directory", Directory: "/m"}
	want.ClientConnection.Kubeconfig = "/k"
	want.HostnameOverride = "node-a"
	want.Logging.Level = slog.LevelWarn
	if diff := cmp.Diff(want, config, netipValues()); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}
}

// TestValues holds values that one may doubt, and what becomes of them.
func TestValues(t *testing.T) {
	config, _ := load(t, `
hostnameOverride: "  NODE-1.Example.COM "
clusterCIDR: "10.244.1.2/16, fd00::1/56"
ipvs: {syncPeriod: 1h30m, minSyncPeriod: 0, estimation: on, estimationCPUs: "4,0,1,2-3,4,8", excludeCIDRs: [10.0.0.1/8]}
iptables: {masqueradeBit: 31, masqueradeAll: True}
healthzBindAddress: ""
detectLocal: ~
conntrack: {min: null, maxPerCore: }
logging:
`, nil)
	want := defaults(t)
	want.HostnameOverride = "node-1.example.com"
	want.ClusterCIDR = []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00::/56")}
	want.IPVS.SyncPeriod = 90 * time.Minute
	want.IPVS.Estimation = "on"
	want.IPVS.EstimationCPUs = "0-4,8" // as the kernel says it
	want.IPVS.ExcludeCIDRs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	want.IPTables = IPTablesConfig{MasqueradeAll: true, MasqueradeBit: 31}
	want.HealthzBindAddress = netip.AddrPort{}
	if diff := cmp.Diff(want, config, netipValues()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEmptyFilesAreTheDefaults(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "---\n...\n", "null\n", "~", "{}", "\ufeff", "\r\n", "---\n---\n"} {
		config, warnings := load(t, text, nil)
		if diff := cmp.Diff(defaults(t), config, netipValues()); diff != "" || warnings != nil {
			t.Errorf("%q: warnings %q (-defaults +got):\n%s", text, warnings, diff)
		}
	}
}

func TestAliases(t *testing.T) {
	config, _ := load(t, "ipvs: {tcpTimeout: &t 15m, udpTimeout: *t, excludeCIDRs: &l [10.0.0.0/8]}\n", nil)
	if config.IPVS.UDPTimeout != 15*time.Minute {
		t.Errorf("udpTimeout by alias is %v", config.IPVS.UDPTimeout)
	}
}

func TestWarnings(t *testing.T) {
	_, warnings := load(t, "source: {directory: /m}\nconntrack: {min: 5, maxPerCore: 32768}\nnodePortAddresses: [primary]\n", nil,
		"FAIRLEAD_IPVS_SHCEDULER=rr", "FAIRLEAD_FOO=1", "FAIRLEAD_IPVS=x", "fairlead_ipvs_scheduler=no", "PATH=/bin",
		"FAIRLEAD_CONNTRACK_UDPTIMEOUT=1s", "FAIRLEAD", "FAIRLEAD_TEST_VM=1", "FAIRLEAD_VM=x", "FAIRLEAD_VM_KERNEL=x", "FAIRLEAD_CACHE_DIR=/c",
		"FAIRLEAD_PORT=tcp://10.0.0.1:80", "FAIRLEAD_PORT_80_TCP_ADDR=10.0.0.1", "FAIRLEAD_SERVICE_HOST=10.0.0.1",
		"FAIRLEAD_SERVICE_PORT=80", "FAIRLEAD_METRICS_SERVICE_PORT_HTTP=80", "FAIRLEAD_METRICS_PORT_10249_TCP=tcp://10.0.0.1:1")
	want := []string{
		`FAIRLEAD_FOO: names no configuration key`,
		`FAIRLEAD_IPVS: names no configuration key`,
		`FAIRLEAD_IPVS_SHCEDULER: names no configuration key (did you mean FAIRLEAD_IPVS_SCHEDULER?)`,
		`source.directory: "/m" is not read, since source.kind is "kubernetes"`,
	}
	if diff := cmp.Diff(want, warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, make([]byte, maxFileSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "no such file",
		dir:                        "is a directory",
		big:                        "larger than 1024 KiB",
	} {
		_, _, err := loadConfig(path, nil, nil)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}
