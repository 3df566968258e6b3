package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/takeover"
)

// Answer is what was asked for, as far as it is known, and why not all of it is.
type Answer[T any] struct {
	Value T
	Err   error
}

// Host is what was read of a node. The checks do not change it.
type Host struct {
	Files      fs.FS  // the root directory; of it only /proc, /sys, /boot, and what is said of modules in /lib, /usr/lib, /run and /etc are read
	Release    string // as `uname -r` prints it
	Privileges error  // why this process may not administer the network
	Want       Want

	Servers   Answer[[]Server]
	Devices   Answer[[]Device]
	Program   Answer[string]                    // what `iptables --version` prints
	Tables    Answer[map[takeover.Table]string] // as iptables-save prints them
	KubeProxy Answer[KubeProxy]
	Source    Source
	Clock     Answer[time.Duration] // how much this node's clock is ahead of the API server's
	Daemon    func() error          // asks the daemon how it is: nil, ErrUnhealthy, ErrNotRunning, or why there is no answer. nil: nobody can ask
}

// ErrNotRunning says that nobody listens where the daemon should.
var ErrNotRunning = errors.New("no daemon answers")

// ErrUnhealthy says that the daemon has answered, and is not content.
var ErrUnhealthy = errors.New("the daemon runs, and is not content")

// ErrNoClock says that there is no other clock to compare with.
var ErrNoClock = errors.New("there is no API server to compare with")

// Want is what the configuration asks for.
type Want struct {
	Scheduler       string
	Device          string // that VIPs are bound to
	StrictARP       bool
	Estimation      string // on, off or auto
	RemoveKubeProxy bool
	IPv6            bool // pods have IPv6 addresses, as far as the configuration tells
	Sysctls         []Sysctl
}

// Sysctl is a kernel parameter that Fairlead sets, such as net/ipv4/vs/conntrack.
type Sysctl struct{ Name, Value, Why string }

// Server is a virtual server.
type Server struct {
	Key         ipvs.Key
	Scheduler   string
	Ours        bool // Fairlead's
	KubeProxys  bool // kube-proxy's
	Reals       int
	Connections int
}

// Device is a network device.
type Device struct {
	Name string
	Type string // as `ip -d link` says it: device, bridge, veth, dummy, ...
	Port bool   // of a bridge
}

// KubeProxy is what there is of kube-proxy on the node.
type KubeProxy struct {
	Running []string // each with its process
	Left    []string // tables and sets
	Stay    []string // chains that others use
}

// Source is where Fairlead reads Services, and what came of asking there.
type Source struct {
	Name       string // API server https://..., or directory /...
	API        bool   // it is an API server
	Configured bool   // a configuration names it
	Request    string // that failed
	Status     int    // of HTTP that it failed with; 0: it did not come that far
	Err        error
}

// text reads a file without the white space around it.
func (h *Host) text(name string) (string, error) {
	data, err := fs.ReadFile(h.Files, name)
	return strings.TrimSpace(string(data)), err
}

// number reads a file with one number.
func (h *Host) number(name string) (int64, error) {
	text, err := h.text(name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s is %q, which is no number", "/"+name, text)
	}
	return n, nil
}

// sysctl reads a kernel parameter, such as net/ipv4/ip_forward.
func (h *Host) sysctl(name string) (string, error) { return h.text(path.Join("proc/sys", name)) }

func (h *Host) exists(name string) bool {
	_, err := fs.Stat(h.Files, name)
	return err == nil
}

// dotted returns a parameter's name as sysctl(8) wants it. Dots in it, as in the name of a device of a VLAN, become
// slashes there.
func dotted(name string) string {
	return strings.NewReplacer("/", ".", ".", "/").Replace(name)
}

// atLeast compares the kernel's release. One that cannot be read is new.
func (h *Host) atLeast(major, minor int) bool {
	haveMajor, haveMinor, known := h.version()
	return !known || haveMajor > major || haveMajor == major && haveMinor >= minor
}

func (h *Host) version() (major, minor int, known bool) {
	_, err := fmt.Sscanf(h.Release, "%d.%d", &major, &minor)
	return major, minor, err == nil
}

// hasIPVS reports whether IPVS is in the running kernel, loaded.
func (h *Host) hasIPVS() bool { return h.exists("proc/thread-self/net/ip_vs") }

// daemon asks the daemon how it is. kube-proxy answers at the same address in the same words.
func (h *Host) daemon() error {
	err := h.Daemon()
	if errors.Is(err, ErrNotRunning) || len(h.KubeProxy.Value.Running) == 0 {
		return err
	}
	for _, p := range h.processes("fairlead") {
		if slices.Contains(p.command, "run") {
			return err
		}
	}
	return fmt.Errorf("%w: what does is %s", ErrNotRunning, h.KubeProxy.Value.Running[0])
}

// running reports whether a daemon answers, content or not.
func (h *Host) running() bool {
	if h.Daemon == nil {
		return false
	}
	err := h.daemon()
	return err == nil || errors.Is(err, ErrUnhealthy)
}

// process is a program that runs in this network namespace, as far as can be seen.
type process struct {
	pid     string
	name    string // at most 15 characters of it, as the kernel has it
	command []string
}

// processes lists the processes that have one of these names.
func (h *Host) processes(names ...string) (found []process) {
	own, ownErr := fs.ReadLink(h.Files, "proc/thread-self/ns/net")
	files, _ := fs.Glob(h.Files, "proc/[0-9]*/comm") // the pattern is good
	for _, file := range files {
		name, err := h.text(file)
		if err != nil || !slices.Contains(names, name) {
			continue
		}
		dir := path.Dir(file)
		if theirs, err := fs.ReadLink(h.Files, dir+"/ns/net"); err == nil && ownErr == nil && theirs != own {
			continue // another node, or a pod
		}
		command, _ := fs.ReadFile(h.Files, dir+"/cmdline") // gone, or not for us: then nothing is known of it
		found = append(found, process{path.Base(dir), name, strings.Split(strings.Trim(string(command), "\x00"), "\x00")})
	}
	return found
}

func (p process) String() string { return fmt.Sprintf("%s (process %s)", p.name, p.pid) }

// device returns a device by its name.
func (h *Host) device(name string) bool {
	return slices.ContainsFunc(h.Devices.Value, func(d Device) bool { return d.Name == name })
}

// few joins a list, of which it shows so many.
func few(list []string, show int) string {
	if len(list) <= show {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:show], ", "), len(list)-show)
}
