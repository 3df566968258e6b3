package masq

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAProgramThatHangsIsAnErrorThatNamesIt, and does not outlive the context that it was given.
func TestAProgramThatHangsIsAnErrorThatNamesIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "iptables")
	if err := os.WriteFile(path+"-save", []byte("#!/bin/sh\necho waiting for the lock >&2\nexec sleep 600\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l := &Linux{tools: map[Family]tool{IPv4: {path: path}}}
	l.Until(ctx)
	time.AfterFunc(200*time.Millisecond, cancel)
	started := time.Now()
	_, err := l.EnsureRules(map[Family][]Chain{IPv4: nil})
	if err == nil || !strings.Contains(err.Error(), "ensure the IPv4 rules: list the rules: iptables-save was killed: context canceled") {
		t.Errorf("%v", err)
	}
	if took := time.Since(started); took > time.Minute {
		t.Errorf("it took %s", took)
	}
}
