package ipvs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	moby "github.com/moby/ipvs"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/child"
	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// Linux is the Kernel of the network namespace that it was opened in. What there may be very many of it
// writes in batches of its own encoding, and reads by its own decoding; the rest is moby/ipvs'.
type Linux struct {
	conn   *nlbatch.Conn
	pages  *nlbatch.Conn // of MoreServers, between whose calls others come
	family uint16
	reader *moby.Handle
	proc   *os.File // the whole table as text
	batch  nlbatch.Batch
	listed int // virtual servers, the last time
}

var _ Kernel = (*Linux)(nil)

// ErrNoIPVS says that the kernel has no IPVS. moby/ipvs would go on and pretend that every write
// succeeds.
var ErrNoIPVS = errors.New("the kernel has no IPVS: the module ip_vs is neither built in nor loadable")

// Open connects to the virtual server table of the current network namespace. It loads the module
// ip_vs where that is possible and returns ErrNoIPVS where it is not.
func Open() (*Linux, error) {
	family, err := genericFamily()
	if err != nil {
		return nil, err
	}
	conn, err := nlbatch.Dial(unix.NETLINK_GENERIC)
	if err != nil {
		return nil, err
	}
	pages, err := nlbatch.Dial(unix.NETLINK_GENERIC)
	if err != nil {
		conn.Close()
		return nil, err
	}
	reader, err := moby.New("")
	if err != nil {
		pages.Close()
		conn.Close()
		return nil, fmt.Errorf("open IPVS reader: %w", err)
	}
	// An open file stays with its network namespace, whatever thread reads it.
	proc, err := os.Open("/proc/thread-self/net/ip_vs")
	if err != nil {
		reader.Close()
		pages.Close()
		conn.Close()
		return nil, fmt.Errorf("open the IPVS table: %w", err)
	}
	return &Linux{conn: conn, pages: pages, family: family, reader: reader, proc: proc}, nil
}

// genericFamily returns the number of the generic netlink family IPVS.
func genericFamily() (uint16, error) {
	family, err := netlink.GenlFamilyGet("IPVS")
	if errors.Is(err, unix.ENOENT) {
		// Its failure shows in the second look-up, in words that are clearer than modprobe's.
		_, _ = child.New(context.Background(), "modprobe", "ip_vs").Run()
		family, err = netlink.GenlFamilyGet("IPVS")
	}
	if errors.Is(err, unix.ENOENT) {
		return 0, ErrNoIPVS
	}
	if err != nil {
		return 0, fmt.Errorf("look for IPVS in the kernel: %w", err)
	}
	return family.ID, nil
}

// Close releases the sockets.
func (l *Linux) Close() error {
	l.reader.Close()
	return errors.Join(l.proc.Close(), l.pages.Close(), l.conn.Close())
}

// OpenConnections counts the connections that are open or being opened, by protocol, address and port of the
// frontend: those of a virtual server by mark, too, are under what the client came to. It reads all that IPVS knows,
// in the network namespace of the calling thread.
func (l *Linux) OpenConnections() (map[Key]int, error) {
	in, err := os.Open("/proc/thread-self/net/ip_vs_conn")
	if err != nil {
		return nil, fmt.Errorf("open the table of connections: %w", err)
	}
	defer in.Close()
	open, err := openConnections(in)
	if err != nil {
		return nil, fmt.Errorf("read the table of connections: %w", err)
	}
	return open, nil
}

// Apply implements Kernel.
func (l *Linux) Apply(ops []Op) []error {
	l.batch.Reset()
	for _, op := range ops {
		encode(&l.batch, l.family, op)
	}
	errs := l.conn.Do(&l.batch)
	for i, err := range errs {
		if err != nil {
			errs[i] = classify(ops[i], err)
		}
	}
	return errs
}

// classify gives an errno the meaning that it has for the operation. The standard library maps
// EEXIST and ENOENT but not ESRCH, and IPVS says ENOENT for a scheduler that it lacks.
func classify(op Op, err error) error {
	addsServer := op.Verb == AddServer || op.Verb == EditServer
	switch {
	case errors.Is(err, syscall.ENOENT) && addsServer:
		return fmt.Errorf("%w: %s", ErrNoScheduler, op.Server.Scheduler)
	case errors.Is(err, syscall.EINVAL) && op.Verb == AddReal: // ip_vs_new_dest, net/netfilter/ipvs/ip_vs_ctl.c
		return ErrInvalidReal
	case errors.Is(err, syscall.ESRCH):
		return fmt.Errorf("%w (%w)", fs.ErrNotExist, err)
	}
	return err
}

// Servers implements Kernel.
func (l *Linux) Servers() (servers map[Key]VirtualServer, err error) {
	decoder := decoder{make(map[string]string)}
	err = nlbatch.Whole(func() error {
		servers = make(map[Key]VirtualServer, l.listed)
		l.batch.Reset()
		l.batch.Begin(l.family, 0, cmdGetService, genlVersion, 0, 0)
		return l.conn.Dump(&l.batch, func(payload []byte) {
			if k, v, ok := decoder.server(payload); ok {
				servers[k] = v
			}
		})
	})
	if err != nil {
		return nil, err
	}
	l.listed = len(servers)
	return servers, nil
}

// MoreServers implements Kernel.
func (l *Linux) MoreServers(fromFirst bool) (map[Key]VirtualServer, bool, error) {
	if fromFirst {
		l.batch.Reset()
		l.batch.Begin(l.family, 0, cmdGetService, genlVersion, 0, 0)
		if err := l.pages.Begin(&l.batch); err != nil {
			return nil, false, err
		}
	}
	decoder, page := decoder{make(map[string]string)}, make(map[Key]VirtualServer)
	more, err := l.pages.More(func(payload []byte) {
		if k, v, ok := decoder.server(payload); ok {
			page[k] = v
		}
	})
	return page, more, err
}

// Server implements Kernel.
func (l *Linux) Server(k Key) (v VirtualServer, there bool, err error) {
	decoder := decoder{make(map[string]string)}
	l.batch.Reset()
	l.batch.Begin(l.family, 0, cmdGetService, genlVersion, 0, 0)
	encodeServer(&l.batch, Op{Verb: DeleteServer, Key: k}) // its name, and nothing else
	err = l.conn.Ask(&l.batch, func(payload []byte) { _, v, there = decoder.server(payload) })
	if errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.ENOENT) {
		return v, false, nil
	}
	return v, there, err
}

// RealServers implements Kernel. Of a virtual server that is not there the kernel tells none.
func (l *Linux) RealServers(k Key) (reals map[netip.AddrPort]RealStatus, err error) {
	err = l.dumpReals(k, func() { reals = make(map[netip.AddrPort]RealStatus) }, func(payload []byte) {
		if at, status, ok := realStatus(payload); ok {
			reals[at] = status
		}
	})
	return reals, err
}

// dumpReals visits the messages about the real servers of a virtual server, and begins anew where the kernel was
// interrupted.
func (l *Linux) dumpReals(k Key, begin func(), visit func(payload []byte)) error {
	return nlbatch.Whole(func() error {
		begin()
		l.batch.Reset()
		l.batch.Begin(l.family, 0, cmdGetDest, genlVersion, 0, 0)
		encodeServer(&l.batch, Op{Verb: DeleteServer, Key: k}) // its name, and nothing else
		return l.conn.Dump(&l.batch, visit)
	})
}

// Counters reads the counters of every virtual server, in one dump.
func (l *Linux) Counters() (all map[Key]Counters, err error) {
	decoder := decoder{make(map[string]string)}
	err = nlbatch.Whole(func() error {
		all = make(map[Key]Counters)
		l.batch.Reset()
		l.batch.Begin(l.family, 0, cmdGetService, genlVersion, 0, 0)
		return l.conn.Dump(&l.batch, func(payload []byte) {
			if k, _, ok := decoder.server(payload); ok {
				all[k] = serverCounters(payload)
			}
		})
	})
	return all, err
}

// RealCounters reads the counters of the real servers of one virtual server; of one that is not there there are none.
func (l *Linux) RealCounters(k Key) (all map[netip.AddrPort]Counters, err error) {
	err = l.dumpReals(k, func() { all = make(map[netip.AddrPort]Counters) }, func(payload []byte) {
		if at, c, ok := realCounters(payload); ok {
			all[at] = c
		}
	})
	return all, err
}

// MoreRealServers implements Kernel.
func (l *Linux) MoreRealServers(fromFirst bool, limit int) (map[Key]map[netip.AddrPort]RealStatus, bool, error) {
	if fromFirst {
		if _, err := l.proc.Seek(0, io.SeekStart); err != nil {
			return nil, false, err
		}
	}
	return moreOfProc(l.proc, limit)
}

// Timeouts are the idle times after which IPVS forgets a connection. Zero leaves the kernel's.
type Timeouts struct{ TCP, TCPFin, UDP time.Duration }

// TimeoutsDiffer reports whether SetTimeouts would write.
func (l *Linux) TimeoutsDiffer(want Timeouts) (bool, error) {
	have, next, err := l.timeouts(want)
	return err == nil && next != have, err
}

// SetTimeouts changes the non-zero timeouts that differ from the kernel's. Whole seconds.
func (l *Linux) SetTimeouts(want Timeouts) error {
	have, next, err := l.timeouts(want)
	if err != nil || next == have {
		return err
	}
	if err := l.reader.SetConfig(&next); err != nil {
		return fmt.Errorf("set IPVS timeouts: %w", err)
	}
	return nil
}

// timeouts returns those of the kernel, and with those that are wanted.
func (l *Linux) timeouts(want Timeouts) (have, next moby.Config, err error) {
	config, err := l.reader.GetConfig()
	if err != nil {
		return have, next, fmt.Errorf("read IPVS timeouts: %w", err)
	}
	have, next = *config, *config
	for _, p := range []struct {
		to   *time.Duration
		want time.Duration
	}{{&next.TimeoutTCP, want.TCP}, {&next.TimeoutTCPFin, want.TCPFin}, {&next.TimeoutUDP, want.UDP}} {
		if p.want > 0 {
			*p.to = p.want
		}
	}
	return have, next, nil
}

// ProbeScheduler implements Kernel. Where the module's name does not already answer, it asks the kernel with a virtual server for a firewall
// mark that nothing sets, which lives for the time between two requests.
//
// It loads the module first. The kernel would load it by itself, but under the lock of its table,
// and lblc and lblcr register with every network namespace: when one is being taken down at that
// moment, which also wants the table's lock, both wait for ever, and with them everything that
// concerns network namespaces (seen on Linux 6.1).
func (l *Linux) ProbeScheduler(scheduler string) error {
	module := "ip_vs_" + scheduler
	if _, err := os.Stat("/sys/module/" + module); err == nil {
		return nil
	}
	// Its failure shows in the kernel's answer.
	if _, err := child.New(context.Background(), "modprobe", module).Run(); err == nil {
		return nil
	}
	probe := &moby.Service{
		AddressFamily: familyIPv4, FWMark: probeMark, SchedName: scheduler, Netmask: 0xffffffff,
	}
	err := l.reader.NewService(probe)
	if errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("%w: %s (tried to load ip_vs_%s; known ones are %s)",
			ErrNoScheduler, scheduler, scheduler, strings.Join(Schedulers(), " "))
	}
	if err != nil {
		return fmt.Errorf("probe scheduler %s: %w", scheduler, err)
	}
	if err := l.reader.DelService(probe); err != nil {
		return fmt.Errorf("remove the probe for scheduler %s: %w", scheduler, err)
	}
	return nil
}

// LookForScheduler is ProbeScheduler for those who may not change anything: it loads no module and asks by no
// virtual server. It returns ErrNoScheduler only where modprobe says that there is no such module.
func LookForScheduler(scheduler string) error {
	module := "ip_vs_" + scheduler
	if _, err := os.Stat("/sys/module/" + module); err == nil {
		return nil
	}
	_, err := child.New(context.Background(), "modprobe", "--dry-run", module).Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && strings.Contains(err.Error(), "not found") {
		return fmt.Errorf("%w: %s (there is no module %s; known ones are %s)", ErrNoScheduler, scheduler, module, strings.Join(Schedulers(), " "))
	}
	return nil
}

const probeMark = 0xfa171ead
