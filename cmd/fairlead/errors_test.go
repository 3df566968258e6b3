package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// errorCase is a configuration with mistakes, and the messages about them.
type errorCase struct {
	name string
	file string
	env  []string
	want string // one message per line
}

func runErrorCases(t *testing.T, cases []errorCase) {
	t.Helper()
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			config, _, err := mergeConfig("c.yaml", []byte(tc.file), nil, tc.env)
			if err == nil {
				t.Fatalf("no error; got %+v", config)
			}
			if diff := cmp.Diff(strings.TrimSpace(tc.want), err.Error()); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(Config{}, config, netipValues()); diff != "" {
				t.Errorf("a Config along with an error: %s", diff)
			}
		})
	}
}

func TestSpellingErrors(t *testing.T) {
	runErrorCases(t, []errorCase{
		{name: "near key", file: "ipvs: {shceduler: rr}",
			want: `c.yaml:1: ipvs.shceduler: unknown key (did you mean ipvs.scheduler?)`},
		{name: "wrong case", file: "ipvs:\n  excludeCidrs: []\n  strictArp: true\n",
			want: `
c.yaml:2: ipvs.excludeCidrs: unknown key (did you mean ipvs.excludeCIDRs?)
c.yaml:3: ipvs.strictArp: unknown key (did you mean ipvs.strictARP?)`},
		{name: "section", file: "ipsv: {scheduler: nonsense}",
			want: `c.yaml:1: ipsv: unknown key (did you mean ipvs?)`},
		{name: "other section", file: "scheduler: rr",
			want: `c.yaml:1: scheduler: unknown key (did you mean ipvs.scheduler?)`},
		{name: "two other sections", file: "udpTimeout: 1s",
			want: `c.yaml:1: udpTimeout: unknown key (did you mean ipvs.udpTimeout or conntrack.udpTimeout?)`},
		{name: "dotted", file: "ipvs.scheduler: rr",
			want: `c.yaml:1: ipvs.scheduler: unknown key (write it as a section: the part before the dot, then the rest indented below)`},
		{name: "nothing near", file: "\n\"we\\nird\": 1\n\"\": 2\n5: x\n<<: {a: b}\n? [a]\n: 1\n",
			want: `
c.yaml:2: "we\nird": unknown key (known keys: 'fairlead config defaults')
c.yaml:3: "": unknown key (known keys: 'fairlead config defaults')
c.yaml:4: 5: unknown key (known keys: 'fairlead config defaults')
c.yaml:5: <<: unknown key (known keys: 'fairlead config defaults')
c.yaml:6: ?: a list is not a key`},
		{name: "kube-proxy's", file: "apiVersion: v1\nkind: X\nmode: ipvs\niptables: {syncPeriod: 1s}\nwinkernel: {a: b}\n",
			want: `
c.yaml:1: apiVersion: unknown key (kube-proxy has it, Fairlead does not: remove it)
c.yaml:2: kind: unknown key (kube-proxy has it, Fairlead does not: remove it)
c.yaml:3: mode: unknown key (kube-proxy has it, Fairlead does not: remove it)
c.yaml:4: iptables.syncPeriod: unknown key (kube-proxy has it, Fairlead does not: remove it)
c.yaml:5: winkernel: unknown key (kube-proxy has it, Fairlead does not: remove it)`},
		{name: "duplicates", file: "oomScoreAdj: 1\nipvs:\n  scheduler: rr\n  scheduler: rrr\nipvs: {scheduler: wlc}\noomScoreAdj: 1\n",
			want: `
c.yaml:4: ipvs.scheduler: given twice, first on line 3
c.yaml:4: ipvs.scheduler: "rrr" is not a kernel scheduler (rr wrr lc wlc lblc lblcr dh sh mh sed nq fo ovf twos)
c.yaml:5: ipvs: given twice, first on line 2
c.yaml:6: oomScoreAdj: given twice, first on line 1`},
	})
}

func TestTypeErrors(t *testing.T) {
	runErrorCases(t, []errorCase{
		{name: "quotes", file: "hostnameOverride: 12345\nipvs: {strictARP: \"true\", syncPeriod: 30}\nclientConnection: {burst: '5'}\n",
			want: `
c.yaml:1: hostnameOverride: 12345 is not a node name (a DNS-1123 subdomain: letters, digits, - and ., at most 253), or empty; put it in quotes
c.yaml:2: ipvs.strictARP: "true" is not true or false; remove the quotes
c.yaml:2: ipvs.syncPeriod: 30 is not a duration of more than 0s, with a unit (such as 30s or 15m)
c.yaml:3: clientConnection.burst: "5" is not an integer from 0 to 1000000; remove the quotes`},
		{name: "shapes", file: "dummyInterface: kube-ipvs0\nipvs: [rr]\nsource: {kind: [directory], directory: {a: b}}\nnodePortAddresses: 10.0.0.0/8\n",
			want: `
c.yaml:1: dummyInterface: "kube-ipvs0" is not a section (lines of KEY: VALUE, indented below)
c.yaml:2: ipvs: a list is not a section (lines of KEY: VALUE, indented below)
c.yaml:3: source.kind: a list is not kubernetes or directory
c.yaml:3: source.directory: a section is not a path (no control characters)
c.yaml:4: nodePortAddresses: "10.0.0.0/8" is not a list (each item: a CIDR or one of primary, localhost, all)`},
		{name: "items", file: "ipvs:\n  excludeCIDRs:\n  - 10.0.0.0\n  - 10.0.0.0/8\n  - 5\n  -\n  - [a]\n",
			want: `
c.yaml:3: ipvs.excludeCIDRs[0]: "10.0.0.0" is not a CIDR (such as 10.96.0.0/12 or fd00::/108)
c.yaml:5: ipvs.excludeCIDRs[2]: 5 is not a CIDR (such as 10.96.0.0/12 or fd00::/108)
c.yaml:6: ipvs.excludeCIDRs[3]: nothing is not a CIDR (such as 10.96.0.0/12 or fd00::/108)
c.yaml:7: ipvs.excludeCIDRs[4]: a list is not a CIDR (such as 10.96.0.0/12 or fd00::/108)`},
		{name: "numbers", file: "clientConnection: {qps: .nan, burst: 99999999999999999999999}\noomScoreAdj: 1.5\niptables: {masqueradeBit: 0x1f}\nconntrack: {min: 1e3, maxPerCore: -1}\n",
			want: `
c.yaml:1: clientConnection.qps: .nan is not a number from 0 to 1000000
c.yaml:1: clientConnection.burst: 99999999999999999999999 is not an integer from 0 to 1000000
c.yaml:2: oomScoreAdj: 1.5 is not an integer from -1000 to 1000
c.yaml:3: iptables.masqueradeBit: 0x1f is not an integer from 0 to 31
c.yaml:4: conntrack.min: 1e3 is not an integer from 0 to 2147483647
c.yaml:4: conntrack.maxPerCore: -1 is not an integer from 0 to 2147483647`},
		{name: "alias to itself", file: "nodePortAddresses: &a [*a]\nipvs: &b {scheduler: *b}\n",
			want: `
c.yaml:1: nodePortAddresses[0]: a list is not a CIDR or one of primary, localhost, all
c.yaml:2: ipvs.scheduler: a section is not a kernel scheduler (rr wrr lc wlc lblc lblcr dh sh mh sed nq fo ovf twos)`},
	})
}

func TestValueErrors(t *testing.T) {
	long := strings.Repeat("x", 300)
	runErrorCases(t, []errorCase{
		{name: "words", file: "ipvs: {scheduler: rrr, estimation: true}\ndummyInterface: {bind: addr}\ndetectLocalMode: clustercidr\nlogging: {level: warning, format: JSON}\n",
			want: `
c.yaml:1: ipvs.scheduler: "rrr" is not a kernel scheduler (rr wrr lc wlc lblc lblcr dh sh mh sed nq fo ovf twos)
c.yaml:1: ipvs.estimation: true is not on, off or auto
c.yaml:2: dummyInterface.bind: "addr" is not address or route
c.yaml:3: detectLocalMode: "clustercidr" is not ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix
c.yaml:4: logging.level: "warning" is not debug, info, warn or error
c.yaml:4: logging.format: "JSON" is not text or json`},
		{name: "durations", file: "ipvs: {syncPeriod: 0s, minSyncPeriod: -1s, tcpTimeout: 500ms, udpTimeout: 600h, drainTimeout: 99999999999h}\n",
			want: `
c.yaml:1: ipvs.syncPeriod: "0s" is not a duration of more than 0s, with a unit (such as 30s or 15m)
c.yaml:1: ipvs.minSyncPeriod: "-1s" is not a duration of at least 0s, with a unit (such as 30s or 15m)
c.yaml:1: ipvs.tcpTimeout: "500ms" is not a duration in whole seconds from 0s to 596h31m23s
c.yaml:1: ipvs.udpTimeout: "600h" is not a duration in whole seconds from 0s to 596h31m23s
c.yaml:1: ipvs.drainTimeout: "99999999999h" is not a duration of at least 0s, with a unit (such as 30s or 15m)`},
		{name: "addresses", file: "healthzBindAddress: :10256\nmetricsBindAddress: 127.0.0.1:0\nclusterCIDR: 10.0.0.0/8,10.1.0.0/16\nipvs: {excludeCIDRs: [\"::ffff:10.0.0.0/104\"]}\n",
			want: `
c.yaml:1: healthzBindAddress: ":10256" is not IP:PORT (such as 127.0.0.1:10249 or "[::]:10249"; empty disables it)
c.yaml:2: metricsBindAddress: "127.0.0.1:0" is not IP:PORT (such as 127.0.0.1:10249 or "[::]:10249"; empty disables it)
c.yaml:3: clusterCIDR: "10.0.0.0/8,10.1.0.0/16" is not one CIDR, or two of different families (such as 10.0.0.0/8,fd00::/48), or empty
c.yaml:4: ipvs.excludeCIDRs[0]: "::ffff:10.0.0.0/104" is not a CIDR (such as 10.96.0.0/12 or fd00::/108)`},
		{name: "names", file: "hostnameOverride: node_1\ndummyInterface: {name: a/b}\ndetectLocal: {bridgeInterface: sixteen-letters-, interfaceNamePrefix: all}\n",
			want: `
c.yaml:1: hostnameOverride: "node_1" is not a node name (a DNS-1123 subdomain: letters, digits, - and ., at most 253), or empty
c.yaml:2: dummyInterface.name: "a/b" is not a device name (1 to 15 ASCII characters, no space / : %)
c.yaml:3: detectLocal.bridgeInterface: "sixteen-letters-" is not a device name (1 to 15 ASCII characters, no space / : %), or empty
c.yaml:3: detectLocal.interfaceNamePrefix: "all" is not the beginning of device names (1 to 14 ASCII characters, no space / : %), or empty`},
		{name: "a prefix without room for a +", file: "detectLocal: {bridgeInterface: fifteen-letters, interfaceNamePrefix: fifteen-letters}\n", want: `
c.yaml:1: detectLocal.interfaceNamePrefix: "fifteen-letters" is not the beginning of device names (1 to 14 ASCII characters, no space / : %), or empty`},
		{name: "a range of CPUs that runs backward", file: "ipvs: {estimationCPUs: \"0,3-1\"}\n", want: `
c.yaml:1: ipvs.estimationCPUs: "0,3-1" is not a list of CPUs in quotes, such as "0-3,8", each from 0 to 8191 and no range backward, or empty`},
		{name: "a CPU that no kernel has", file: "ipvs: {estimationCPUs: 0-8192}\n", want: `
c.yaml:1: ipvs.estimationCPUs: "0-8192" is not a list of CPUs in quotes, such as "0-3,8", each from 0 to 8191 and no range backward, or empty`},
		{name: "very long", file: "ipvs: {estimation: " + long + "}\n",
			want: `c.yaml:1: ipvs.estimation: "` + long[:80] + `"... is not on, off or auto`},
		{name: "environment", file: "ipvs: {scheduler: rrr}\n",
			env: []string{"FAIRLEAD_IPVS_SCHEDULER=rr", "FAIRLEAD_NODEPORTADDRESSES=all,,any", "FAIRLEAD_IPVS_STRICTARP=", "FAIRLEAD_DUMMYINTERFACE_NAME=\xff\x00"},
			want: `
c.yaml:1: ipvs.scheduler: "rrr" is not a kernel scheduler (rr wrr lc wlc lblc lblcr dh sh mh sed nq fo ovf twos)
FAIRLEAD_DUMMYINTERFACE_NAME: dummyInterface.name: "\xff\x00" is not a device name (1 to 15 ASCII characters, no space / : %)
FAIRLEAD_IPVS_STRICTARP: ipvs.strictARP: "" is not true or false
FAIRLEAD_NODEPORTADDRESSES: nodePortAddresses: "any" is not a CIDR or one of primary, localhost, all`},
	})
}

func TestRuleErrors(t *testing.T) {
	runErrorCases(t, []errorCase{
		{name: "all at once", file: `ipvs:
  scheduler: mh
  schedulerFlags: [sh-port, mh-port, sh-fallback]
  minSyncPeriod: 1m
source: {kind: directory}
detectLocalMode: BridgeInterface
metricsBindAddress: 127.0.0.1:10256
statusBindAddress: "[::1]:10256"
`,
			want: `
c.yaml:5: source.directory: "" is not a directory of manifests, which source.kind directory needs
c.yaml:3: ipvs.schedulerFlags: "sh-port" is a flag of scheduler sh, but ipvs.scheduler is "mh"
c.yaml:3: ipvs.schedulerFlags: "sh-fallback" is a flag of scheduler sh, but ipvs.scheduler is "mh"
c.yaml:4: ipvs.minSyncPeriod: 1m0s is longer than ipvs.syncPeriod (30s)
c.yaml:6: detectLocal.bridgeInterface: "" is not the name of a bridge, which detectLocalMode BridgeInterface needs
c.yaml:7: metricsBindAddress: "127.0.0.1:10256" has the same port as healthzBindAddress ("0.0.0.0:10256")
c.yaml:8: statusBindAddress: "[::1]:10256" has the same port as healthzBindAddress ("0.0.0.0:10256")`},
		{name: "status page", file: "metricsBindAddress: 127.0.0.1:10266\nstatusBindAddress: 127.0.0.1:10266\n",
			want: `c.yaml:2: statusBindAddress: "127.0.0.1:10266" has the same port as metricsBindAddress ("127.0.0.1:10266")`},
		{name: "prefix", file: "detectLocalMode: InterfaceNamePrefix\n",
			want: `c.yaml:1: detectLocal.interfaceNamePrefix: "" is not a prefix of device names, which detectLocalMode InterfaceNamePrefix needs`},
		{name: "not over a misspelled value", file: "ipvs: {scheduler: hm, schedulerFlags: [mh-port]}\n",
			want: `c.yaml:1: ipvs.scheduler: "hm" is not a kernel scheduler (rr wrr lc wlc lblc lblcr dh sh mh sed nq fo ovf twos)`},
		{name: "across layers", file: "ipvs: {minSyncPeriod: 20s}\n", env: []string{"FAIRLEAD_IPVS_SYNCPERIOD=10s"},
			want: `c.yaml:1: ipvs.minSyncPeriod: 20s is longer than ipvs.syncPeriod (10s)`},
	})
}

func TestYAMLErrors(t *testing.T) {
	runErrorCases(t, []errorCase{
		{name: "tab", file: "ipvs:\n\tscheduler: mh\n",
			want: `c.yaml:2: not valid YAML: found character that cannot start any token (line 2 is indented with a tab; YAML wants spaces)`},
		{name: "indent", file: "ipvs:\n  scheduler: rr\n bind: x\n", want: `c.yaml:3: not valid YAML: did not find expected key`},
		{name: "open list", file: "a: [b\nc: d\n", want: `c.yaml:2: not valid YAML: did not find expected ',' or ']'`},
		{name: "open brace", file: "ipvs: {scheduler: rr\n", want: `c.yaml:1: not valid YAML: did not find expected ',' or '}'`},
		{name: "colons", file: "ok: 1\na: b: c\n", want: `c.yaml:2: not valid YAML: mapping values are not allowed in this context`},
		{name: "anchor", file: "ok: 1\na: *x\n", want: `c.yaml:2: not valid YAML: unknown anchor 'x' referenced`},
		{name: "binary", file: "\x7fELF\x02\x01\x01\x00", want: `c.yaml:1: not a text file in UTF-8, so not YAML`},
		{name: "latin-1", file: "ok: 1\nhostnameOverride: M\xfcnchen\n", want: `c.yaml:2: not a text file in UTF-8, so not YAML`},
		{name: "list", file: "- ipvs\n", want: `c.yaml:1: a list is not a configuration (lines of KEY: VALUE)`},
		{name: "word", file: "\nhello\n", want: `c.yaml:2: "hello" is not a configuration (lines of KEY: VALUE)`},
		{name: "two documents", file: "ipvs: {}\n---\nipvs: {}\n", want: `c.yaml:3: a second YAML document; only one is read`},
	})
}

func TestNearest(t *testing.T) {
	words := []string{"scheduler", "bind", "name", "qps", "level"}
	for word, want := range map[string]string{
		"shceduler": "scheduler", "Scheduler": "scheduler", "schedulr": "scheduler", "bnid": "bind", "leve": "level",
		"scheme": "", "": "", "q": "", "zzz": "", "completely-else": "",
	} {
		if got := nearest(word, words); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

// FuzzLoad wants of any file and any value in the environment: no panic, either
// a Config or an error, and an error of whole, printable lines.
func FuzzLoad(f *testing.F) {
	f.Add(defaultsYAML(), "rr")
	f.Add("ipvs: &a [*a]\n", "\x00")
	f.Add(header+"ipvs: {scheduler: rr, excludeCIDRs: [a], syncPeriod: 1s}\nlogging: {verbosity: 5}\n", "rr")
	f.Add("{ipvs: {scheduler: !!binary aGk=, syncPeriod: !!float 1}}", "1,2,,3")
	f.Add("a: &a [x, x]\nb: &b [*a, *a]\n<<: *b\n", " ")
	f.Add("ipvs:\n\t- x\n--- %YAML 1.1\n", "")
	f.Fuzz(func(t *testing.T, file, value string) {
		var environ []string
		for _, k := range keys() {
			environ = append(environ, k.env()+"="+value)
		}
		for _, env := range [][]string{nil, environ} {
			config, _, err := mergeConfig("c.yaml", []byte(file), nil, env)
			if err == nil {
				if config.IPVS.Scheduler == "" || config.IPVS.SyncPeriod <= 0 {
					t.Errorf("an invalid Config and no error: %+v", config)
				}
				continue
			}
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.Contains(line, ": ") {
					t.Errorf("a line of the error says nothing: %q", line)
				}
			}
		}
	})
}
