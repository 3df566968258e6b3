package program

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
)

func TestStatus(t *testing.T) {
	terminated := signalError{syscall.SIGTERM}
	for _, c := range []struct {
		name       string
		cause, err error
		want       int
	}{
		{"the command's own", nil, nil, 7},
		{"a failure", nil, errors.New("no kernel"), 125},
		{"the time limit", nil, fmt.Errorf("running: %w", ErrTimeLimit), 124},
		{"a signal", terminated, terminated, 143},
		{"a failure because of a signal", terminated, errors.New("broken pipe"), 143},
		{"a signal at the very end", terminated, nil, 143},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			if c.cause != nil {
				cancel(c.cause)
			}
			if got := Name("test").Status(ctx, 7, c.err); got != c.want {
				t.Errorf("%d, want %d", got, c.want)
			}
		})
	}
}

func TestRun(t *testing.T) {
	for script, want := range map[string]int{"exit 7": 7, "kill -9 $$": 137, "exit $WORD": 3, ":": 0} {
		if got, err := Run(t.Context(), []string{"sh", "-c", script}, []string{"WORD=3"}); got != want || err != nil {
			t.Errorf("%s: %d, %v; want %d", script, got, err, want)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ErrTimeLimit)
	if _, err := Run(ctx, []string{"true"}, nil); !errors.Is(err, ErrTimeLimit) {
		t.Errorf("canceled: %v", err)
	}
}

func TestCacheDir(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", dir)
	t.Setenv("HOME", dir)
	for env, want := range map[string]string{dir: dir, "": "fairlead"} {
		t.Setenv("FAIRLEAD_CACHE", env)
		got, err := CacheDir()
		if err != nil || got != want && filepath.Base(got) != want {
			t.Errorf("%q: %q, %v", env, got, err)
		}
	}
}
