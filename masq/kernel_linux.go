package masq

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/coreos/go-iptables/iptables"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// Linux is the Kernel of the network namespace that it was opened in: ipsets in batches of its own
// encoding, rules through the iptables programs that are installed, one process to list those of a family and one to
// write them.
type Linux struct {
	conn  *nlbatch.Conn
	tools map[Family]tool
	batch nlbatch.Batch

	pages  *nlbatch.Conn // of MoreEntries, between whose calls others come
	paged  Creation      // the set that is being read in pages
	unread []Creation    // the sets behind it

	listed  int           // entries, the last time
	nft     bool          // the rules are nf_tables', which number their generations
	numbers *nlbatch.Conn // asked for these, by whoever sees to the rules
	checked checked

	programs context.Context // none of which outlives it
}

// tool is the iptables program of a family. Beside it are its -save and -restore.
type tool struct {
	path        string
	randomFully bool
}

var (
	_ Kernel = (*Linux)(nil)
	_ Reader = (*Linux)(nil)
)

// Open connects to the current network namespace. A kernel without IPv6 leaves that family out. A
// missing iptables or ip6tables program is an error that says so.
func Open() (*Linux, error) {
	conn, err := nlbatch.Dial(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	pages, err := nlbatch.DialPages(unix.NETLINK_NETFILTER)
	if err != nil {
		conn.Close()
		return nil, err
	}
	numbers, err := nlbatch.Dial(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, errors.Join(err, conn.Close(), pages.Close())
	}
	l := &Linux{conn: conn, pages: pages, numbers: numbers, tools: make(map[Family]tool), programs: context.Background()}
	families := []Family{IPv4}
	if _, err := os.Stat("/proc/thread-self/net/if_inet6"); err == nil {
		families = append(families, IPv6)
	}
	if err := l.findTools(families); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// findTools asks the programs of all families at once: each takes its time to start.
func (l *Linux) findTools(families []Family) error {
	found := make([]tool, len(families))
	var group errgroup.Group
	for i, f := range families {
		group.Go(func() (err error) {
			if found[i], err = findTool(f); err != nil {
				return fmt.Errorf("find iptables for %s: %w", f, err)
			}
			return nil
		})
	}
	err := group.Wait()
	l.nft = true
	for i, f := range families {
		l.tools[f] = found[i]
		l.nft = l.nft && isNFT(found[i].path)
	}
	return err
}

// findTool looks for the program of a family, and lets go-iptables find out what it can do.
func findTool(f Family) (tool, error) {
	name, protocol := "iptables", iptables.ProtocolIPv4
	if f == IPv6 {
		name, protocol = "ip6tables", iptables.ProtocolIPv6
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return tool{}, err
	}
	features, err := iptables.New(iptables.Path(path), iptables.IPFamily(protocol))
	if err != nil {
		return tool{}, err
	}
	return tool{path, features.HasRandomFully()}, nil
}

// Until has programs killed when ctx ends, the one that runs then included: a lock that nobody gives back must not keep who
// uses this kernel from stopping. Without it, and before, each has its own limit. It is to be called first.
func (l *Linux) Until(ctx context.Context) { l.programs = ctx }

// Close releases the sockets.
func (l *Linux) Close() error {
	return errors.Join(l.numbers.Close(), l.pages.Close(), l.conn.Close())
}

// Families implements Kernel.
func (l *Linux) Families() []Family {
	families := []Family{IPv4}
	if _, ok := l.tools[IPv6]; ok {
		families = append(families, IPv6)
	}
	return families
}

// RandomFully implements Kernel.
func (l *Linux) RandomFully(f Family) bool { return l.tools[f].randomFully }

// MissingSets implements Reader.
func (l *Linux) MissingSets() (missing []Creation, err error) {
	for _, c := range allSets(l.Families()) {
		there, err := l.hasSet(c.Set, c.Family)
		if err != nil {
			return nil, err
		}
		if !there {
			missing = append(missing, c)
		}
	}
	return missing, nil
}

// EnsureSets implements Kernel. It looks before it creates, so that a restart writes nothing.
func (l *Linux) EnsureSets() (changed bool, err error) {
	missing, err := l.MissingSets()
	if err != nil {
		return false, err
	}
	for _, c := range missing {
		l.batch.Reset()
		encodeCreate(&l.batch, c.Set, c.Family)
		if errs := l.conn.Do(&l.batch); errs != nil {
			return changed, fmt.Errorf("create ipset %s %s: %w", c.Set.Name(c.Family), c.Set.Type(), setError(errs[0]))
		}
		changed = true
	}
	return changed, nil
}

// hasSet looks for a set. One of that name and another type or family is an error: to the rules it
// would mean something else.
func (l *Linux) hasSet(set Set, f Family) (bool, error) {
	var kind string
	var family uint8
	l.batch.Reset()
	begin(&l.batch, cmdHeader, set, f)
	err := l.conn.Dump(&l.batch, func(payload []byte) { kind, family = decodeHeader(payload) })
	if errors.Is(err, syscall.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for ipset %s: %w", set.Name(f), setError(err))
	}
	if kind != set.Type() || family != familyNumber(f) {
		return false, fmt.Errorf("ipset %s is a %s of family number %d, not a %s for %s: whose is it?",
			set.Name(f), kind, family, set.Type(), f)
	}
	return true, nil
}

// Entries implements Kernel.
func (l *Linux) Entries() (map[Entry]uint32, error) {
	entries := make(map[Entry]uint32, l.listed)
	for _, f := range l.Families() {
		for _, set := range Sets() {
			err := nlbatch.Whole(func() error {
				return l.list(set, f, func(e Entry, mark uint32) { entries[e] = mark })
			})
			if err != nil && !errors.Is(err, syscall.ENOENT) {
				return nil, fmt.Errorf("list ipset %s: %w", set.Name(f), setError(err))
			}
		}
	}
	l.listed = len(entries)
	return entries, nil
}

func (l *Linux) list(set Set, f Family, visit func(Entry, uint32)) error {
	l.batch.Reset()
	begin(&l.batch, cmdList, set, f)
	return l.conn.Dump(&l.batch, func(payload []byte) { decodeEntries(set, payload, visit) })
}

// MoreEntries implements Kernel. A set that is being read can be neither destroyed nor renamed.
func (l *Linux) MoreEntries(fromFirst bool) (map[Entry]uint32, bool, error) {
	if fromFirst {
		l.unread = allSets(l.Families())
	}
	page := make(map[Entry]uint32)
	for first := fromFirst; len(page) == 0 && (l.pages.Dumping() || len(l.unread) > 0); first = false { // an empty set is no page
		if err := l.readPage(first, page); err != nil && !errors.Is(err, syscall.ENOENT) {
			return nil, false, fmt.Errorf("list ipset %s: %w", l.paged.Set.Name(l.paged.Family), setError(err))
		}
	}
	return page, l.pages.Dumping() || len(l.unread) > 0, nil
}

// readPage reads the next page of a set, or the first one of the next set.
func (l *Linux) readPage(nextSet bool, page map[Entry]uint32) error {
	if nextSet || !l.pages.Dumping() {
		l.paged, l.unread = l.unread[0], l.unread[1:]
		l.batch.Reset()
		begin(&l.batch, cmdList, l.paged.Set, l.paged.Family)
		if err := l.pages.Begin(&l.batch); err != nil {
			return err
		}
	}
	_, err := l.pages.More(func(payload []byte) {
		decodeEntries(l.paged.Set, payload, func(e Entry, mark uint32) { page[e] = mark })
	})
	return err
}

// Apply implements Kernel.
func (l *Linux) Apply(ops []Op) []error {
	l.batch.Reset()
	for _, op := range ops {
		encodeOp(&l.batch, op)
	}
	errs := l.conn.Do(&l.batch)
	for i, err := range errs {
		errs[i] = setError(err)
	}
	return errs
}

// setError puts ipset's private error numbers into words.
func setError(err error) error {
	words := map[syscall.Errno]string{
		4097: "protocol error",
		4098: "the kernel lacks this set type",
		4100: "the set is in use, by a rule or by another set",
		4352: "the set is full",
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		if text, ok := words[errno]; ok {
			return fmt.Errorf("%s (ipset error %d)", text, int(errno))
		}
	}
	return err
}

// Remove implements Kernel. It goes on after errors: whatever can go goes.
func (l *Linux) Remove(chains map[Family][]Chain) error {
	l.checked = checked{}
	errs := []error{inFamilies("%s: %w", l.removeRules(chains))}
	for _, f := range l.Families() {
		for _, set := range Sets() {
			l.batch.Reset()
			begin(&l.batch, cmdDestroy, set, f)
			if results := l.conn.Do(&l.batch); results != nil && !errors.Is(results[0], syscall.ENOENT) {
				errs = append(errs, fmt.Errorf("destroy ipset %s: %w", set.Name(f), setError(results[0])))
			}
		}
	}
	return errors.Join(errs...)
}
