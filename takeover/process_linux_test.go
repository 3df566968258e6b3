package takeover

import (
	"bufio"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// kubeProxy starts a process of that name, in this network namespace or with flags in another one.
func kubeProxy(t *testing.T, flags uintptr) Process {
	t.Helper()
	cmd := exec.Command("sh", "-c", "printf kube-proxy >/proc/$$/comm; echo; read wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return Process{cmd.Process.Pid, "kube-proxy"}
}

// TestProcesses sees a kube-proxy that has all capabilities with those that the unit and the DaemonSet give, and tells
// the one of another network namespace from it.
func TestProcesses(t *testing.T) {
	if unix.Geteuid() != 0 {
		t.Skip("needs root, which has capabilities to drop and may make a network namespace")
	}
	here, elsewhere := kubeProxy(t, 0), kubeProxy(t, unix.CLONE_NEWNET)
	type answer struct {
		found []Process
		err   error
	}
	answers := make(chan answer)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with what it may do
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		few := [2]unix.CapUserData{{Effective: 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW}}
		few[0].Permitted = few[0].Effective
		if err := unix.Capset(&header, &few[0]); err != nil {
			answers <- answer{nil, err}
			return
		}
		found, err := new(Linux).Processes()
		answers <- answer{found, err}
	}()
	got := <-answers
	if got.err != nil || !slices.Contains(got.found, here) || slices.Contains(got.found, elsewhere) {
		t.Errorf("%v, %v; %v is in this network namespace, %v is not", got.found, got.err, here, elsewhere)
	}
}
