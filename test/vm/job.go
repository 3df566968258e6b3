package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/test/internal/program"
)

// guestResults is where the guest sees the writable share.
const guestResults = "/results"

// job is what one run tells the guest; it travels in a second archive behind the cached initramfs.
type job struct {
	argv    []string
	env     []string
	dir     string // working directory
	modules string // the kernel's modules on the host
	end     []byte // ends each output stream
}

func newJob(argv []string, k kernel) (job, error) {
	dir, err := os.Getwd()
	if err != nil {
		return job{}, fmt.Errorf("finding the working directory: %w", err)
	}
	modules, err := filepath.EvalSymlinks(k.modules)
	if err != nil {
		return job{}, fmt.Errorf("finding the kernel's modules: %w", err)
	}
	end := "\x00fairlead-end-" + rand.Text() + "\n"
	return job{argv: argv, env: guestEnv(os.Environ()), dir: dir, modules: modules, end: []byte(end)}, nil
}

// archive packs the job for init.sh and stage2.sh.
func (j job) archive() ([]byte, error) {
	hostname, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("reading the host's name: %w", err)
	}
	var keep strings.Builder
	for _, dir := range keptFolders(j.argv, j.dir) {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return nil, fmt.Errorf("finding %s: %w", dir, err)
		}
		fmt.Fprintf(&keep, "%s\t%s\n", real, dir)
	}
	var b bytes.Buffer
	c := &cpioWriter{w: &b}
	c.dir("job")
	c.file("job/command", 0o600, []byte(j.script()))
	c.file("job/modules", 0o600, []byte(j.modules))
	c.file("job/hostname", 0o600, []byte(hostname+"\n"))
	c.file("job/keep", 0o600, []byte(keep.String()))
	c.file("job/end", 0o600, j.end)
	if err := c.close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// script is the shell script that becomes the command. env -i rather than export, because names in
// the environment need not be shell names.
func (j job) script() string {
	words := []string{"exec", "/usr/bin/env", "-i"}
	for _, w := range slices.Concat(j.env, j.argv) {
		words = append(words, shellQuote(w))
	}
	return fmt.Sprintf("cd %s || exit %d\n%s\n", shellQuote(j.dir), program.StatusFailed, strings.Join(words, " "))
}

func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// guestEnv is the host's environment with what differs in the guest. Folders of system programs are
// added to PATH because modprobe and ipvsadm live there, and the guest's user is root.
func guestEnv(host []string) []string {
	vars := map[string]string{"HOME": "/root", "PATH": "/usr/bin:/bin"}
	for _, v := range host {
		if name, value, ok := strings.Cut(v, "="); ok && name != "" {
			vars[name] = value
		}
	}
	path := filepath.SplitList(vars["PATH"])
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"} {
		if !slices.Contains(path, dir) {
			path = append(path, dir)
		}
	}
	vars["PATH"] = strings.Join(path, ":")
	vars["FAIRLEAD_VM"] = "1"
	vars["FAIRLEAD_VM_HOST"] = "10.0.2.2"
	vars["FAIRLEAD_VM_RESULTS"] = guestResults
	env := make([]string, 0, len(vars))
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	return env
}

// keptFolders are the folders under the host's /tmp that the guest must see although its own /tmp is
// new: the working directory, and the program's folder, where go test -exec and go run put it.
func keptFolders(argv []string, dir string) []string {
	var keep []string
	for _, d := range []string{dir, filepath.Dir(argv[0])} {
		if strings.HasPrefix(d, "/tmp/") && !slices.Contains(keep, d) {
			keep = append(keep, d)
		}
	}
	return keep
}
