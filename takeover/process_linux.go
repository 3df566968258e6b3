package takeover

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Processes implements Kernel. It sees the processes of its own PID namespace, which on a node should be
// the host's (hostPID), and of these the ones in its own network namespace: others are other nodes.
func (l *Linux) Processes() (found []Process, err error) {
	own, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("find this network namespace: %w", err)
	}
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	for _, name := range names {
		comm, err := os.ReadFile(name)
		if err != nil || !strings.HasPrefix(string(comm), "kube-proxy") {
			continue // gone meanwhile, or another program
		}
		dir := filepath.Dir(name)
		if net, err := os.Readlink(filepath.Join(dir, "ns/net")); err != nil || net != own {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			found = append(found, Process{pid, strings.TrimSpace(string(comm))})
		}
	}
	return found, err
}
