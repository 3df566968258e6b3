package main

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/fairlead-lb/fairlead/test/internal/program"
)

// metaPackage always depends on the release's current kernel. Not linux-image-cloud-amd64, which
// has no 9p.
const metaPackage = "linux-image-amd64"

// kernel is an unpacked kernel package.
type kernel struct {
	release string // as uname -r says
	image   string // path of the bootable image
	modules string // path of the folder with modules.dep
}

// tools are the host programs a boot needs, as paths.
type tools struct {
	qemu, busybox, depmod string
}

// findTools returns the host's programs, and the Debian packages of those that are missing.
func findTools() (t tools, missing []string) {
	for _, want := range []struct {
		path       *string
		name, from string
		usable     func(string) bool
	}{
		{&t.qemu, "qemu-system-x86_64", "qemu-system-x86", isProgram},
		{&t.busybox, "busybox", "busybox-static", isStatic},
		{&t.depmod, "depmod", "kmod", isProgram},
	} {
		*want.path = findProgram(want.name, want.usable)
		if *want.path == "" {
			missing = append(missing, want.from)
		}
	}
	return t, missing
}

// findProgram looks for a usable program in $PATH and in the system's folders, which the PATH of an
// ordinary user lacks. It returns "" if there is none.
func findProgram(name string, usable func(string) bool) string {
	dirs := append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin", "/usr/bin", "/bin")
	for _, dir := range dirs {
		if file := filepath.Join(dir, name); usable(file) {
			return file
		}
	}
	return ""
}

func isProgram(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// isStatic tells a busybox that works in an initramfs from the one of Debian's package busybox,
// which wants libraries.
func isStatic(file string) bool {
	f, err := elf.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}

// ensureTools installs what is missing. Only what is missing: a machine that has the tools is left
// alone, and one without apt gets told what to install.
func ensureTools(ctx context.Context) (tools, error) {
	t, missing := findTools()
	if len(missing) == 0 {
		return t, nil
	}
	self.Say("installing %s", strings.Join(missing, " "))
	install := append([]string{"install", "-y", "--no-install-recommends"}, missing...)
	err := aptGet(ctx, "", install...)
	if err != nil {
		err = errors.Join(aptGet(ctx, "", "update"), aptGet(ctx, "", install...))
	}
	if err != nil {
		return t, fmt.Errorf("installing %s: %w", strings.Join(missing, " "), err)
	}
	t, missing = findTools()
	if len(missing) > 0 {
		return t, fmt.Errorf("%s installed, but the programs are not found", strings.Join(missing, " "))
	}
	return t, nil
}

// ensureKernel returns the cached kernel, fetching one if the cache is empty. A kernel in the cache
// is used for ever, so that runs are alike and need no network; remove its folder to get a new one.
// The caller holds the cache's lock.
func ensureKernel(ctx context.Context, dir, depmod string) (kernel, error) {
	images, err := filepath.Glob(filepath.Join(dir, "kernel-*", "boot", "vmlinuz-*"))
	if err != nil {
		return kernel{}, fmt.Errorf("looking for a cached kernel: %w", err)
	}
	if len(images) > 0 {
		return kernelAt(images[len(images)-1]), nil
	}
	pkg, err := kernelPackage(ctx)
	if err != nil {
		self.Say("asking apt for its current lists")
		if err := aptGet(ctx, "", "update"); err != nil {
			return kernel{}, fmt.Errorf("updating package lists: %w", err)
		}
		if pkg, err = kernelPackage(ctx); err != nil {
			return kernel{}, err
		}
	}
	tmp, err := os.MkdirTemp(dir, "fetch-")
	if err != nil {
		return kernel{}, fmt.Errorf("making a folder to unpack in: %w", err)
	}
	defer os.RemoveAll(tmp)
	return fetchKernel(ctx, dir, tmp, pkg, depmod)
}

// fetchKernel downloads pkg into tmp, unpacks it there and renames the result into dir.
func fetchKernel(ctx context.Context, dir, tmp, pkg, depmod string) (kernel, error) {
	self.Say("downloading %s (once, about 70 MB)", pkg)
	if err := aptGet(ctx, tmp, "download", pkg); err != nil {
		// The lists may name a version the mirror no longer has.
		if err := errors.Join(aptGet(ctx, "", "update"), aptGet(ctx, tmp, "download", pkg)); err != nil {
			return kernel{}, fmt.Errorf("downloading %s: %w", pkg, err)
		}
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(debs) != 1 {
		return kernel{}, fmt.Errorf("downloading %s: apt-get left %d packages", pkg, len(debs))
	}
	self.Say("unpacking %s", filepath.Base(debs[0]))
	root := filepath.Join(tmp, "root")
	if err := runQuiet(ctx, "", "dpkg", "-x", debs[0], root); err != nil {
		return kernel{}, fmt.Errorf("unpacking %s: %w", pkg, err)
	}
	if _, err := os.Stat(filepath.Join(root, "lib")); err != nil {
		// Since Debian 13 the package has usr/lib only; depmod and kernelAt look in lib.
		if err := os.Symlink("usr/lib", filepath.Join(root, "lib")); err != nil {
			return kernel{}, fmt.Errorf("linking the modules folder: %w", err)
		}
	}
	release := strings.TrimPrefix(pkg, "linux-image-")
	if err := runQuiet(ctx, "", depmod, "-b", root, release); err != nil {
		return kernel{}, fmt.Errorf("listing module dependencies: %w", err)
	}
	final := filepath.Join(dir, "kernel-"+release)
	if err := os.Rename(root, final); err != nil {
		return kernel{}, fmt.Errorf("putting the kernel in place: %w", err)
	}
	return kernelAt(filepath.Join(final, "boot", "vmlinuz-"+release)), nil
}

func kernelAt(image string) kernel {
	release := strings.TrimPrefix(filepath.Base(image), "vmlinuz-")
	root := filepath.Dir(filepath.Dir(image))
	return kernel{release: release, image: image, modules: filepath.Join(root, "lib/modules", release)}
}

var kernelDependency = regexp.MustCompile(`(?m)^Depends:.*?\b(linux-image-[^ ,]+)`)

// kernelPackage asks apt which package metaPackage stands for.
func kernelPackage(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "apt-cache", "show", "--no-all-versions", metaPackage).Output()
	if err != nil {
		return "", fmt.Errorf("asking apt-cache about %s: %w", metaPackage, err)
	}
	m := kernelDependency.FindSubmatch(out)
	if m == nil {
		return "", fmt.Errorf("apt-cache names no kernel for %s", metaPackage)
	}
	return string(m[1]), nil
}

// aptGet runs apt-get in dir. Its sandbox user could not write to root's cache folder.
func aptGet(ctx context.Context, dir string, args ...string) error {
	return runQuiet(ctx, dir, "apt-get", append([]string{"-q", "-o", "APT::Sandbox::User=root"}, args...)...)
}

// runQuiet runs a program and shows the end of its output only in the error.
func runQuiet(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, args[0], err, program.LastLines(string(out), 8))
	}
	return nil
}
