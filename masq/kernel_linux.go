package masq

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/coreos/go-iptables/iptables"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// lockWait is how long, in seconds, one iptables call waits for another's lock.
const lockWait = 30

// Linux is the Kernel of the network namespace that it was opened in: ipsets in batches of its own
// encoding, rules through the iptables programs that are installed.
type Linux struct {
	conn  *nlbatch.Conn
	tools map[Family]*iptables.IPTables
	paths map[Family]string // of the same programs
	batch nlbatch.Batch
}

var _ Kernel = (*Linux)(nil)

// Open connects to the current network namespace. A kernel without IPv6 leaves that family out. A
// missing iptables or ip6tables program is an error that says so.
func Open() (*Linux, error) {
	conn, err := nlbatch.Dial(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	l := &Linux{conn: conn, tools: make(map[Family]*iptables.IPTables), paths: make(map[Family]string)}
	protocols := map[Family]iptables.Protocol{IPv4: iptables.ProtocolIPv4}
	if _, err := os.Stat("/proc/thread-self/net/if_inet6"); err == nil {
		protocols[IPv6] = iptables.ProtocolIPv6
	}
	for f, protocol := range protocols {
		name := map[Family]string{IPv4: "iptables", IPv6: "ip6tables"}[f]
		path, err := exec.LookPath(name)
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("find iptables for %s: %w", f, err)
		}
		tool, err := iptables.New(iptables.Path(path), iptables.IPFamily(protocol), iptables.Timeout(lockWait))
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("find iptables for %s: %w", f, err)
		}
		l.tools[f], l.paths[f] = tool, path
	}
	return l, nil
}

// Close releases the socket.
func (l *Linux) Close() error { return l.conn.Close() }

// Families implements Kernel.
func (l *Linux) Families() []Family {
	families := []Family{IPv4}
	if l.tools[IPv6] != nil {
		families = append(families, IPv6)
	}
	return families
}

// RandomFully implements Kernel.
func (l *Linux) RandomFully(f Family) bool { return l.tools[f].HasRandomFully() }

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
func (l *Linux) Entries() (map[Entry]struct{}, error) {
	entries := make(map[Entry]struct{})
	for _, f := range l.Families() {
		for _, set := range Sets() {
			err := l.list(set, f, func(e Entry) { entries[e] = struct{}{} })
			if err != nil && !errors.Is(err, syscall.ENOENT) {
				return nil, fmt.Errorf("list ipset %s: %w", set.Name(f), setError(err))
			}
		}
	}
	return entries, nil
}

func (l *Linux) list(set Set, f Family, visit func(Entry)) error {
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

// EnsureRules implements Kernel. Missing or wrong rules are inserted at the top before the old
// ones are deleted, so that there is no moment without them.
func (l *Linux) EnsureRules(f Family, chains []Chain) (written int, err error) {
	listed, err := l.listing(f, chains)
	if err != nil {
		return 0, err
	}
	for _, c := range chains {
		n, err := l.ensureChain(f, c, listed[c.Table])
		written += n
		if err != nil {
			return written, fmt.Errorf("%s %s: %w", c.Table, c.Name, trimmed(err))
		}
	}
	return written, nil
}

// listing returns the rules of every chain, by table and chain. It starts one process for a table,
// where go-iptables would start one for each chain: this is what every audit does. And to ask for a
// chain that does not exist gives errors that differ between the variants of iptables.
func (l *Linux) listing(f Family, chains []Chain) (map[string]map[string][]string, error) {
	listed := make(map[string]map[string][]string)
	for _, c := range chains {
		if listed[c.Table] != nil {
			continue
		}
		out, err := exec.Command(l.paths[f], "-t", c.Table, "-S", "--wait", strconv.Itoa(lockWait)).Output()
		if err != nil {
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
			}
			return nil, fmt.Errorf("list table %s: %w", c.Table, err)
		}
		listed[c.Table] = byChain(string(out))
	}
	return listed, nil
}

func (l *Linux) ensureChain(f Family, c Chain, listed map[string][]string) (written int, err error) {
	tool := l.tools[f]
	lines, exists := listed[c.Name]
	if !exists {
		err = tool.NewChain(c.Table, c.Name)
	}
	if err != nil {
		return 0, err
	}
	old, _ := ourRules(lines)
	if slices.EqualFunc(old, c.Rules, func(o found, r Rule) bool { return o.comment == r.Comment }) {
		return 0, nil
	}
	for i, rule := range c.Rules {
		if err := tool.Insert(c.Table, c.Name, i+1, rule.Spec()...); err != nil {
			return written, err
		}
		written++
	}
	return written, l.deleteRules(f, c, old, len(c.Rules))
}

// deleteRules deletes rules by number, the last one first, after offset others came before them.
func (l *Linux) deleteRules(f Family, c Chain, rules []found, offset int) error {
	for _, rule := range slices.Backward(rules) {
		if err := l.tools[f].DeleteById(c.Table, c.Name, rule.number+offset); err != nil {
			return fmt.Errorf("delete rule %q: %w", rule.comment, err)
		}
	}
	return nil
}

// Remove implements Kernel. It goes on after errors: whatever can go goes.
func (l *Linux) Remove(chains map[Family][]Chain) error {
	var errs []error
	for f, list := range chains {
		listed, err := l.listing(f, list)
		errs = append(errs, err)
		for _, c := range slices.Backward(list) { // jumps before the chains that they lead to
			lines, exists := listed[c.Table][c.Name]
			if !exists {
				continue
			}
			if err := l.removeChain(f, c, lines); err != nil {
				errs = append(errs, fmt.Errorf("%s %s %s: %w", f, c.Table, c.Name, trimmed(err)))
			}
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

// removeChain deletes Fairlead's rules from a chain, and then the chain if they were all it had.
// KUBE-MARK-MASQ and KUBE-POSTROUTING may have come from somebody else, who may still use them: an
// empty one is left.
func (l *Linux) removeChain(f Family, c Chain, lines []string) error {
	ours, others := ourRules(lines)
	if err := l.deleteRules(f, c, ours, 0); err != nil {
		return err
	}
	shared := strings.HasPrefix(c.Name, "KUBE-")
	if c.BuiltIn || others > 0 || shared && len(ours) == 0 {
		return nil
	}
	if err := l.tools[f].DeleteChain(c.Table, c.Name); err != nil {
		return fmt.Errorf("delete the chain (does a rule of somebody else's lead there?): %w", err)
	}
	return nil
}

// trimmed takes the line end off what a program said.
func trimmed(err error) error { return errors.New(strings.TrimSpace(err.Error())) }
