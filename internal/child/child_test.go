package child

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestAProgramThatEndsIsHeard(t *testing.T) {
	out, err := New(t.Context(), "cat").Input("rules\n").Run()
	if out != "rules\n" || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	_, err = New(t.Context(), "sh", "-c", "echo no lock >&2; exit 4").Run()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 4 || err.Error() != "sh: exit status 4: no lock" {
		t.Errorf("%v", err)
	}
	if _, err = New(t.Context(), "no-such-program").Run(); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

// TestAProgramThatHangsIsKilled, also where what it has started keeps its output open.
func TestAProgramThatHangsIsKilled(t *testing.T) {
	for _, script := range []string{"echo waiting >&2; exec sleep 60", "echo waiting >&2; sleep 60; true"} {
		started := time.Now()
		_, err := limited(t.Context(), 100*time.Millisecond, "sh", "-c", script).Run()
		if err == nil || !strings.HasPrefix(err.Error(), "sh was killed, for it had not ended within 100ms") || !strings.HasSuffix(err.Error(), ": waiting") {
			t.Errorf("%s: %v", script, err)
		}
		if took := time.Since(started); took > 30*time.Second {
			t.Errorf("%s: it took %s", script, took)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := New(ctx, "sleep", "60").Run(); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "sleep was killed") {
		t.Errorf("%v", err)
	}
}
