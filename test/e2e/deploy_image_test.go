//go:build linux

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
	"github.com/fairlead-lb/fairlead/test/lab"
)

// daemonPath is where the Dockerfile puts the daemon.
const daemonPath = "/usr/local/bin/fairlead"

// image is a folder with what Fairlead's image holds: the static daemon, and of the machine the programs in
// deploy/image/programs with the libraries that they need. No registry can be reached here.
type image struct {
	t    testing.TB
	root string
}

func newImage(t testing.TB) *image {
	t.Helper()
	i := &image{t: t, root: t.TempDir()}
	for _, dir := range []string{"usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "usr/local/bin", "dev", "proc", "sys", "run", "tmp", "etc", "var"} {
		must(t, os.MkdirAll(filepath.Join(i.root, dir), 0o755))
	}
	for _, dir := range []string{"bin", "sbin", "lib", "lib64"} {
		must(t, os.Symlink("usr/"+dir, filepath.Join(i.root, dir)))
	}
	must(t, os.Symlink("../run", filepath.Join(i.root, "var/run")))
	for _, name := range programs(t) {
		if !strings.HasPrefix(name, "ip") { // the others are names of one program, which use gives
			i.add(name, "usr/sbin")
		}
	}
	i.use("nft")
	i.add("setpriv", "usr/bin") // stands for the container runtime; no part of the image
	plugins, err := filepath.Glob("/usr/lib/*/xtables/*.so")
	must(t, err)
	if len(plugins) == 0 {
		t.Fatal("iptables has no extensions on this machine")
	}
	for _, plugin := range plugins {
		i.copy(plugin, plugin)
	}
	i.copy(mustEnv(t, "FAIRLEAD_TEST_BIN"), daemonPath)
	return i
}

// use chooses the variant of iptables, nft or legacy, as the wrapper in the real base image does.
func (i *image) use(variant string) {
	i.t.Helper()
	for _, name := range programs(i.t) {
		if strings.HasPrefix(name, "ip") {
			link := filepath.Join(i.root, "usr/sbin", name)
			_ = os.Remove(link) // there is none at first
			must(i.t, os.Symlink("xtables-"+variant+"-multi", link))
		}
	}
}

// programs reads deploy/image/programs.
func programs(t testing.TB) (names []string) {
	t.Helper()
	file, err := os.Open(deployFolder + "image/programs")
	must(t, err)
	defer file.Close()
	for s := bufio.NewScanner(file); s.Scan(); {
		if line := strings.TrimSpace(s.Text()); line != "" && line[0] != '#' {
			names = append(names, line)
		}
	}
	return names
}

// add copies a program of the machine and the libraries that the loader says it needs.
func (i *image) add(name, dir string) {
	i.t.Helper()
	path, err := exec.LookPath(name)
	must(i.t, err)
	i.copy(path, filepath.Join("/", dir, name))
	out, err := exec.Command("ldd", path).CombinedOutput()
	if err != nil {
		i.t.Fatalf("ldd %s: %v: %s", path, err, out)
	}
	for _, library := range regexp.MustCompile(`(/\S+) \(0x`).FindAllStringSubmatch(string(out), -1) {
		i.copy(library[1], library[1])
	}
}

// copy copies a file, not a link to it, unless it is there.
func (i *image) copy(from, to string) {
	i.t.Helper()
	to = filepath.Join(i.root, to)
	if _, err := os.Stat(to); err == nil {
		return
	}
	must(i.t, os.MkdirAll(filepath.Dir(to), 0o755))
	in, err := os.Open(from)
	must(i.t, err)
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	must(i.t, err)
	_, err = io.Copy(out, in)
	must(i.t, err)
	must(i.t, out.Close())
}

// mount is a file or folder of the machine in a container.
type mount struct {
	from, to string
	readOnly bool
}

// container is a program in the image as a container runtime starts it on the node's network.
type container struct {
	image      *image
	mounts     []mount
	env        []string
	caps       []string // nil: privileged, with a /proc/sys that can be written
	privileged bool
}

// command prepares the container. Its process ID is the program's.
func (c container) command(node *lab.Node, argv ...string) *lab.Cmd {
	c.image.t.Helper()
	script := `set -e
root=$1; shift
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
`
	drop := ""
	if !c.privileged {
		script += `mount --bind "$root/proc/sys" "$root/proc/sys"; mount -o remount,bind,ro "$root/proc/sys"
`
		script += "echo -997 >/proc/$$/oom_score_adj\n" // the kubelet's, for a node-critical Pod
		drop = "/usr/bin/setpriv --no-new-privs --inh-caps=-all --bounding-set=-all"
		for _, name := range c.caps {
			drop += ",+" + strings.ToLower(name)
		}
	}
	for _, m := range c.mounts {
		to := filepath.Join(c.image.root, m.to)
		info, err := os.Stat(m.from)
		must(c.image.t, err)
		if info.IsDir() {
			must(c.image.t, os.MkdirAll(to, 0o755))
		} else {
			must(c.image.t, os.MkdirAll(filepath.Dir(to), 0o755))
			must(c.image.t, os.WriteFile(to, nil, 0o600))
		}
		script += fmt.Sprintf("mount --rbind %q %q\n", m.from, to) // as container runtimes do
		if m.readOnly {
			script += fmt.Sprintf("mount -o remount,bind,ro %q\n", to)
		}
	}
	script += fmt.Sprintf(`exec chroot "$root" %s "$@"`, drop)
	args := append([]string{"--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh", c.image.root}, argv...)
	cmd := node.Command(c.image.t.Context(), "unshare", args...)
	cmd.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, c.env...)
	return cmd
}

// run runs a program in the container to its end, and returns what it says.
func (c container) run(node *lab.Node, argv ...string) string {
	c.image.t.Helper()
	out, err := c.command(node, argv...).CombinedOutput()
	if err != nil {
		c.image.t.Errorf("%q: %v\n%s", argv, err, out)
	}
	return string(out)
}

// TestTheImage makes an image and runs the daemon in it in several ways.
func TestTheImage(t *testing.T) {
	kerneltest.Want(t)
	image := newImage(t)
	for variant, says := range map[string]string{"nft": "nf_tables", "legacy": "legacy"} {
		t.Run("iptables "+variant, func(t *testing.T) {
			image.use(variant)
			serveFromManifests(t, image, says)
		})
	}
	image.use("nft")
	for _, overlay := range []string{"kubeadm", "api-server"} {
		t.Run("DaemonSet "+overlay, func(t *testing.T) { serveAsDaemonSet(t, image, overlay) })
	}
}

// serveFromManifests runs the daemon in the image with no more capabilities than the DaemonSet gives it, until
// a Service is served. The version of iptables says which variant is in use.
func serveFromManifests(t *testing.T, image *image, says string) {
	n := newIsland(t)
	n.write("a.yaml", manifest("a", "172.30.0.1", "172.17.0.2"))
	c := container{
		image: image, env: []string{"FAIRLEAD_HOSTNAMEOVERRIDE=node1", "FAIRLEAD_OOMSCOREADJ=-997"},
		mounts: []mount{{n.dir, "/manifests", true}, {lockFile(t), "/run/xtables.lock", false}, {"/lib/modules", "/lib/modules", true}},
	}
	root := c
	root.privileged = true
	if out := root.run(n.node, daemonPath, "version"); !strings.HasPrefix(out, "fairlead ") {
		t.Errorf("fairlead version: %s", out)
	}
	if out := root.run(n.node, "/usr/sbin/ip6tables", "--version"); !strings.Contains(out, says) {
		t.Errorf("ip6tables --version: %s, want %s", out, says)
	}
	if out := root.run(n.node, daemonPath, "run", "--init-only"); strings.Contains(out, "level=ERROR") {
		t.Errorf("the init container: %s", out)
	}
	for name, want := range map[string]string{"ipv4/vs/conntrack": "1", "ipv4/ip_forward": "1"} {
		if got, err := n.node.Sysctl(name); err != nil || got != want {
			t.Errorf("after the init container, sysctl %s is %s (%v), want %s", name, got, err, want)
		}
	}
	c.caps = rendered(t, "kustomize", deployFolder+"kustomize/overlays/api-server").capabilities(t)
	d := begin(t, n.node, c.command(n.node, daemonPath, "run", "--source-directory", "/manifests"))
	d.waitReals("172.30.0.1:8080", 1)
	if _, err := lab.Ask(t.Context(), n.node.Namespace, "tcp", "172.30.0.1:8080"); err != nil {
		t.Error(err)
	}
	if out := root.run(n.node, "/usr/sbin/iptables", "-t", "nat", "-S"); !strings.Contains(out, "-A FAIRLEAD-SERVICES") {
		t.Errorf("iptables of the image shows\n%s", out)
	}
	d.stop()
	if out := root.run(n.node, daemonPath, "cleanup"); !strings.Contains(out, "removed") {
		t.Errorf("cleanup: %s", out)
	}
}

// lockFile makes a file to stand for the node's /run/xtables.lock.
func lockFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "xtables.lock")
	must(t, os.WriteFile(path, nil, 0o600))
	return path
}
