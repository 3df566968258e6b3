package doctor

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/masq"
)

func lookPrivileges(h *Host) []Finding {
	if h.Privileges != nil {
		return unknown("sudo fairlead doctor", "%v: some checks cannot look", h.Privileges)
	}
	// A thread of the kernel's, which is there in the host's PID namespace only.
	if name, _ := h.text("proc/2/comm"); name != "kthreadd" {
		return unknown("run it on the node, or with hostPID: true",
			"the node's processes cannot be seen from this container: kube-proxy, Cilium, kube-router, MetalLB, kube-vip, keepalived and firewalld are not noticed by them")
	}
	return ok("may administer the network")
}

// lookKernel knows releases by what IPVS did in them. Rates and reused ports have checks of their own.
func lookKernel(h *Host) []Finding {
	const update = "update the kernel to 5.9 or later; Fairlead is tested with 6.1"
	if _, _, known := h.version(); !known {
		return unknown("uname -r", "the kernel calls itself %q, which is no release of Linux", h.Release)
	}
	switch {
	case !h.atLeast(4, 19):
		return one(Problem, update, "Linux %s: Kubernetes asks for 4.19 or later", h.Release)
	case !h.atLeast(5, 9):
		return one(Warning, update, "Linux %s: before 5.9, a client port that is used again waits for a second or meets an endpoint that is gone", h.Release)
	}
	return ok("Linux %s", h.Release)
}

// modules lists what is needed, and what for.
func modules(scheduler string) []string {
	list := []string{"ip_vs", "ip_vs_" + scheduler, "nf_conntrack", "dummy", "ip_set", "xt_set"}
	for _, set := range masq.Sets() {
		name := "ip_set_" + strings.NewReplacer(":", "_", ",", "").Replace(set.Type())
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// lookModules needs no answer of modprobe, and loads nothing: what there is, is in files.
func lookModules(h *Host) []Finding {
	var loaded, loadable, missing, unclear []string
	var found []Finding
	states, forbidden := h.moduleStates(), h.forbiddenModules()
	for _, name := range modules(h.Want.Scheduler) {
		if line, is := forbidden[name]; is && states(name) != moduleLoaded {
			found = append(found, one(Problem, "take that line out, and: modprobe "+name, "%s is not loaded, and cannot be: %s", name, line)...)
			continue
		}
		list := map[moduleState]*[]string{moduleLoaded: &loaded, moduleLoadable: &loadable, moduleMissing: &missing, moduleUnclear: &unclear}
		into := list[states(name)]
		*into = append(*into, name)
	}
	if len(missing) > 0 {
		do := "install the package with this kernel's other modules (on Ubuntu linux-modules-extra-" + h.Release + "), or boot another kernel"
		if scheduler := "ip_vs_" + h.Want.Scheduler; len(missing) == 1 && missing[0] == scheduler {
			do = "set ipvs.scheduler: rr, or install the module " + scheduler
		}
		found = append(found, one(Problem, do, "Linux %s has no %s", h.Release, strings.Join(missing, ", "))...)
	}
	if len(unclear) > 0 {
		found = append(found, unknown("on the host: modprobe -a "+strings.Join(unclear, " "),
			"not loaded: %s; there is no /lib/modules/%s here that would tell whether they can be", strings.Join(unclear, ", "), h.Release)...)
	}
	if len(found) > 0 {
		return found
	}
	if len(loadable) > 0 {
		return ok("loaded or built in: %d; loaded when needed: %s", len(loaded), strings.Join(loadable, ", "))
	}
	return ok("all %d are loaded or built in", len(loaded))
}

type moduleState int

const (
	moduleUnclear moduleState = iota
	moduleLoaded              // or built in
	moduleLoadable
	moduleMissing
)

// moduleStates reads all that tells of modules, once.
func (h *Host) moduleStates() func(name string) moduleState {
	dir := path.Join("lib/modules", h.Release)
	list, err := h.text(dir + "/modules.dep")
	loadable := moduleNames(list)
	config, configErr := h.kernelConfig()
	loaded, _ := h.text("proc/modules")
	builtin, _ := h.text(dir + "/modules.builtin") // where it is missing, so is modules.dep
	there := moduleNames(builtin)
	for line := range strings.Lines(loaded) {
		name, _, _ := strings.Cut(line, " ")
		there[name] = true
	}
	for _, s := range h.Servers.Value {
		there["ip_vs_"+s.Scheduler] = true // it serves
	}
	there["ip_vs"] = there["ip_vs"] || h.hasIPVS()
	return func(name string) moduleState {
		setting := config["CONFIG_"+configName(name)]
		switch {
		case there[name] || setting == "y" || h.exists("sys/module/"+name):
			return moduleLoaded
		case loadable[name]:
			return moduleLoadable
		case err == nil || configErr == nil && setting == "":
			return moduleMissing
		}
		return moduleUnclear
	}
}

// forbiddenModules finds the lines by which people keep modules from being loaded, such as "install sctp /bin/false".
func (h *Host) forbiddenModules() map[string]string {
	lines := make(map[string]string)
	for _, dir := range []string{"usr/lib/modprobe.d", "lib/modprobe.d", "run/modprobe.d", "etc/modprobe.d"} {
		files, _ := fs.Glob(h.Files, dir+"/*.conf") // the pattern is good
		for _, file := range files {
			text, _ := h.text(file) // gone, or not for us: then nothing is known of it
			for line := range strings.Lines(text) {
				words := strings.Fields(line)
				if len(words) >= 3 && words[0] == "install" && slices.Contains([]string{"false", "true"}, path.Base(words[2])) {
					lines[strings.ReplaceAll(words[1], "-", "_")] = "/" + file + " has '" + strings.Join(words, " ") + "'"
				}
			}
		}
	}
	return lines
}

// moduleNames reads modules.dep or modules.builtin, which have a path in each line.
func moduleNames(list string) map[string]bool {
	names := make(map[string]bool)
	for line := range strings.Lines(list) {
		file, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		name, _, _ := strings.Cut(path.Base(file), ".")
		names[strings.ReplaceAll(name, "-", "_")] = true
	}
	return names
}

// configName returns how the kernel's configuration calls what a module does.
func configName(module string) string {
	name := strings.ToUpper(module)
	if module == "xt_set" {
		name = "NETFILTER_XT_SET"
	}
	return name
}

// kernelConfig reads what the kernel was built with. What was left out is not in it.
func (h *Host) kernelConfig() (map[string]string, error) {
	for _, name := range []string{"proc/config.gz", "boot/config-" + h.Release} {
		file, err := h.Files.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		defer file.Close()
		var in io.Reader = file
		if path.Ext(name) == ".gz" {
			if in, err = gzip.NewReader(file); err != nil {
				return nil, err
			}
		}
		return parseKernelConfig(in)
	}
	return nil, fs.ErrNotExist
}

func parseKernelConfig(in io.Reader) (map[string]string, error) {
	config := make(map[string]string)
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if name, value, is := strings.Cut(lines.Text(), "="); is {
			config[name] = value
		}
	}
	return config, lines.Err()
}
