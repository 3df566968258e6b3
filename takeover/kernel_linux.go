package takeover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/child"
	"github.com/fairlead-lb/fairlead/internal/nlbatch"
	"github.com/fairlead-lb/fairlead/masq"
)

// lockWait is how long, in seconds, one iptables call waits for another's lock.
const lockWait = "30"

// Linux is the Kernel of the network namespace that it was opened in. Rules go through the iptables
// programs of both variants, as far as they are installed; sets and nftables through netlink.
type Linux struct {
	conn  *nlbatch.Conn
	batch nlbatch.Batch
	saved map[Table]string // by variant and family, since Tables was called

	programs context.Context // none of which outlives it
}

var _ Kernel = (*Linux)(nil)

// Open connects to the current network namespace.
func Open() (*Linux, error) {
	conn, err := nlbatch.Dial(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	return &Linux{conn: conn, saved: make(map[Table]string), programs: context.Background()}, nil
}

// Until has programs killed when ctx ends, the one that runs then included. It is to be called first.
func (l *Linux) Until(ctx context.Context) { l.programs = ctx }

// Close releases the socket.
func (l *Linux) Close() error { return l.conn.Close() }

// Tables implements Kernel. Tables of the legacy variant are asked for only where the kernel says that
// they are there: to list one would make it.
func (l *Linux) Tables() (tables []Table, err error) {
	l.saved = make(map[Table]string)
	for _, f := range []masq.Family{masq.IPv4, masq.IPv6} {
		if f == masq.IPv6 && !hasIPv6() {
			continue
		}
		if path, _ := l.program(NFT, f, "-save"); path != "" {
			for _, name := range tableNames() {
				tables = append(tables, Table{NFT, f, name})
			}
		}
		legacy, legacyErr := legacyTables(f)
		if path, _ := l.program(Legacy, f, "-save"); path == "" && len(legacy) > 0 {
			legacyErr = errors.Join(legacyErr, fmt.Errorf("tables of the legacy variant of iptables are in use for %s, and its programs are not installed", f))
			legacy = nil
		}
		err = errors.Join(err, legacyErr)
		for _, name := range legacy {
			tables = append(tables, Table{Legacy, f, name})
		}
	}
	slices.SortStableFunc(tables, func(a, b Table) int {
		return slices.Index(tableNames(), a.Name) - slices.Index(tableNames(), b.Name)
	})
	return tables, err
}

func hasIPv6() bool {
	_, err := os.Stat("/proc/thread-self/net/if_inet6")
	return err == nil
}

// legacyTables lists the tables of the legacy variant that this network namespace has.
func legacyTables(f masq.Family) (names []string, err error) {
	path := "/proc/thread-self/net/ip_tables_names"
	if f == masq.IPv6 {
		path = "/proc/thread-self/net/ip6_tables_names"
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for name := range strings.FieldsSeq(string(text)) {
		if slices.Contains(tableNames(), name) {
			names = append(names, name)
		}
	}
	return names, err
}

// program finds a program of a variant: under the name that says so, or under the plain one.
func (l *Linux) program(v Variant, f masq.Family, suffix string) (path string, err error) {
	base := "iptables"
	if f == masq.IPv6 {
		base = "ip6tables"
	}
	if path, err = exec.LookPath(base + "-" + string(v) + suffix); err == nil {
		return path, nil
	}
	plain, err := exec.LookPath(base + suffix)
	if err != nil {
		return "", err
	}
	version, err := child.New(l.programs, plain, "--version").Run()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", plain, err)
	}
	if nft := strings.Contains(version, "nf_tables"); nft != (v == NFT) {
		return "", fmt.Errorf("%s is not of the %s variant", plain, v)
	}
	return plain, nil
}

// Save implements Kernel. One process lists all tables of a variant and family: what is not there costs as
// much to look for as what is.
func (l *Linux) Save(t Table) (string, error) {
	these := Table{Variant: t.Variant, Family: t.Family}
	if text, known := l.saved[these]; known {
		return text, nil
	}
	path, err := l.program(t.Variant, t.Family, "-save")
	if err != nil {
		return "", err
	}
	text, err := child.New(l.programs, path).Run()
	if err == nil {
		l.saved[these] = text
	}
	return text, err
}

// Restore implements Kernel.
func (l *Linux) Restore(t Table, input string) error {
	path, err := l.program(t.Variant, t.Family, "-restore")
	if err != nil {
		return err
	}
	clear(l.saved)
	_, err = child.New(l.programs, path, "--noflush", "--wait", lockWait).Input(input).Run()
	return err
}
