package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/common"
	"sigs.k8s.io/yaml"
)

func TestTheChartMakesTheObjectsOfTheBase(t *testing.T) {
	for overlay, set := range map[string]string{
		"api-server": "apiServer.host=192.0.2.10",
		"kubeadm":    "kubeconfig.configMap=kube-proxy",
	} {
		text, err := kustomized(overlays + overlay)
		if err != nil {
			t.Fatal(err)
		}
		base, chart := plain(t, text), plain(t, render(t, set))
		if len(base) != 5 {
			t.Errorf("%s: %d objects, want 5", overlay, len(base))
		}
		if diff := cmp.Diff(base, chart); diff != "" {
			t.Errorf("%s: -kustomize +chart:\n%s", overlay, diff)
		}
	}
}

func TestValuesShow(t *testing.T) {
	const api = "apiServer.host=api.example.com"
	for _, c := range []struct {
		set  []string
		want []string
	}{
		{[]string{"apiServer.port=443"}, []string{`apiServerHost: "api.example.com"`, `apiServerPort: "443"`}},
		{[]string{"config.ipvs.scheduler=mh", "config.clusterCIDR=10.0.0.0/8"}, []string{"    ipvs:\n      scheduler: mh", "clusterCIDR: 10.0.0.0/8"}},
		{[]string{"config.healthzBindAddress=0.0.0.0:10300"}, []string{`host: "127.0.0.1", port: 10300, path: /livez`, `host: "127.0.0.1", port: 10300, path: /healthz`}},
		{[]string{"config.healthzBindAddress=[::]:10300"}, []string{`host: "127.0.0.1", port: 10300, path: /livez`}},
		{[]string{"config.healthzBindAddress=[::1]:10300"}, []string{`host: "::1", port: 10300, path: /livez`}},
		{[]string{"image.repository=registry.example.com/lb", "image.tag=v9", "image.pullPolicy=Always", "imagePullSecrets[0]=key"},
			[]string{"image: registry.example.com/lb:v9", "imagePullPolicy: Always", "- name: key"}},
		{[]string{"maxUnavailable=10%"}, []string{"maxUnavailable: 10%"}},
		{[]string{"podAnnotations.a=b", "podLabels.c=d", "extraEnv[0].name=E", "extraEnv[0].value=F"}, []string{"a: b", "c: d", "- name: E\n              value: F"}},
		{[]string{"resources.limits.memory=1Gi", "nodeSelector.disk=ssd", "priorityClassName=high"}, []string{"memory: 1Gi", "disk: ssd", "priorityClassName: high"}},
	} {
		manifests := render(t, append(c.set, api)...)
		objects(t, manifests) // it is YAML, and no key comes twice
		wants(t, manifests, c.want...)
	}
	if without := render(t, api, "config.healthzBindAddress="); strings.Contains(without, "Probe") {
		t.Errorf("nothing answers probes, and there are some:\n%s", without)
	}
	for _, gone := range []string{"privileged", "initContainers"} {
		if strings.Contains(render(t, api, "init.enabled=false"), gone) {
			t.Errorf("without the init container there is %s", gone)
		}
	}
}

// Helm reads the numbers of a file as floating point, and large ones must not come out as 1.34e+09.
func TestNumbersOfAFileOfValuesStayWhole(t *testing.T) {
	values, err := common.ReadValues([]byte("apiServer: {host: a, port: 6443}\nconfig: {ipvs: {fwmarkBase: 0x50000000}, conntrack: {min: 13107200}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := chartedWith(chart, values)
	if err != nil {
		t.Fatal(err)
	}
	wants(t, r.manifests, "fwmarkBase: 1342177280", "min: 13107200", `apiServerPort: "6443"`)
}

func TestTheConfigurationIsRolledOut(t *testing.T) {
	sum := func(set string) any {
		o := objects(t, render(t, "apiServer.host=a", set))["DaemonSet fairlead"]
		return at(o, "spec", "template", "metadata", "annotations")["checksum/config"]
	}
	if a, b := sum("config.ipvs.scheduler=rr"), sum("config.ipvs.scheduler=wrr"); a == b || a == nil {
		t.Errorf("checksums %v and %v", a, b)
	}
}

func TestWrongValuesAreRefusedByName(t *testing.T) {
	for set, want := range map[string]string{
		"": "set apiServer.host",
		"apiServer.host=a,kubeconfig.configMap=b": "both apiServer.host and kubeconfig.configMap",
		"apiServer.hots=a":                        "'hots' not allowed",
		"apiServer.host=a b":                      "/apiServer/host",
		"apiServer.port=http":                     "/apiServer/port",
		"apiServer.port=70000":                    "/apiServer/port",
		"config.ipvs.schedular=rr":                "'schedular' not allowed",
		"config.ipvs.scheduler=fastest":           "/config/ipvs/scheduler",
		"config.ipvs.syncPeriod=30":               "/config/ipvs/syncPeriod",
		"config.source.kind=directory":            "'source' not allowed",
		"config.hostnameOverride=a":               "'hostnameOverride' not allowed",
		"image.pullPolicy=Sometimes":              "/image/pullPolicy",
		"init.enabled=perhaps":                    "/init/enabled",
		"maxUnavailable=0":                        "/maxUnavailable",
		"replicas=3":                              "'replicas' not allowed",
	} {
		r, err := charted(chart, set)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q\n%s", set, err, want, r.manifests)
		}
	}
}

func TestTheNotesWarn(t *testing.T) {
	for set, want := range map[string]string{
		"apiServer.host=a": "config.clusterCIDR is empty",
		"apiServer.host=a,config.clusterCIDR=10.0.0.0/8":                "",
		"apiServer.host=a,config.detectLocalMode=NodeCIDR":              "",
		"kubeconfig.configMap=kube-proxy,config.clusterCIDR=10.0.0.0/8": "Keep the ConfigMap kube-proxy",
	} {
		r, err := charted(chart, set)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(r.notes, "rollout status daemonset/fairlead") || !strings.Contains(r.notes, want) {
			t.Errorf("%s: the notes are\n%s", set, r.notes)
		}
		if want == "" && (strings.Contains(r.notes, "is empty") || strings.Contains(r.notes, "Keep")) {
			t.Errorf("%s: the notes warn for nothing:\n%s", set, r.notes)
		}
	}
}

func TestOnlyTheInitContainerIsPrivileged(t *testing.T) {
	pod := at(objects(t, render(t, "apiServer.host=a"))["DaemonSet fairlead"], "spec", "template", "spec")
	daemon := list(pod, "containers")[0].(object)
	security, err := yaml.Marshal(daemon["securityContext"])
	if err != nil {
		t.Fatal(err)
	}
	wants(t, string(security), "drop:\n  - ALL", "add:\n  - NET_ADMIN\n  - NET_RAW\n", "allowPrivilegeEscalation: false", "type: RuntimeDefault")
	if strings.Contains(string(security), "privileged") {
		t.Errorf("the daemon is privileged:\n%s", security)
	}
}
