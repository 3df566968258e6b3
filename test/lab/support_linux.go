package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Supported says why no lab can be built here, or nil. It needs root and a kernel with network namespaces.
func Supported() error {
	if os.Geteuid() != 0 {
		return errors.New("a lab needs root")
	}
	err := keepThread(func() error { return unix.Unshare(unix.CLONE_NEWNET) })
	if err != nil {
		return fmt.Errorf("a lab needs network namespaces: %w", err)
	}
	return nil
}

// HasIPVS says why this kernel cannot balance, or nil. Asking for the netlink family loads the module where there is one.
func HasIPVS() error {
	if _, err := netlink.GenlFamilyGet("IPVS"); err != nil {
		return fmt.Errorf("this kernel has no IPVS: %w", err)
	}
	return nil
}

// LeftBehind lists the named namespaces of labs with this ID. After Close there are none.
func LeftBehind(id string) ([]string, error) {
	return filepath.Glob(filepath.Join(mountDir, "fl-"+id+"-*"))
}
