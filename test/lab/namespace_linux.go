package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// mountDir is where iproute2 looks for named namespaces.
const mountDir = "/run/netns"

// Namespace is one network namespace and what this process runs in it. Its methods may be called from any goroutine.
type Namespace struct {
	Name string // as `ip netns` lists it

	path   string          // where it is mounted; empty until this process made the file
	handle netns.NsHandle  // open as long as the namespace is
	link   *netlink.Handle // rtnetlink inside the namespace

	ports atomic.Uint32 // UDP ports used so far

	mu      sync.Mutex
	closers []io.Closer // servers, relays and held connections, closed before the namespace goes
	closed  bool
}

// newNamespace makes a namespace, mounts it under its name, sets the lab's sysctls and brings lo up.
func newNamespace(name string) (_ *Namespace, err error) {
	n := &Namespace{Name: name, handle: netns.None()}
	if filepath.Base(name) != name {
		return nil, fmt.Errorf("namespace name %q is no file name", name)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("create namespace %s: %w", name, err), n.Close())
		}
	}()
	if err := os.MkdirAll(mountDir, 0o755); err != nil {
		return nil, err
	}
	if err := n.mount(filepath.Join(mountDir, name)); err != nil {
		return nil, err
	}
	if n.handle, err = netns.GetFromPath(n.path); err != nil {
		return nil, err
	}
	if n.link, err = netlink.NewHandleAt(n.handle, unix.NETLINK_ROUTE); err != nil {
		return nil, err
	}
	if err := n.setSysctls(); err != nil {
		return nil, err
	}
	return n, n.bringUp("lo")
}

// mount makes the namespace and binds it to a path, where it lives on without any process in it.
func (n *Namespace) mount(path string) error {
	file, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	file.Close()
	n.path = path
	return keepThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		if err := unix.Mount("/proc/thread-self/ns/net", n.path, "none", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount on %s: %w", n.path, err)
		}
		return nil
	})
}

// Close ends the servers and processes in the namespace and removes its devices and its name. It is safe to call twice.
// The devices go explicitly because the kernel frees a namespace late, after its last socket and file are gone.
func (n *Namespace) Close() error {
	n.mu.Lock()
	closers := n.closers
	done := n.closed
	n.closers, n.closed = nil, true
	n.mu.Unlock()
	if done {
		return nil
	}
	var errs []error
	for _, c := range closers {
		errs = append(errs, c.Close())
	}
	if n.handle.IsOpen() {
		errs = append(errs, n.killAll())
	}
	if n.link != nil {
		errs = append(errs, n.deleteLinks())
		n.link.Close()
	}
	errs = append(errs, n.unmount())
	if n.handle.IsOpen() {
		errs = append(errs, n.handle.Close())
	}
	return errors.Join(errs...)
}

func (n *Namespace) unmount() error {
	if n.path == "" {
		return nil
	}
	err := unix.Unmount(n.path, unix.MNT_DETACH)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		err = nil // made in part only
	}
	if rm := os.Remove(n.path); rm != nil && !errors.Is(rm, os.ErrNotExist) {
		err = errors.Join(err, rm)
	}
	return err
}

// own makes Close close c. On a namespace that is closed already it closes c at once and says so.
func (n *Namespace) own(c io.Closer) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return errors.Join(fmt.Errorf("namespace %s is closed", n.Name), c.Close())
	}
	n.closers = append(n.closers, c)
	return nil
}

// Run runs a program inside the namespace and returns what it wrote to standard output; an error has its standard error.
func (n *Namespace) Run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := n.Command(ctx, name, args...)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %s: %w%s", n.Name, cmd, err, stderrOf(err))
	}
	return string(out), nil
}
