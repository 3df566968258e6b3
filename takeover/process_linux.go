package takeover

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Processes implements Kernel. It sees the processes of its own PID namespace, which on a node should be
// the host's (hostPID), and of these the ones in its own network namespace: others are other nodes.
func (l *Linux) Processes() (found []Process, err error) {
	own, err := networkOf("/proc/thread-self")
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
		switch network, err := networkOf(dir); {
		case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ESRCH):
			continue // gone meanwhile, or a zombie, which has none
		case err == nil && network != own:
			continue
		}
		// Where the namespace cannot be read it may be this one. To wait in vain is told and harms nothing; to
		// remove what a running kube-proxy serves by does.
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			found = append(found, Process{pid, strings.TrimSpace(string(comm))})
		}
	}
	return found, err
}

// networkOf returns a number that processes of one network namespace share, out of their folder below /proc. It is
// the inode of a file that each such namespace has of its own. Where ns/net leads says the same, but only to who
// has all capabilities of that process, or CAP_SYS_PTRACE (ptrace(2), "Ptrace access mode checking"): kube-proxy has
// more than Fairlead.
func networkOf(proc string) (uint64, error) {
	var stat unix.Stat_t
	if err := unix.Stat(filepath.Join(proc, "net/dev"), &stat); err != nil {
		return 0, &os.PathError{Op: "stat", Path: filepath.Join(proc, "net/dev"), Err: err}
	}
	return stat.Ino, nil
}
