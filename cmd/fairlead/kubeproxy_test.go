package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kube-proxy/config/v1alpha1"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
)

// kubeProxyFile returns a file of kube-proxy under testdata.
func kubeProxyFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata/kube-proxy", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestConvert converts files as installers write them. What comes out is in the golden files, it is valid,
// and it means what the original means.
func TestConvert(t *testing.T) {
	files, err := filepath.Glob("testdata/kube-proxy/*.conf")
	if err != nil || len(files) < 6 {
		t.Fatalf("%v, files %q", err, files)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			status, converted, stderr := command("config", "convert", path)
			if status != 0 || stderr != "" {
				t.Fatalf("status %d, %s", status, stderr)
			}
			kerneltest.Golden(t, "kube-proxy/"+strings.TrimSuffix(filepath.Base(path), ".conf")+".yaml", converted)
			file := writeFile(t, converted)
			if status, stdout, stderr := command("config", "validate", file); status != 0 || stdout != file+": ok\n" || stderr != "" {
				t.Errorf("status %d, %s%s", status, stdout, stderr)
			}
			original, _, err := loadConfig(path, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(original, first(load(t, converted, nil)), netipValues()); diff != "" {
				t.Errorf("running with it is something else (-original +converted):\n%s", diff)
			}
			if diff := cmp.Diff(defaults(t), original, netipValues()); diff == "" {
				t.Error("nothing of the file takes effect")
			}
		})
	}
}

func first(c Config, _ []string) Config { return c }

func TestConvertWantsAFileOfKubeProxy(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "not kube-proxy's configuration: kind is not KubeProxyConfiguration",
		"ipvs: {scheduler: rr}\n":   "not kube-proxy's configuration: kind is not KubeProxyConfiguration",
		header + "mode: [ipvs]\n":   `3: mode: a list is not a text; put it in quotes`,
		header + "ipvs:\n\tmode: 1": "not valid YAML",
	} {
		path := writeFile(t, text)
		status, stdout, stderr := command("config", "convert", path)
		if status != 1 || stdout != "" || !strings.Contains(stderr, path) || !strings.Contains(stderr, want) {
			t.Errorf("%q: status %d, stdout %q, stderr %q", text, status, stdout, stderr)
		}
	}
	if status, _, stderr := command("config", "convert", ""); status != 1 || !strings.Contains(stderr, `FILE is ""`) {
		t.Errorf("an empty FILE: status %d, stderr %q", status, stderr)
	}
}

// header begins a file of kube-proxy.
const header = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"

// leaves returns the paths of all fields below a type, as in JSON.
func leaves(prefix string, typ reflect.Type) (paths []string) {
	for i := range typ.NumField() {
		field := typ.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		section := field.Type.Kind() == reflect.Struct && field.Type != reflect.TypeFor[metav1.Duration]() &&
			!strings.HasSuffix(name, "flushFrequency") && !strings.HasSuffix(name, "infoBufferSize")
		switch path := joinPath(prefix, name); {
		case field.Type == reflect.TypeFor[metav1.TypeMeta]():
		case name == "": // embedded
			paths = append(paths, leaves(prefix, field.Type)...)
		case section:
			paths = append(paths, leaves(path, field.Type)...)
		default:
			paths = append(paths, path)
		}
	}
	return paths
}

// TestEveryFieldOfKubeProxy holds the table of fields against the types of kube-proxy: a new version cannot
// bring a field that nobody has thought of.
func TestEveryFieldOfKubeProxy(t *testing.T) {
	want := leaves("", reflect.TypeFor[v1alpha1.KubeProxyConfiguration]())
	var got []string
	for _, mode := range []v1alpha1.ProxyMode{"", "ipvs", "iptables", "nftables"} {
		got = nil
		for _, f := range kubeProxyFields(&v1alpha1.KubeProxyConfiguration{Mode: mode}) {
			got = append(got, f.path)
			if (f.key == "") == (f.why == "") {
				t.Errorf("%s: key %q, and %q", f.path, f.key, f.why)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("mode %q (-kube-proxy +table):\n%s", mode, diff)
		}
	}
	root, err := parseYAML("everything.conf", []byte(kubeProxyFile(t, "everything.conf")))
	if err != nil {
		t.Fatal(err)
	}
	r := kubeProxyReader{name: "everything.conf", lines: map[string]int{}}
	r.section(nil, root)
	for _, f := range kubeProxyFields(&r.config) {
		if r.lines[f.path] == 0 && !strings.HasPrefix(f.path, "featureGates") {
			t.Errorf("everything.conf has no %s", f.path)
		}
	}
}

// TestKubeProxyMeaning holds what is not plain from the names of the fields.
func TestKubeProxyMeaning(t *testing.T) {
	for name, tc := range map[string]struct{ theirs, ours string }{
		"nothing, in mode iptables":   {"", "nodePortAddresses: [all, localhost]"},
		"nothing, in mode ipvs":       {"mode: ipvs", ""},
		"nothing, in mode nftables":   {"mode: nftables", "nodePortAddresses: [primary]"},
		"no node port on localhost":   {"iptables: {localhostNodePorts: false}", ""},
		"some node port addresses":    {"nodePortAddresses: [10.0.0.0/8]", "nodePortAddresses: [10.0.0.0/8]"},
		"localhost only if ours says": {"{mode: ipvs, iptables: {localhostNodePorts: true}}", ""},
		"periods of mode iptables":    {"{mode: iptables, nodePortAddresses: [primary], iptables: {minSyncPeriod: 2s}, ipvs: {minSyncPeriod: 3s, syncPeriod: 1m}}", "{nodePortAddresses: [primary], ipvs: {minSyncPeriod: 2s}}"},
		"periods of ipvs":             {"{mode: nftables, nodePortAddresses: [primary], ipvs: {minSyncPeriod: 3s, syncPeriod: 1m}}", "{nodePortAddresses: [primary], ipvs: {minSyncPeriod: 3s, syncPeriod: 1m}}"},
		"periods of mode ipvs":        {"{mode: ipvs, iptables: {minSyncPeriod: 2s}, ipvs: {syncPeriod: 1m}}", "ipvs: {syncPeriod: 1m}"},
		"masquerading of nftables":    {"{mode: nftables, nodePortAddresses: [primary], iptables: {masqueradeBit: 3}, nftables: {masqueradeAll: true, masqueradeBit: 5}}", "{nodePortAddresses: [primary], iptables: {masqueradeAll: true, masqueradeBit: 5}}"},
		"masquerading of iptables":    {"{mode: ipvs, iptables: {masqueradeAll: true, masqueradeBit: 5}, nftables: {masqueradeBit: 3}}", "iptables: {masqueradeAll: true, masqueradeBit: 5}"},
		"a bit of our own marks":      {"{mode: ipvs, iptables: {masqueradeBit: 30}}", "{iptables: {masqueradeBit: 30}, ipvs: {fwmarkBase: 0xa0000000}}"},
		"bits of our own marks, nft":  {"{mode: nftables, nodePortAddresses: [primary], nftables: {masqueradeBit: 28}}", "{nodePortAddresses: [primary], iptables: {masqueradeBit: 28}, ipvs: {fwmarkBase: 0xa0000000}}"},
		"zero that means something":   {"{mode: ipvs, conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s}, oomScoreAdj: 0}", "{conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s}, oomScoreAdj: 0}"},
		"zero that means the default": {"{mode: ipvs, clientConnection: {qps: 0, burst: 0}, ipvs: {syncPeriod: 0s}, healthzBindAddress: '', nodePortAddresses: []}", ""},
		"no port":                     {"{mode: ipvs, healthzBindAddress: 127.0.0.1, metricsBindAddress: '::'}", "{healthzBindAddress: '127.0.0.1:10256', metricsBindAddress: '[::]:10249'}"},
		"IPv6":                        {"{mode: ipvs, bindAddress: '::'}", "{healthzBindAddress: '[::]:10256', metricsBindAddress: '[::1]:10249'}"},
		"IPv6, but addresses given":   {"{mode: ipvs, bindAddress: 'fd00::1', healthzBindAddress: '0.0.0.0:10256', metricsBindAddress: '127.0.0.1:10249'}", ""},
		"quiet":                       {"{mode: ipvs, logging: {verbosity: 3}}", ""},
		"debugging":                   {"{mode: ipvs, logging: {verbosity: 4}}", "logging: {level: debug}"},
		"YAML 1.1":                    {"{mode: ipvs, ipvs: {strictARP: yes}}", "ipvs: {strictARP: true}"},
		"JSON":                        {`{"mode": "ipvs", "ipvs": {"scheduler": "lc"}}`, "ipvs: {scheduler: lc}"},
		"parts of a second":           {"{mode: ipvs, ipvs: {tcpTimeout: 90500ms}}", "ipvs: {tcpTimeout: 90s}"},
		"no limit":                    {"{mode: ipvs, clientConnection: {qps: -1}}", "clientConnection: {qps: 1e6}"},
	} {
		t.Run(name, func(t *testing.T) {
			text := header + tc.theirs + "\n"
			if strings.HasPrefix(tc.theirs, "{") {
				text = strings.Replace(tc.theirs, "{", "{apiVersion: kubeproxy.config.k8s.io/v1alpha1, \"kind\": KubeProxyConfiguration, ", 1)
			}
			got, _ := load(t, text, nil)
			want, _ := load(t, tc.ours, nil)
			if diff := cmp.Diff(want, got, netipValues()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsDroppedIsOneWarning(t *testing.T) {
	for name, want := range map[string][]string{
		"kubeadm-iptables.conf": nil,
		"kubeadm-ipvs.conf":     nil,
		"kops.conf":             {"config.yaml: fields of kube-proxy without a meaning here: ipvs.syncPeriod, mode ('fairlead config convert' says why)"},
	} {
		_, warnings := load(t, kubeProxyFile(t, name), nil)
		if diff := cmp.Diff(want, warnings); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", name, diff)
		}
	}
}

// TestFieldsOfEarlierVersions takes what kubeadm has kept in its ConfigMap since.
func TestFieldsOfEarlierVersions(t *testing.T) {
	for text, want := range map[string][]string{
		"udpIdleTimeout: 0s\nresourceContainer: ''\nconntrack: {max: null}\n": nil,
		"udpIdleTimeout: 250ms\nresourceContainer: /kube-proxy\n": {
			"config.yaml: fields of kube-proxy without a meaning here: udpIdleTimeout, resourceContainer ('fairlead config convert' says why)",
		},
	} {
		cfg, warnings := load(t, header+"mode: ipvs\n"+text, nil)
		if diff := cmp.Diff(want, warnings); diff != "" || !cmp.Equal(defaults(t), cfg, netipValues()) {
			t.Errorf("%s: %+v (-want +warnings):\n%s", text, cfg, diff)
		}
	}
}

// TestAliasesOfAliasesAreNotFollowed: ten each, ten deep, would be ten thousand million fields.
func TestAliasesOfAliasesAreNotFollowed(t *testing.T) {
	text := header + "featureGates: &a0 {x: true}\n"
	for i := range 10 {
		text += fmt.Sprintf("z%d: &a%d {", i, i+1)
		for j := range 10 {
			text += fmt.Sprintf("k%d: *a%d, ", j, i)
		}
		text += "}\n"
	}
	if _, _, err := mergeConfig("c.yaml", []byte(text), nil, nil); err == nil || len(problemsIn(err)) != 10 {
		t.Errorf("%v", err)
	}
}

func TestKubeProxyErrors(t *testing.T) {
	runErrorCases(t, []errorCase{
		{name: "all at once", file: header + `ipvs:
  shceduler: rr
  strictARP: maybe
  syncPeriod: 30
oomScoreAdj: none
conntrack: 5
nodePortAddresses: all
hostnameOverride: 5
bogus: {x: 1}
ipvs: {scheduler: rr}
`, want: `
c.yaml:4: ipvs.shceduler: unknown key (did you mean ipvs.scheduler?)
c.yaml:5: ipvs.strictARP: "maybe" is not true or false
c.yaml:6: ipvs.syncPeriod: 30 is not a duration with a unit (such as 30s or 15m)
c.yaml:7: oomScoreAdj: "none" is not a number of kube-proxy's size (int32)
c.yaml:8: conntrack: 5 is not a section (lines of KEY: VALUE, indented below)
c.yaml:9: nodePortAddresses: "all" is not a list
c.yaml:10: hostnameOverride: 5 is not a text; put it in quotes
c.yaml:11: bogus: unknown key (kube-proxy 1.37 has no such field)
c.yaml:12: ipvs: given twice, first on line 3`},
		{name: "wrong case, as kube-proxy", file: header + "clusterCidr: 10.0.0.0/8\nfoo: {}\n", want: `
c.yaml:3: clusterCidr: unknown key (did you mean clusterCIDR?)
c.yaml:4: foo: unknown key (kube-proxy 1.37 has no such field)`},
		{name: "values", file: header + "mode: ipvs\nipvs: {scheduler: best, minSyncPeriod: 1m}\nhealthzBindAddress: localhost:1\n", want: `
c.yaml:4: ipvs.scheduler: "best" is not a kernel scheduler (rr wrr lc wlc lblc lblcr dh sh mh sed nq fo ovf twos)
c.yaml:5: healthzBindAddress: "localhost:1" is not IP:PORT (such as 127.0.0.1:10249 or "[::]:10249"; empty disables it)
c.yaml:4: ipvs.minSyncPeriod: 1m0s is longer than ipvs.syncPeriod (30s)`},
		{name: "no such mode", file: header + "mode: ipsv\n", want: `
c.yaml:3: mode: "ipsv" is not iptables, ipvs, nftables, kernelspace, or empty`},
		{name: "another version", file: "apiVersion: kubeproxy.config.k8s.io/v1\nkind: KubeProxyConfiguration\n", want: `
c.yaml:1: apiVersion: "kubeproxy.config.k8s.io/v1" is not kubeproxy.config.k8s.io/v1alpha1`},
		{name: "no kind", file: "apiVersion: kubeproxy.config.k8s.io/v1alpha1\n", want: `
c.yaml:1: kind: nothing is not KubeProxyConfiguration`},
		{name: "an alias to itself", file: header + "ipvs: &a {ipvs: *a}\n", want: `
c.yaml:3: ipvs.ipvs: yaml: anchor 'a' value contains itself`},
		{name: "a gate that is neither on nor off", file: header + "featureGates: {A: 5}\n", want: `
c.yaml:3: featureGates: a section is not what kube-proxy takes there`},
	})
}
