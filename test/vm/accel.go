package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/test/internal/program"
)

// probeLimit is how long a trivial guest may take under KVM; it needs about a second.
const probeLimit = 15 * time.Second

// accel says how the guest's CPU is run.
type accel struct {
	kvm bool
	why string // why not KVM
}

func (a accel) String() string {
	if a.kvm {
		return "kvm"
	}
	return "tcg: " + a.why
}

// args are QEMU's arguments. la57=off because five-level paging makes emulated page walks slower
// and nothing here needs it.
func (a accel) args() []string {
	if a.kvm {
		return []string{"-accel", "kvm", "-cpu", "host"}
	}
	return []string{"-accel", "tcg,thread=multi", "-cpu", "max,la57=off"}
}

// chooseAccel uses KVM only where a short boot has shown that it works: on machines that are virtual
// themselves /dev/kvm may exist and make QEMU abort or hang. The verdict is cached for the host's
// kernel, QEMU and the guest's kernel. The caller holds the cache's lock.
func chooseAccel(ctx context.Context, dir string, t tools, k kernel) (accel, error) {
	dev, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return accel{why: "no usable /dev/kvm"}, nil
	}
	dev.Close()
	version, err := exec.CommandContext(ctx, t.qemu, "--version").Output()
	if err != nil {
		return accel{}, fmt.Errorf("asking qemu for its version: %w", err)
	}
	key := sha256.Sum256([]byte(hostRelease() + "\n" + string(version) + k.release))
	file := filepath.Join(dir, fmt.Sprintf("accel-%x", key[:6]))
	if verdict, err := os.ReadFile(file); err == nil {
		return parseVerdict(string(verdict)), nil
	}
	self.Say("probing whether /dev/kvm works (once, up to %s)", probeLimit)
	verdict, err := probeKVM(ctx, dir, t, k)
	if err != nil {
		return accel{}, err
	}
	if err := os.WriteFile(file, []byte(verdict+"\n"), 0o600); err != nil {
		return accel{}, fmt.Errorf("keeping the verdict about kvm: %w", err)
	}
	return parseVerdict(verdict), nil
}

// parseVerdict reads a cached verdict: "kvm", or the reason why not.
func parseVerdict(s string) accel {
	s = strings.TrimSpace(s)
	if s == "kvm" {
		return accel{kvm: true}
	}
	return accel{why: s}
}

// probeKVM boots a guest that only says that it lives.
func probeKVM(ctx context.Context, dir string, t tools, k kernel) (string, error) {
	bb, err := os.ReadFile(t.busybox)
	if err != nil {
		return "", fmt.Errorf("reading busybox: %w", err)
	}
	var archive bytes.Buffer
	if err := newBootArchive(&archive, probeScript, bb).close(); err != nil {
		return "", err
	}
	initrd := filepath.Join(dir, "probe.gz")
	if err := writeGzip(initrd, archive.Bytes()); err != nil {
		return "", err
	}
	defer os.Remove(initrd)
	limited, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	args := append(accel{kvm: true}.args(), "-M", "q35", "-m", "512M", "-nodefaults", "-no-reboot",
		"-display", "none", "-serial", "stdio", "-kernel", k.image, "-initrd", initrd,
		"-append", "console=ttyS0 quiet panic=-1")
	cmd := exec.CommandContext(limited, t.qemu, args...)
	cmd.SysProcAttr = program.DieWithParent()
	out, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case bytes.Contains(out, []byte("fairlead-probe-ok")):
		return "kvm", nil
	case limited.Err() != nil:
		return fmt.Sprintf("/dev/kvm is there but a trivial guest hangs for %s", probeLimit), nil
	default:
		return fmt.Sprintf("/dev/kvm is there but unusable: %s", complaint(string(out), err)), nil
	}
}

// complaint picks the line of QEMU's output that says what is wrong.
func complaint(out string, err error) string {
	for line := range strings.Lines(out) {
		if at := strings.Index(line, "error:"); at >= 0 {
			return strings.TrimSpace(line[at+len("error:"):])
		}
	}
	if last := strings.TrimSpace(program.LastLines(out, 1)); last != "" {
		return last
	}
	return fmt.Sprint(err)
}
