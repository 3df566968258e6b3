package masq

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/coreos/go-iptables/iptables"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// lockWait is how long, in seconds, one iptables call waits for another's lock.
const lockWait = "30"

// Linux is the Kernel of the network namespace that it was opened in: ipsets in batches of its own
// encoding, rules through the iptables programs that are installed, two or three processes for a family.
type Linux struct {
	conn  *nlbatch.Conn
	tools map[Family]tool
	batch nlbatch.Batch
}

// tool is the iptables program of a family. Beside it is its -restore.
type tool struct {
	path        string
	randomFully bool
}

var _ Kernel = (*Linux)(nil)

// Open connects to the current network namespace. A kernel without IPv6 leaves that family out. A
// missing iptables or ip6tables program is an error that says so.
func Open() (*Linux, error) {
	conn, err := nlbatch.Dial(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	l := &Linux{conn: conn, tools: make(map[Family]tool)}
	families := []Family{IPv4}
	if _, err := os.Stat("/proc/thread-self/net/if_inet6"); err == nil {
		families = append(families, IPv6)
	}
	for _, f := range families {
		if l.tools[f], err = findTool(f); err != nil {
			conn.Close()
			return nil, fmt.Errorf("find iptables for %s: %w", f, err)
		}
	}
	return l, nil
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

// Close releases the socket.
func (l *Linux) Close() error { return l.conn.Close() }

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

// EnsureSets implements Kernel. It looks before it creates, so that a restart writes nothing.
func (l *Linux) EnsureSets() (changed bool, err error) {
	for _, f := range l.Families() {
		for _, set := range Sets() {
			there, err := l.hasSet(set, f)
			if err != nil {
				return changed, err
			}
			if there {
				continue
			}
			l.batch.Reset()
			encodeCreate(&l.batch, set, f)
			if errs := l.conn.Do(&l.batch); errs != nil {
				return changed, fmt.Errorf("create ipset %s %s: %w", set.Name(f), set.Type(), setError(errs[0]))
			}
			changed = true
		}
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
	entries := make(map[Entry]uint32)
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
	return entries, nil
}

func (l *Linux) list(set Set, f Family, visit func(Entry, uint32)) error {
	l.batch.Reset()
	begin(&l.batch, cmdList, set, f)
	return l.conn.Dump(&l.batch, func(payload []byte) { decodeEntries(set, payload, visit) })
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

// EnsureRules implements Kernel. New rules come in and old ones go in one commit of each table.
func (l *Linux) EnsureRules(f Family, chains []Chain) (written int, err error) {
	now, err := l.rules(f, chains)
	if err != nil {
		return 0, err
	}
	input, written := ensureInput(chains, now)
	if err := l.restore(f, input); err != nil {
		return 0, err
	}
	return written, nil
}

// rules lists the tables that the chains are in. It starts one process for a table, where go-iptables
// would start one for each chain: this is what every audit does. And to ask for a chain that does not
// exist gives errors that differ between the variants of iptables.
func (l *Linux) rules(f Family, chains []Chain) (listing, error) {
	now := make(listing)
	for _, c := range chains {
		if now[c.Table] != nil {
			continue
		}
		out, err := l.run(exec.Command(l.tools[f].path, "-t", c.Table, "-S", "--wait", lockWait))
		if err != nil {
			return nil, fmt.Errorf("list table %s: %w", c.Table, err)
		}
		now[c.Table] = byChain(out)
	}
	return now, nil
}

// restore has iptables-restore carry out its input.
func (l *Linux) restore(f Family, input string) error {
	if input == "" {
		return nil
	}
	cmd := exec.Command(l.tools[f].path+"-restore", "--noflush", "--wait", lockWait)
	cmd.Stdin = strings.NewReader(input)
	if _, err := l.run(cmd); err != nil {
		return fmt.Errorf("write rules: %w", err)
	}
	return nil
}

// run runs a program. Its error tells what the program said.
func (l *Linux) run(cmd *exec.Cmd) (stdout string, err error) {
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, bytes.TrimSpace(exit.Stderr))
	}
	return string(out), err
}

// Remove implements Kernel. It goes on after errors: whatever can go goes.
func (l *Linux) Remove(chains map[Family][]Chain) error {
	var errs []error
	for f, list := range chains {
		if err := l.removeRules(f, list); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f, err))
		}
	}
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

func (l *Linux) removeRules(f Family, chains []Chain) error {
	now, err := l.rules(f, chains)
	if err != nil {
		return err
	}
	input, stay := removeInput(chains, now)
	if err := l.restore(f, input); err != nil {
		return err
	}
	if len(stay) > 0 {
		return fmt.Errorf("a rule of somebody else's leads to %s, which therefore stays", strings.Join(stay, " and "))
	}
	return nil
}
