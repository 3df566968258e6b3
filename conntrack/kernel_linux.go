package conntrack

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/child"
	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// Linux is the Kernel of the network namespace that it was opened in.
//
// It reads and writes with an encoding of its own. vishvananda/netlink holds the whole table in
// memory, decodes all of each flow, deletes with one round trip for each, and does not say which
// one failed and why.
type Linux struct {
	conn  *nlbatch.Conn
	batch nlbatch.Batch
}

var _ Kernel = (*Linux)(nil)

// ErrNoConntrack says that the kernel does not let flows be read.
var ErrNoConntrack = errors.New("the kernel has no connection tracking that can be read: the module nf_conntrack_netlink is neither built in nor loadable")

// Open connects to the table of the current network namespace. It loads the module
// nf_conntrack_netlink where that is possible and returns ErrNoConntrack where it is not.
func Open() (*Linux, error) {
	l, err := open()
	if errors.Is(err, ErrNoConntrack) {
		// Its failure shows in the second try, in words that are clearer than modprobe's.
		_, _ = child.New(context.Background(), "modprobe", "nf_conntrack_netlink").Run()
		l, err = open()
	}
	return l, err
}

func open() (*Linux, error) {
	conn, err := nlbatch.Dial(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, lacking(err)
	}
	var probe nlbatch.Batch
	probe.Begin(messageStat, 0, unix.AF_UNSPEC, 0, 0, 0)
	if errs := conn.Do(&probe); errs != nil {
		conn.Close()
		return nil, lacking(fmt.Errorf("look for connection tracking in the kernel: %w", errs[0]))
	}
	return &Linux{conn: conn}, nil
}

// lacking translates the errno that mean that the kernel lacks netfilter's netlink (no such
// protocol) or its part for connection tracking (an invalid message).
func lacking(err error) error {
	if errors.Is(err, syscall.EPROTONOSUPPORT) || errors.Is(err, syscall.EINVAL) {
		return ErrNoConntrack
	}
	return err
}

// Close releases the socket.
func (l *Linux) Close() error { return l.conn.Close() }

// DeleteStale implements Kernel. It holds in memory what it will delete, about 100 bytes a flow.
func (l *Linux) DeleteStale(frontends Frontends) (deleted int, err error) {
	return frontends.sweep(func(v4 bool) (int, error) { return l.pass(frontends, v4) })
}

// pass reads one family and deletes what is stale of what it saw, also when the reading did not come
// to its end.
func (l *Linux) pass(frontends Frontends, v4 bool) (deleted int, err error) {
	l.batch.Reset()
	encodeDump(&l.batch, v4)
	var deletions nlbatch.Batch
	var flows []Flow
	err = l.conn.Dump(&l.batch, func(message []byte) {
		flow, ok := decode(message)
		if ok && frontends.stale(flow) && encodeDelete(&deletions, message) {
			flows = append(flows, flow)
		}
	})
	if err != nil {
		err = fmt.Errorf("list flows: %w", err)
	}
	deleted, failed := outcome(flows, l.conn.Do(&deletions))
	return deleted, errors.Join(err, failed)
}

// outcome counts what was deleted and names what could not be. A flow that is gone is neither.
func outcome(flows []Flow, errs []error) (deleted int, err error) {
	if errs == nil {
		return len(flows), nil
	}
	var failed []error
	for i, err := range errs {
		switch {
		case err == nil:
			deleted++
		case !errors.Is(err, syscall.ENOENT):
			failed = append(failed, fmt.Errorf("delete flow %s: %w", flows[i], err))
		}
	}
	return deleted, failures(failed)
}
