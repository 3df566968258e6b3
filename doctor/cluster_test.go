package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"testing/fstest"
	"time"
)

func TestKubeProxy(t *testing.T) {
	left := []string{"iptables nat (IPv4, nft)", "38 ipsets"}
	runCases(t, "kube-proxy", []nodeCase{
		{"runs", func(h *Host, _ tree) {
			h.KubeProxy.Value = KubeProxy{Running: []string{"kube-proxy (process 12)"}, Left: left}
		},
			[]finding{{Problem, "kube-proxy (process 12) runs on this node, too", "without --cleanup"}, {Note, "stays until kube-proxy has stopped", "stop kube-proxy"}}},
		{"left, before the daemon", func(h *Host, _ tree) {
			h.KubeProxy.Value.Left, h.Daemon = left, func() error { return ErrNotRunning }
		}, []finding{{Warning, "iptables nat (IPv4, nft), 38 ipsets; it is in force", "fairlead run, which removes it"}}},
		{"left, beside the daemon", func(h *Host, _ tree) { h.KubeProxy.Value.Left = left }, []finding{{Warning, "has not removed it", "the log of fairlead run"}}},
		{"left, and to stay", func(h *Host, _ tree) { h.KubeProxy.Value.Left, h.Want.RemoveKubeProxy = left, false }, []finding{{Warning, "is false", "removeKubeProxy: true"}}},
		{"chains that others use", func(h *Host, _ tree) { h.KubeProxy.Value.Stay = []string{"KUBE-NODEPORTS: -A INPUT -j KUBE-NODEPORTS"} }, []finding{{Note, "KUBE-NODEPORTS", "remove the rule"}}},
		{"not to be seen", func(h *Host, _ tree) { h.KubeProxy.Err = errors.New("EPERM") }, []finding{{Unknown, "EPERM", "grep KUBE-"}}},
	})
}

func TestIPVSUsers(t *testing.T) {
	runCases(t, "ipvs-users", []nodeCase{
		{"somebody else", func(h *Host, _ tree) {
			h.Servers.Value = append(h.Servers.Value, Server{Key: key("tcp 192.0.2.7:80")}, Server{Key: key("tcp 192.0.2.8:80"), KubeProxys: true})
		}, []finding{{Note, "1 virtual servers are somebody else's, and are left alone: tcp 192.0.2.7:80", "ipvs.excludeCIDRs"}}},
		{"keepalived", func(_ *Host, files tree) { files.put("proc/44/comm", "keepalived") }, []finding{{Note, "keepalived (process 44)", "lvs_flush"}}},
		{"not to be read", func(h *Host, _ tree) { h.Servers = Answer[[]Server]{Err: errors.New("EPERM")} }, []finding{{Unknown, "EPERM", "ipvsadm -Ln"}}},
		{"not loaded", notLoaded, []finding{{Unknown, "not loaded", "modprobe ip_vs"}}},
	})
}

// process puts a program into a tree, in the network namespace of the doctor unless another is named.
func (t tree) process(pid, name, command, namespace string) {
	t.put("proc/"+pid+"/comm", name)
	t["proc/"+pid+"/cmdline"] = &fstest.MapFile{Data: []byte(command)}
	t["proc/"+pid+"/ns/net"] = &fstest.MapFile{Data: []byte(namespace), Mode: fs.ModeSymlink}
	t["proc/thread-self/ns/net"] = &fstest.MapFile{Data: []byte("net:[1]"), Mode: fs.ModeSymlink}
}

func TestClashes(t *testing.T) {
	const mounted = "proc/50/root/tmp/cilium/config-map/kube-proxy-replacement"
	with := func(device string) func(*Host, tree) {
		return func(h *Host, _ tree) { h.Devices.Value = append(h.Devices.Value, Device{Name: device}) }
	}
	cilium := func(value string) func(*Host, tree) {
		return func(_ *Host, files tree) {
			files.process("50", "cilium-agent", "cilium-agent\x00--config-dir=/tmp/cilium/config-map\x00", "net:[1]")
			if value != "" {
				files.put(mounted, value)
			}
		}
	}
	router := func(args, namespace string) func(*Host, tree) {
		return func(_ *Host, files tree) { files.process("60", "kube-router", "kube-router\x00"+args, namespace) }
	}
	runCases(t, "clashes", []nodeCase{
		{"Cilium replaces kube-proxy", cilium("true"), []finding{{Problem, "kube-proxy-replacement: true", "kubeProxyReplacement=false"}}},
		{"Cilium does not", cilium("false"), []finding{{OK, "none", ""}}},
		{"Cilium does not say", cilium(""), []finding{{Warning, "cannot be seen from here", "get configmap cilium-config"}}},
		{"Cilium is told by a flag", func(_ *Host, files tree) {
			files.process("50", "cilium-agent", "cilium-agent\x00--kube-proxy-replacement=strict\x00", "net:[1]")
		}, []finding{{Problem, "kube-proxy-replacement: strict", "kubeProxyReplacement=false"}}},
		{"Cilium was here", with("cilium_host"), []finding{{Note, "no cilium-agent", "ip link delete cilium_host"}}},
		{"kube-router's proxy", router("--run-router=true\x00", "net:[1]"), []finding{{Problem, "kube-router (process 60)", "--run-service-proxy=false"}}},
		{"kube-router's proxy of another node", router("", "net:[2]"), []finding{{OK, "none", ""}}},
		{"kube-router without", router("--run-service-proxy=false\x00", "net:[1]"), []finding{{OK, "none", ""}}},
		{"kube-router was here", with("kube-dummy-if"), []finding{{Warning, "kube-dummy-if", "ip link delete kube-dummy-if"}}},
		{"Calico's eBPF", with("bpfin.cali"), []finding{{Problem, "eBPF", `"bpfEnabled":false`}}},
		{"OVN-Kubernetes", with("ovn-k8s-mp0"), []finding{{Problem, "OVN-Kubernetes", "without Fairlead"}}},
		{"Antrea", with("antrea-gw0"), []finding{{Warning, "AntreaProxy", "AntreaProxy: false"}}},
		{"firewalld", func(_ *Host, files tree) { files.put("proc/70/comm", "firewalld") }, []finding{{Warning, "firewalld (process 70)", "systemctl disable --now firewalld"}}},
		{"no devices", func(h *Host, _ tree) { h.Devices = Answer[[]Device]{Err: errors.New("EPERM")} }, []finding{{Unknown, "EPERM", "as root"}}},
	})
}

func TestSource(t *testing.T) {
	const api = "API server https://192.0.2.1:6443"
	is := func(s Source) func(*Host, tree) { return func(h *Host, _ tree) { h.Source = s } }
	failed := errors.New("so it is")
	runCases(t, "source", []nodeCase{
		{"directory", is(Source{Name: "directory /m"}), []finding{{OK, "directory /m can be read", ""}}},
		{"no directory", is(Source{Name: "directory /m", Err: failed}), []finding{{Problem, "directory /m: so it is", "source.directory"}}},
		{"not configured", is(Source{API: true, Err: failed}), []finding{{Unknown, "so it is", "--config"}}},
		{"configured badly", is(Source{API: true, Configured: true, Err: failed}), []finding{{Problem, "so it is", "clientConnection.kubeconfig"}}},
		{"unreachable", is(Source{Name: api, API: true, Request: "https://192.0.2.1:6443/api/v1/services?limit=1", Err: failed}), []finding{{Problem, "does not answer: so it is", "curl -kv 'https://192.0.2.1:6443/api/v1/services?limit=1'"}}},
		{"unauthenticated", is(Source{Name: api, API: true, Status: 401, Err: failed}), []finding{{Problem, "does not know who asks", "credentials"}}},
		{"forbidden", is(Source{Name: api, API: true, Status: 403, Request: "/nodes", Err: failed}), []finding{{Problem, "does not allow /nodes", "kubectl apply -f deploy/kustomize/base/rbac.yaml"}}},
		{"broken", is(Source{Name: api, API: true, Status: 500, Err: failed}), []finding{{Problem, "does not serve", "/readyz?verbose"}}},
	})
}

func TestClock(t *testing.T) {
	ahead := func(d time.Duration) func(*Host, tree) { return func(h *Host, _ tree) { h.Clock.Value = d } }
	runCases(t, "clock", []nodeCase{
		{"nearly right", ahead(-4 * time.Second), []finding{{OK, "within 5s", ""}}},
		{"ahead", ahead(7*time.Second + 300*time.Millisecond), []finding{{Warning, "7s ahead of the API server's", "set-ntp"}}},
		{"far behind", ahead(-time.Hour), []finding{{Problem, "1h0m0s behind the API server's", "chronyc makestep"}}},
		{"none to compare with", func(h *Host, _ tree) { h.Clock.Err = ErrNoClock }, []finding{{OK, "no API server", ""}}},
		{"not told", func(h *Host, _ tree) { h.Clock.Err = errors.New("no Date") }, []finding{{Unknown, "no Date", "timedatectl"}}},
	})
}

func TestDaemon(t *testing.T) {
	none := func() error { return fmt.Errorf("%w at 127.0.0.1:10256", ErrNotRunning) }
	runCases(t, "daemon", []nodeCase{
		{"gone, with virtual servers left", func(h *Host, _ tree) { h.Daemon = none }, []finding{{Problem, "no daemon answers at 127.0.0.1:10256, and 1 of its virtual servers", "journalctl -u fairlead"}}},
		{"not started", func(h *Host, _ tree) { h.Daemon, h.Servers.Value = none, nil }, []finding{{Note, "no daemon answers", "fairlead run"}}},
		{"not content", func(h *Host, _ tree) { h.Daemon = func() error { return fmt.Errorf("%w: 503", ErrUnhealthy) } }, []finding{{Problem, "not content: 503", "log"}}},
		{"silent", func(h *Host, _ tree) { h.Daemon = func() error { return errors.New("timeout") } }, []finding{{Problem, "neither answers nor refuses to: timeout", "other problems first"}}},
		{"it is kube-proxy that answers", func(h *Host, files tree) {
			delete(files, "proc/7/comm")
			h.KubeProxy.Value.Running, h.Servers.Value = []string{"kube-proxy (process 12)"}, nil
		}, []finding{{Note, "what does is kube-proxy (process 12)", "fairlead run"}}},
		{"both run", func(h *Host, _ tree) { h.KubeProxy.Value.Running = []string{"kube-proxy (process 12)"} }, []finding{{OK, "it runs", ""}}},
		{"nobody can ask", func(h *Host, _ tree) { h.Daemon = nil }, []finding{{Unknown, "no address", "healthzBindAddress"}}},
	})
}
