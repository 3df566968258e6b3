package kerneltest

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Routed is a dummy device with routes to 10.0.0.0/8 and fd00::/8. Without a route the kernel
// refuses a real server with EINVAL.
const Routed = "routed0"

// Namespace moves the test into a fresh network namespace with lo up. The test's goroutine stays
// locked to its thread, which ends with it and takes the namespace along: sockets must be opened
// and programs started on this goroutine, and a subtest needs a namespace of its own. A test that
// may not do so is skipped, unless the environment requires it.
func Namespace(t testing.TB) {
	t.Helper()
	runtime.LockOSThread()
	err := unix.Unshare(unix.CLONE_NEWNET)
	if errors.Is(err, unix.EPERM) && os.Getenv(Env) != "1" {
		t.Skip("may not make a network namespace: needs CAP_SYS_ADMIN")
	}
	must(t, "unshare", err)
	lo, err := netlink.LinkByName("lo")
	must(t, "find lo", err)
	must(t, "bring lo up", netlink.LinkSetUp(lo))
}

func route(t testing.TB) {
	t.Helper()
	link := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: Routed}}
	must(t, "create "+Routed, netlink.LinkAdd(link))
	must(t, "bring "+Routed+" up", netlink.LinkSetUp(link))
	for _, cidr := range []string{"10.0.0.1/8", "fd00::1/8"} {
		addr, err := netlink.ParseAddr(cidr)
		must(t, "parse "+cidr, err)
		addr.Flags = unix.IFA_F_NODAD
		must(t, "add "+cidr, netlink.AddrAdd(link, addr))
	}
}

func must(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// Run runs a program in the test's namespace and returns what it printed. Its failure is the
// test's.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}
