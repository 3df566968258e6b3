package main

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/fairlead-lb/fairlead/test/internal/program"
)

func TestCpioLayout(t *testing.T) {
	var b bytes.Buffer
	c := &cpioWriter{w: &b}
	c.dir("bin")
	c.file("bin/a", 0o755, []byte("hello"))
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	want := "070701" + "00000001" + "000041ed" + strings.Repeat("0", 16) + "00000001" +
		strings.Repeat("0", 48) + "00000004" + "00000000" + "bin\x00\x00\x00"
	if got := b.String(); !strings.HasPrefix(got, want) {
		t.Errorf("archive begins with %q, want %q", got[:len(want)], want)
	}
	if b.Len()%4 != 0 {
		t.Errorf("archive has %d bytes, not a multiple of 4", b.Len())
	}
}

func TestCpioIsReadByCpio(t *testing.T) {
	cpio, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip("no cpio here")
	}
	var b bytes.Buffer
	c := &cpioWriter{w: &b}
	c.dir("d")
	c.file("d/five", 0o644, []byte("12345"))
	c.file("empty", 0o600, nil)
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(cpio, "-t", "--quiet")
	cmd.Stdin = &b
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "d\nd/five\nempty\n" {
		t.Errorf("cpio -t: %v\n%s", err, out)
	}
}

func TestModuleOrder(t *testing.T) {
	const dep = `kernel/fs/9p/9p.ko: kernel/net/9p/9pnet.ko kernel/fs/netfs/netfs.ko
kernel/net/9p/9pnet.ko:
kernel/fs/netfs/netfs.ko:
kernel/net/9p/9pnet_virtio.ko: kernel/net/9p/9pnet.ko kernel/drivers/virtio/virtio-ring.ko.xz
kernel/drivers/virtio/virtio-ring.ko.xz:
`
	got, err := moduleOrder([]string{"virtio_ring", "9pnet_virtio", "9p", "overlay"},
		strings.NewReader(dep), "kernel/fs/overlayfs/overlay.ko\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"kernel/drivers/virtio/virtio-ring.ko.xz", "kernel/net/9p/9pnet.ko",
		"kernel/net/9p/9pnet_virtio.ko", "kernel/fs/netfs/netfs.ko", "kernel/fs/9p/9p.ko",
	}
	if !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
	if _, err := moduleOrder([]string{"nope"}, strings.NewReader(dep), ""); err == nil {
		t.Error("a missing module is no error")
	}
}

func TestCopyUntil(t *testing.T) {
	const end = "\x00end\n"
	for _, c := range []struct {
		name, in, out string
		err           error
	}{
		{"plain", "hello\n" + end, "hello\n", nil},
		{"nothing", end, "", nil},
		{"false start", "a\x00en\x00e" + end + "late", "a\x00en\x00e", nil},
		{"cut off", "a\x00en", "a\x00en", errCutOff},
	} {
		for _, src := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in))} {
			var out strings.Builder
			if err := copyUntil(&out, src, []byte(end)); !errors.Is(err, c.err) {
				t.Errorf("%s: error %v, want %v", c.name, err, c.err)
			}
			if out.String() != c.out {
				t.Errorf("%s: %q, want %q", c.name, out.String(), c.out)
			}
		}
	}
}

func TestShellQuote(t *testing.T) {
	const word = "it's $HOME `x` \\ \"q\"\nline"
	out, err := exec.Command("sh", "-c", "printf %s "+shellQuote(word)).Output()
	if err != nil || string(out) != word {
		t.Errorf("%q came out as %q, %v", word, out, err)
	}
}

func TestGuestEnv(t *testing.T) {
	env := guestEnv([]string{"PATH=/opt/bin:/usr/bin", "BASH_FUNC_f%%=() { :; }", "FAIRLEAD_VM_RESULTS=/host"})
	for _, want := range []string{
		"PATH=/opt/bin:/usr/bin:/usr/local/sbin:/usr/sbin:/sbin:/bin", "HOME=/root", "FAIRLEAD_VM=1",
		"FAIRLEAD_VM_HOST=10.0.2.2", "FAIRLEAD_VM_RESULTS=/results", "BASH_FUNC_f%%=() { :; }",
	} {
		if !slices.Contains(env, want) {
			t.Errorf("no %q in %q", want, env)
		}
	}
}

func TestKeptFolders(t *testing.T) {
	got := keptFolders([]string{"/tmp/go-build1/b001/x.test"}, "/tmp/w")
	if want := []string{"/tmp/w", "/tmp/go-build1/b001"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := keptFolders([]string{"sh"}, "/work/main"); len(got) != 0 {
		t.Errorf("%q kept needlessly", got)
	}
}

func TestAGuestThatSaysNothingIsFrozen(t *testing.T) {
	g := &guest{}
	alive, status, streams := make(chan struct{}), make(chan int, 1), make(chan error, 2)
	go func() {
		for range 5 {
			time.Sleep(50 * time.Millisecond)
			alive <- struct{}{}
		}
	}()
	begin := time.Now()
	_, err := g.await(t.Context(), 200*time.Millisecond, alive, status, streams)
	if !errors.Is(err, program.ErrFrozen) {
		t.Errorf("%v, want %v", err, program.ErrFrozen)
	}
	if took := time.Since(begin); took < 400*time.Millisecond {
		t.Errorf("frozen after %s, though it said that it lived for 250 ms", took)
	}
}

func TestAGuestThatHasReportedMayBeSilent(t *testing.T) {
	g := &guest{}
	status, streams := make(chan int, 1), make(chan error, 2)
	status <- 3
	go func() {
		time.Sleep(200 * time.Millisecond)
		streams <- nil
		streams <- nil
	}()
	code, err := g.await(t.Context(), 50*time.Millisecond, nil, status, streams)
	if code != 3 || err != nil {
		t.Errorf("%d, %v, want 3 and no error", code, err)
	}
}
