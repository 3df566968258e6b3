package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/fairlead-lb/fairlead/test/bench/dataset"
)

// Subject is a program that serves Services on a node. It is started in a fresh network and knows the API server by a
// kubeconfig, as on a real node.
type Subject struct {
	Name string
	env  string // names the variable that has the program's path
	args func(kubeconfig, dir string) ([]string, error)

	fairlead bool // it has Fairlead's metrics and log
}

// subjects lists all but the floor, which is no program of its own. Fairlead comes first, so that it meets the cluster
// as the floor does.
func subjects() []Subject {
	return []Subject{
		fairlead("route"), fairlead("address"),
		kubeProxy("ipvs"), kubeProxy("nftables"), kubeProxy("iptables"),
	}
}

// fairlead is Fairlead with default settings, in the given way to bind VIPs.
func fairlead(bind string) Subject {
	return Subject{
		Name: "fairlead-" + bind, env: "FAIRLEAD_TEST_BIN", fairlead: true,
		args: func(kubeconfig, dir string) ([]string, error) {
			config := filepath.Join(dir, "fairlead-"+bind, "config.yaml") // the folder is watched: logs belong elsewhere
			if err := os.MkdirAll(filepath.Dir(config), 0o755); err != nil {
				return nil, fmt.Errorf("configure Fairlead: %w", err)
			}
			text := fmt.Sprintf("hostnameOverride: %s\nclientConnection: {kubeconfig: %s}\nclusterCIDR: %s\ndummyInterface: {bind: %s}\n",
				dataset.Near, kubeconfig, dataset.PodCIDR, bind)
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				return nil, fmt.Errorf("configure Fairlead: %w", err)
			}
			return []string{"run", "--config", config}, nil
		},
	}
}

// kubeProxy is kube-proxy with default settings, but for the sysctls of connection tracking, which cannot be written in
// a network namespace other than the first.
func kubeProxy(mode string) Subject {
	return Subject{
		Name: "kube-proxy-" + mode, env: "FAIRLEAD_TEST_KUBE_PROXY",
		args: func(kubeconfig, _ string) ([]string, error) {
			return []string{
				"--proxy-mode=" + mode, "--kubeconfig=" + kubeconfig,
				"--hostname-override=" + dataset.Near, "--cluster-cidr=" + dataset.PodCIDR,
				"--conntrack-max-per-core=0", "--conntrack-min=0",
				"--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
			}, nil
		},
	}
}

// path finds the subject's program.
func (s Subject) path() (string, error) {
	path := os.Getenv(s.env)
	if path == "" {
		return "", fmt.Errorf("%s: %s is not set", s.Name, s.env)
	}
	return path, nil
}
