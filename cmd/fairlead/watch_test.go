package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/internal/listen"
)

// watching watches the file at path, and returns what waits until a look has seen this content.
func watching(t *testing.T, path string, look func(), seen <-chan string) (next func(want, when string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		fileWatch{settle: 10 * time.Millisecond, every: 2 * time.Second}.run(ctx, path, look, slog.New(slog.DiscardHandler))
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return func(want, when string) {
		t.Helper()
		deadline := time.After(30 * time.Second)
		for {
			select {
			case got := <-seen:
				if got == want {
					return
				}
			case <-deadline:
				t.Fatalf("%s, and nobody looked", when)
			}
		}
	}
}

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "config.yaml")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// As Kubernetes lays out a ConfigMap: the file is a link through a link, and only the latter changes.
	version := func(name, text string) {
		t.Helper()
		must(os.Mkdir(filepath.Join(dir, name), 0o755))
		must(os.WriteFile(filepath.Join(dir, name, "config.yaml"), []byte(text), 0o600))
		must(os.Symlink(name, filepath.Join(dir, "..tmp")))
		must(os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
	}
	version("..1", "a")
	must(os.Symlink("..data/config.yaml", path))
	seen := make(chan string, 100)
	look := func() {
		data, _ := os.ReadFile(path)
		seen <- string(data)
	}
	next := watching(t, path, look, seen)
	version("..2", "b")
	next("b", "the link changed")
	version("..3", "c")
	next("c", "the link changed again")
	must(os.Remove(path))
	must(os.WriteFile(path, []byte("d"), 0o600))
	next("d", "a plain file came in its place")
	must(os.WriteFile(path, []byte("e"), 0o600))
	next("e", "the file was written to")
	must(os.WriteFile(path+".new", []byte("f"), 0o600))
	must(os.Rename(path+".new", path))
	next("f", "the file was replaced")
}

// TestAChangeIsSeenAtOnce does not wait for the look that comes without a sign.
func TestAChangeIsSeenAtOnce(t *testing.T) {
	path := writeFile(t, "a")
	seen := make(chan struct{}, 100)
	changed := make(chan struct{}, 1)
	if err := onChange(path, changed); err != nil {
		t.Fatal(err)
	}
	go func() {
		for range changed {
			seen <- struct{}{}
		}
	}()
	if err := os.WriteFile(path, []byte("b"), 0o600); err != nil {
		t.Fatal(err)
	}
	select {
	case <-seen:
	case <-time.After(20 * time.Second):
		t.Error("no sign of a change")
	}
}

// TestAFileBehindALinkElsewhereIsLookedAt: the directory that is watched does not change.
func TestAFileBehindALinkElsewhereIsLookedAt(t *testing.T) {
	target := writeFile(t, "a")
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 100)
	next := watching(t, path, func() {
		data, _ := os.ReadFile(path)
		seen <- string(data)
	}, seen)
	if err := os.WriteFile(target, []byte("b"), 0o600); err != nil {
		t.Fatal(err)
	}
	next("b", "the target changed")
}

func TestTheLogChangesItsFormatAndLevel(t *testing.T) {
	var text strings.Builder
	log, configure := newLogger(LoggingConfig{Format: logText, Level: slog.LevelWarn}, &text)
	from := log.With("from", "here").WithGroup("g")
	line := func() string {
		text.Reset()
		from.Info("hello", "a", 1)
		return text.String()
	}
	if got := line(); got != "" {
		t.Errorf("at warn: %s", got)
	}
	configure(LoggingConfig{Format: logText, Level: slog.LevelInfo})
	if got := line(); !strings.HasSuffix(got, "level=INFO msg=hello from=here g.a=1\n") {
		t.Errorf("as text: %s", got)
	}
	configure(LoggingConfig{Format: logJSON, Level: slog.LevelInfo})
	var fields map[string]any
	if err := json.Unmarshal([]byte(line()), &fields); err != nil || fields["msg"] != "hello" || fields["from"] != "here" {
		t.Errorf("as JSON: %v, %v", err, fields)
	}
}

// TestServersMoveToOtherAddresses moves a server to another port, off, and back.
func TestServersMoveToOtherAddresses(t *testing.T) {
	var addrs []netip.AddrPort
	for range 2 {
		l, err := listen.TCP(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, netip.MustParseAddrPort(l.Addr().String()))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan netip.AddrPort, 10)
	configs, ended := make(chan Config), make(chan error, 1)
	go func() {
		ended <- serveEach(ctx, Config{HealthzBindAddress: addrs[0]}, configs, func(ctx context.Context, cfg Config) error {
			served <- cfg.HealthzBindAddress
			return serve(ctx, "healthzBindAddress", cfg.HealthzBindAddress, nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
		})
	}()
	for i, addr := range []netip.AddrPort{addrs[0], addrs[1], {}, addrs[0]} {
		if i > 0 {
			configs <- Config{HealthzBindAddress: addr}
		}
		if got := <-served; got != addr {
			t.Fatalf("served at %s, want %s", got, addr)
		}
		for _, a := range addrs {
			listening(t, a, a == addr)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// listening waits until somebody listens there, or nobody.
func listening(t *testing.T, addr netip.AddrPort, want bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", addr.String(), time.Second)
		if err == nil {
			_ = conn.Close()
		}
		if (err == nil) == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("somebody listens at %s: %v, want %v", addr, err == nil, want)
		}
	}
}
