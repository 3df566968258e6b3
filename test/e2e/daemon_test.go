//go:build linux

package e2e

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// daemon is one run of `fairlead run` in a node's namespace.
type daemon struct {
	t    testing.TB
	node *lab.Node
	cmd  *lab.Cmd
	log  *buffer
	done chan error

	limit time.Duration // how long eventually waits; 0: some minutes of a machine that is slow, emulated, and shared
}

// buffer is a log that is written by a process and read by the test.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// writeConfig writes a configuration file and returns its path.
func writeConfig(t testing.TB, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	must(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	return path
}

// start runs the daemon and waits until it is healthy.
func start(t testing.TB, node *lab.Node, config string, flags ...string) *daemon {
	t.Helper()
	args := append([]string{"run", "--config", config, "--log-level", "debug"}, flags...)
	return launch(t, node, mustEnv(t, "FAIRLEAD_TEST_BIN"), args...)
}

// launch runs a service proxy, ours or another, and waits until it is healthy.
func launch(t testing.TB, node *lab.Node, program string, args ...string) *daemon {
	t.Helper()
	return begin(t, node, node.Command(context.Background(), program, args...))
}

// begin is launch of a command that is made already.
func begin(t testing.TB, node *lab.Node, cmd *lab.Cmd) *daemon {
	t.Helper()
	d := &daemon{t: t, node: node, cmd: cmd, log: new(buffer), done: make(chan error, 1)}
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	must(t, d.cmd.Start())
	go func() {
		d.done <- d.cmd.Wait()
		close(d.done)
	}()
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		<-d.done //nolint:errcheck // its ports are free for the next one; how it ended is told elsewhere
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", withoutClientGo(d.log.String()))
		}
	})
	d.eventually("healthy", func() error {
		_, err := d.get("10256", "/healthz")
		return err
	})
	return d
}

func withoutClientGo(log string) string {
	var lines []string
	for _, line := range strings.Split(log, "\n") {
		if !strings.Contains(line, "from=client-go") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// get fetches a page of the daemon.
func (d *daemon) get(port, path string) (string, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext: d.node.DialContext, DisableKeepAlives: true,
	}}
	response, err := client.Get("http://127.0.0.1:" + port + path)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return string(body), err
}

// stop asks the daemon to end, as systemd and the kubelet do.
func (d *daemon) stop() {
	d.t.Helper()
	must(d.t, d.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-d.done:
		if _, peer := peerMode(); err != nil && !peer { // kube-proxy dies of the signal
			d.t.Fatalf("after SIGTERM: %v\n%s", err, d.log)
		}
	case <-time.After(2 * time.Minute):
		d.t.Fatal("the daemon does not end")
	}
}

// eventually polls until check succeeds, for at most the limit.
func (d *daemon) eventually(what string, check func() error) {
	d.t.Helper()
	var err error
	limit := cmp.Or(d.limit, 4*time.Minute)
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
		select {
		case end := <-d.done:
			d.t.Fatalf("waiting for %s, the daemon ended: %v\n%s", what, end, d.log)
		default:
		}
	}
	d.t.Fatalf("not %s within %s: %v", what, limit, err)
}

// ipvs returns the node's virtual server table as `ipvsadm -Sn` prints it, without the Service
// "kubernetes", which the API server makes for itself.
func ipvs(t testing.TB, node *lab.Node) string {
	t.Helper()
	out, err := node.Run(t.Context(), "ipvsadm", "-Sn")
	must(t, err)
	var lines []string
	for line := range strings.Lines(out) {
		if !strings.Contains(line, " 172.30.0.1:443 ") && !strings.Contains(line, "[fd00:172:30::1]:443 ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// real servers of one virtual server that get new connections.
func (d *daemon) waitReals(server string, n int) {
	d.t.Helper()
	d.eventually(fmt.Sprintf("%d real servers at %s", n, server), func() error {
		table := ipvs(d.t, d.node)
		count := 0
		for line := range strings.Lines(table) {
			if strings.HasPrefix(line, "-a ") && strings.Contains(line, " "+server+" ") && !strings.HasSuffix(line, "-w 0\n") {
				count++
			}
		}
		if count != n || !strings.Contains(table, " "+server+" ") {
			return fmt.Errorf("the table is\n%s", table)
		}
		return nil
	})
}
