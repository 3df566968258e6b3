package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fairlead-lb/fairlead/test/internal/program"
)

// nmiLimit is how long a frozen guest's kernel may take to panic, which takes a second.
const nmiLimit = 10 * time.Second

// machine is everything one boot needs.
type machine struct {
	tools   tools
	kernel  kernel
	accel   accel
	initrd  string // the cached initramfs
	job     job
	results string // host folder behind /results
	scratch string // this run's private folder
}

// guest is a running QEMU and the host's ends of its three virtio ports and its monitor. Whoever calls start calls
// stop.
type guest struct {
	cmd                     *exec.Cmd
	stdout, stderr, control *os.File
	monitor                 *os.File
	console                 string // log of the guest kernel's console
	qemuLog                 string // what QEMU itself says
	exited                  chan struct{}
}

// ports are the guest's names of the virtio ports, in the order of their file descriptors in QEMU;
// the monitor's follows.
var ports = []string{"stdout", "stderr", "control"}

// start boots the machine. The guest dies with ctx.
func (m machine) start(ctx context.Context) (*guest, error) {
	initrd, err := m.writeInitrd()
	if err != nil {
		return nil, err
	}
	g := &guest{
		console: filepath.Join(m.scratch, "console"),
		qemuLog: filepath.Join(m.scratch, "qemu"),
		exited:  make(chan struct{}),
	}
	log, err := os.Create(g.qemuLog)
	if err != nil {
		return nil, fmt.Errorf("making qemu's log: %w", err)
	}
	defer log.Close()
	g.cmd = exec.CommandContext(ctx, m.tools.qemu, m.args(initrd, g.console)...)
	g.cmd.Stdout, g.cmd.Stderr = log, log
	g.cmd.SysProcAttr = program.DieWithParent()
	for _, end := range []**os.File{&g.stdout, &g.stderr, &g.control, &g.monitor} {
		ours, theirs, err := socketPair()
		if err != nil {
			return nil, err
		}
		defer theirs.Close()
		*end = ours
		g.cmd.ExtraFiles = append(g.cmd.ExtraFiles, theirs)
	}
	if err := g.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting qemu: %w", err)
	}
	go func() {
		_ = g.cmd.Wait() // how it ended shows in the logs
		close(g.exited)
	}()
	return g, nil
}

// stop ends the guest. What it wrote to /results is there: the guest unmounts before it reports.
func (g *guest) stop() {
	_ = g.cmd.Process.Kill() // fails only if it has ended
	<-g.exited
	for _, f := range []*os.File{g.stdout, g.stderr, g.control, g.monitor} {
		_ = f.Close()
	}
}

// kernelCommandLine: a panic ends QEMU (with -no-reboot), the card is eth0, and nothing is spent on
// security under emulation. tsc=reliable because the kernel distrusts an emulated TSC and falls back
// to the HPET, where reading the clock takes 4.5 microseconds instead of 0.4, seen. An NMI comes only
// from explainFreeze, which wants the panic's stack.
const kernelCommandLine = "console=ttyS0 loglevel=5 panic=-1 net.ifnames=0 random.trust_cpu=on mitigations=off tsc=reliable unknown_nmi_panic=1"

// args are QEMU's arguments. Sockets carry the ports, not files or pipes, because they push back:
// a guest that writes faster than the host reads has to wait, and nothing is lost.
func (m machine) args(initrd, console string) []string {
	args := append(m.accel.args(),
		"-M", "q35", "-smp", "2", "-m", "4G", "-nodefaults", "-no-reboot", "-display", "none",
		"-kernel", m.kernel.image, "-initrd", initrd,
		"-append", kernelCommandLine,
		"-rtc", "base=utc",
		"-chardev", "file,id=console,path="+comma(console), "-serial", "chardev:console",
		"-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
		"-virtfs", "local,path="+comma(m.results)+",mount_tag=results,security_model=none,multidevs=remap",
		"-netdev", "user,id=net,ipv6=off", "-device", "virtio-net-pci,netdev=net,romfile=",
		"-device", "virtio-serial-pci",
	)
	for i, name := range ports {
		args = append(args,
			"-chardev", fmt.Sprintf("socket,id=%s,fd=%d", name, 3+i),
			"-device", fmt.Sprintf("virtserialport,chardev=%s,name=%s", name, name))
	}
	return append(args, "-chardev", fmt.Sprintf("socket,id=monitor,fd=%d", 3+len(ports)), "-mon", "chardev=monitor")
}

// comma escapes a path for QEMU's comma-separated options.
func comma(path string) string { return strings.ReplaceAll(path, ",", ",,") }

// writeInitrd puts the job behind the cached initramfs: the kernel unpacks archives that follow each
// other, compressed or not.
func (m machine) writeInitrd() (string, error) {
	base, err := os.ReadFile(m.initrd)
	if err != nil {
		return "", fmt.Errorf("reading initramfs: %w", err)
	}
	archive, err := m.job.archive()
	if err != nil {
		return "", err
	}
	b := bytes.NewBuffer(base)
	pad4(b)
	z := gzip.NewWriter(b)
	if _, err := z.Write(archive); err != nil {
		return "", fmt.Errorf("compressing the job: %w", err)
	}
	if err := z.Close(); err != nil {
		return "", fmt.Errorf("compressing the job: %w", err)
	}
	file := filepath.Join(m.scratch, "initrd")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		return "", fmt.Errorf("writing the run's initramfs: %w", err)
	}
	return file, nil
}

// socketPair returns two connected sockets that no other child inherits.
func socketPair() (a, b *os.File, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a socket pair for qemu: %w", err)
	}
	syscall.CloseOnExec(fds[0])
	syscall.CloseOnExec(fds[1])
	return os.NewFile(uintptr(fds[0]), "port"), os.NewFile(uintptr(fds[1]), "qemu's port"), nil
}

// explainFreeze makes a guest that stands still show where: an NMI makes its kernel panic, and the stack
// is on the console then. A QEMU that does not answer stands still itself.
func (g *guest) explainFreeze() string {
	if _, err := io.WriteString(g.monitor, "nmi\n"); err != nil {
		return fmt.Sprintf("qemu's monitor: %v", err)
	}
	select {
	case <-g.exited:
		return "an NMI reached its kernel"
	case <-time.After(nmiLimit):
		return fmt.Sprintf("an NMI had no effect within %s", nmiLimit)
	}
}

// consoleLines is room for the stack that an NMI shows, registers included: what it stands in is at the top.
const consoleLines = 200

// diagnosis is the end of what QEMU and the guest's kernel said.
func (g *guest) diagnosis() string {
	var b strings.Builder
	for _, log := range []struct{ title, file string }{{"qemu", g.qemuLog}, {"console", g.console}} {
		data, err := os.ReadFile(log.file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			fmt.Fprintf(&b, "--- %s: %v\n", log.title, err)
		}
		text := strings.TrimSpace(strings.ReplaceAll(string(data), "\r", ""))
		if text != "" {
			fmt.Fprintf(&b, "--- end of %s log:\n%s\n", log.title, program.LastLines(text, consoleLines))
		}
	}
	return b.String()
}
