package controller

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// errEnded is the answer to questions that come when Run has returned.
var errEnded = errors.New("the controller has stopped")

// look has f called by the goroutine that owns the controller's state, between two portions of its work, and
// returns when it has been. f must be short: while it runs, nothing is programmed. Who wants to know much
// asks many times. It is safe for concurrent use, while Run runs.
func (c *Controller) look(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case c.looks <- func() { f(); close(done) }:
	case <-c.ended:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
	<-done
	return nil
}

// answer answers a question, if there is one.
func (c *Controller) answer() {
	select {
	case f := <-c.looks:
		f()
	default:
	}
}

// rest answers questions until something is to be done: until ctx ends, the time is over, or, unless wake is nil,
// something comes from there.
func (c *Controller) rest(ctx context.Context, wait time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
			return
		case <-timer.C:
			return
		case f := <-c.looks:
			f()
		}
	}
}

// restUntil answers questions until f returns, and returns what it returned.
func (c *Controller) restUntil(f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	for {
		select {
		case err := <-done:
			return err
		case f := <-c.looks:
			f()
		}
	}
}

// Owner is who has a virtual server.
type Owner struct {
	Service types.NamespacedName
	Kind    string // ClusterIP, NodePort, LoadBalancer, ExternalIP; Local: by firewall mark
	Port    string // of one by firewall mark: the name of the Service port

	Protocol ipvs.Protocol // of one by firewall mark, whose Key has none
}

// LocalKind is the Kind of virtual servers by firewall mark: clients from outside meet local endpoints there.
const LocalKind = "Local"

// Owners returns who has each virtual server that is desired, and the generation of that answer. Where known is
// that generation, nothing has changed since, and the map is nil. It is safe for concurrent use, while Run runs.
func (c *Controller) Owners(ctx context.Context, known uint64) (owners map[ipvs.Key]Owner, generation uint64, err error) {
	err = c.look(ctx, func() {
		if generation = c.claims.generation; generation != known {
			owners = c.claims.owners()
		}
	})
	return owners, generation, err
}

// owners returns who has each virtual server that is desired.
func (c *claims) owners() map[ipvs.Key]Owner {
	owners := make(map[ipvs.Key]Owner, len(c.servers)+2*len(c.marks.of))
	for key, claim := range c.servers {
		owners[key] = Owner{Service: claim.claimants[0].name, Kind: claim.claimants[0].kind.String()}
	}
	for owner, mark := range c.marks.of {
		for _, key := range []ipvs.Key{ipvs.MarkKey(mark, false), ipvs.MarkKey(mark, true)} {
			if c.ipvs.Desires(key) {
				owners[key] = Owner{Service: owner.service, Kind: LocalKind, Port: owner.port, Protocol: owner.protocol}
			}
		}
	}
	return owners
}
