package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// bootModules are the modules the guest needs before it sees the host's files, and its network.
// Everything else is left to modprobe in the guest, as on a real node.
var bootModules = []string{"virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay", "virtio_net"}

var (
	//go:embed init.sh
	initScript []byte
	//go:embed stage2.sh
	stage2Script []byte
	//go:embed probe.sh
	probeScript []byte
)

// buildInitramfs returns the path of the initramfs for the kernel k, built unless the cache has one
// for the same kernel, scripts and busybox. The caller holds the cache's lock.
func buildInitramfs(ctx context.Context, dir string, k kernel, busybox string) (string, error) {
	bb, err := os.ReadFile(busybox)
	if err != nil {
		return "", fmt.Errorf("reading busybox: %w", err)
	}
	h := sha256.New()
	for _, b := range [][]byte{initScript, stage2Script, bb, []byte(strings.Join(bootModules, " "))} {
		h.Write(b)
	}
	file := filepath.Join(dir, fmt.Sprintf("initramfs-%s-%x.gz", k.release, h.Sum(nil)[:6]))
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	order, err := k.moduleOrder(bootModules)
	if err != nil {
		return "", err
	}
	var archive bytes.Buffer
	c := newBootArchive(&archive, initScript, bb)
	c.file("stage2", 0o755, stage2Script)
	c.dir("modules")
	var names []string
	for _, m := range order {
		data, err := readModule(ctx, filepath.Join(k.modules, m))
		if err != nil {
			return "", err
		}
		name := strings.TrimSuffix(path.Base(m), ".xz")
		names = append(names, name)
		c.file("modules/"+name, 0o644, data)
	}
	c.file("modules/order", 0o644, []byte(strings.Join(names, "\n")+"\n"))
	if err := c.close(); err != nil {
		return "", err
	}
	return file, writeGzip(file, archive.Bytes())
}

// newBootArchive starts an archive with what every initramfs here has: init, busybox and the
// folders init mounts things on.
func newBootArchive(w io.Writer, init, busybox []byte) *cpioWriter {
	c := &cpioWriter{w: w}
	for _, d := range []string{"bin", "dev", "proc", "sys"} {
		c.dir(d)
	}
	c.file("bin/busybox", 0o755, busybox)
	c.file("init", 0o755, init)
	return c
}

// moduleOrder returns the files, relative to the kernel's modules folder, that have to be inserted
// for the named modules, dependencies first.
func (k kernel) moduleOrder(names []string) ([]string, error) {
	dep, err := os.Open(filepath.Join(k.modules, "modules.dep"))
	if err != nil {
		return nil, fmt.Errorf("opening the list of module dependencies: %w", err)
	}
	defer dep.Close()
	builtin, err := os.ReadFile(filepath.Join(k.modules, "modules.builtin"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the list of built-in modules: %w", err)
	}
	return moduleOrder(names, dep, string(builtin))
}

// moduleOrder is the pure part of kernel.moduleOrder. modules.dep has lines "a.ko: c.ko b.ko" where
// the list is complete (depmod closes it) and b.ko goes in before c.ko, before a.ko.
func moduleOrder(names []string, dep io.Reader, builtin string) ([]string, error) {
	lines := map[string][]string{}
	for s := bufio.NewScanner(dep); s.Scan(); {
		file, needs, ok := strings.Cut(s.Text(), ":")
		if ok {
			lines[moduleName(file)] = append([]string{file}, strings.Fields(needs)...)
		}
	}
	inKernel := map[string]bool{}
	for _, file := range strings.Fields(builtin) {
		inKernel[moduleName(file)] = true
	}
	var order []string
	seen := map[string]bool{}
	for _, name := range names {
		files, ok := lines[name]
		if !ok && !inKernel[name] {
			return nil, fmt.Errorf("kernel has no module %s", name)
		}
		for i := len(files) - 1; i >= 0; i-- {
			if !seen[files[i]] {
				seen[files[i]] = true
				order = append(order, files[i])
			}
		}
	}
	return order, nil
}

// moduleName is the name the kernel knows the module file by.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// readModule reads a module file and undoes the compression newer Debian kernels ship, because
// busybox's insmod may not.
func readModule(ctx context.Context, file string) ([]byte, error) {
	if strings.HasSuffix(file, ".xz") {
		data, err := exec.CommandContext(ctx, "xz", "-dc", file).Output()
		if err != nil {
			return nil, fmt.Errorf("decompressing module %s: %w", file, err)
		}
		return data, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading module: %w", err)
	}
	return data, nil
}

// writeGzip writes data compressed to file, which appears complete or not at all.
func writeGzip(file string, data []byte) error {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		return fmt.Errorf("compressing %s: %w", file, err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("compressing %s: %w", file, err)
	}
	if err := os.WriteFile(file+".tmp", b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("writing initramfs: %w", err)
	}
	if err := os.Rename(file+".tmp", file); err != nil {
		return fmt.Errorf("putting initramfs in place: %w", err)
	}
	return nil
}
