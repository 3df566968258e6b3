package controller

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// TestQuestionsAreAnsweredInEveryWait: while the first list is waited for, and while there is nothing to do.
func TestQuestionsAreAnsweredInEveryWait(t *testing.T) {
	r := newRig(t)
	ctx, stop := context.WithCancel(t.Context())
	listed := make(chan struct{})
	go func() {
		defer close(r.c.ended)
		_ = r.c.work(ctx, func(context.Context) error { <-listed; return nil })
	}()
	for _, state := range []string{"waiting for the first list", "resting"} {
		asked, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		answered := false
		if err := r.c.look(asked, func() { answered = true }); err != nil || !answered {
			t.Errorf("%s: answered %t, %v", state, answered, err)
		}
		cancel()
		if state != "resting" {
			close(listed)
		}
	}
	stop()
	<-r.c.ended
	if err := r.c.look(t.Context(), func() {}); !errors.Is(err, errEnded) {
		t.Errorf("after the end: %v", err)
	}
}

// TestOwnersChangeTheirGeneration: whoever knows the answer already is told so, and only then.
func TestOwnersChangeTheirGeneration(t *testing.T) {
	r := newRig(t)
	name := r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1"))
	r.round()
	owners, generation := r.c.claims.owners(), r.c.claims.generation
	key := r.key("10.96.0.10:80", ipvs.TCP)
	want := Owner{Service: name, Kind: "ClusterIP"}
	if owners[key] != want || len(owners) != 1 {
		t.Fatalf("owners are %v, not %v", owners, want)
	}
	r.c.dirty.add(name)
	r.round()
	if r.c.claims.generation != generation {
		t.Error("the generation changes although no owner does")
	}
}
