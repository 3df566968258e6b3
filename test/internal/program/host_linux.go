package program

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// DieWithParent makes the kernel end a child when we end without having done so, as on SIGKILL. It
// ties the child to the thread that started it, so that thread has to stay.
func DieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// termWithGoRun makes us receive SIGTERM when our parent dies, if that is the go command: go run
// dies of SIGTERM without passing it on, and would leave us and what we started behind.
func termWithGoRun() {
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", os.Getppid()))
	if err == nil && strings.TrimSpace(string(comm)) == "go" {
		_ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0)
	}
}
