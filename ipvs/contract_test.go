package ipvs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
)

// contract is what every Kernel does. Each script is one batch; what a line must fail with is
// behind its #. The table that is left is in dump, in the order of Dump.
var contract = []struct{ name, script, dump string }{
	{
		"all protocols and families have tables of their own",
		`-A -t 10.96.0.10:53 -s rr
		 -A -u 10.96.0.10:53 -s rr
		 -A --sctp-service 10.96.0.10:53 -s rr
		 -A -t [fd00:10:96::a]:53 -s rr
		 -A -u [fd00:10:96::a]:53 -s rr
		 -A --sctp-service [fd00:10:96::a]:53 -s rr
		 -a -t 10.96.0.10:53 -r 10.1.0.1:5353 -m -w 1
		 -a -u 10.96.0.10:53 -r 10.1.0.2:5353 -m -w 1
		 -a --sctp-service 10.96.0.10:53 -r 10.1.0.3:5353 -m -w 1
		 -a -t [fd00:10:96::a]:53 -r [fd00:1::1]:5353 -m -w 1
		 -a -u [fd00:10:96::a]:53 -r [fd00:1::2]:5353 -m -w 1
		 -a --sctp-service [fd00:10:96::a]:53 -r [fd00:1::3]:5353 -m -w 1`,
		`-A -t 10.96.0.10:53 -s rr
		 -a -t 10.96.0.10:53 -r 10.1.0.1:5353 -m -w 1
		 -A -u 10.96.0.10:53 -s rr
		 -a -u 10.96.0.10:53 -r 10.1.0.2:5353 -m -w 1
		 -A --sctp-service 10.96.0.10:53 -s rr
		 -a --sctp-service 10.96.0.10:53 -r 10.1.0.3:5353 -m -w 1
		 -A -t [fd00:10:96::a]:53 -s rr
		 -a -t [fd00:10:96::a]:53 -r [fd00:1::1]:5353 -m -w 1
		 -A -u [fd00:10:96::a]:53 -s rr
		 -a -u [fd00:10:96::a]:53 -r [fd00:1::2]:5353 -m -w 1
		 -A --sctp-service [fd00:10:96::a]:53 -s rr
		 -a --sctp-service [fd00:10:96::a]:53 -r [fd00:1::3]:5353 -m -w 1`,
	},
	{
		"a firewall mark has a virtual server in each family, of its own",
		`-A -f 1342177282 -s rr
		 -A -f 1342177282 -6 -s wrr -p 300
		 -A -f 1342177282 -s rr # exists
		 -A -f 2 -s sh -b sh-fallback
		 -a -f 1342177282 -r 10.1.0.1:5353 -m -w 1
		 -a -f 1342177282 -r 10.1.0.2:5354 -m -w 0
		 -a -f 1342177282 -6 -r [fd00:1::1]:5353 -m -w 1
		 -a -f 2 -r 10.1.0.1:5353 -m -w 7
		 -E -f 2 -s rr -p 60
		 -e -f 1342177282 -r 10.1.0.2:5354 -m -w 3
		 -d -f 1342177282 -r 10.1.0.1:5353
		 -D -f 2 -6 # missing
		 -a -f 3 -r 10.1.0.1:5353 -m -w 7 # missing`,
		`-A -f 2 -s rr -p 60
		 -a -f 2 -r 10.1.0.1:5353 -m -w 7
		 -A -f 1342177282 -s rr
		 -a -f 1342177282 -r 10.1.0.2:5354 -m -w 3
		 -A -f 1342177282 -6 -s wrr -p 300
		 -a -f 1342177282 -6 -r [fd00:1::1]:5353 -m -w 1`,
	},
	{
		"deleting by mark leaves what is by address",
		`-A -f 2 -s rr
		 -a -f 2 -r 10.1.0.1:5353 -m -w 1
		 -A -t 10.96.0.10:80 -s rr
		 -a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1
		 -D -f 2
		 -d -f 2 -r 10.1.0.1:5353 # missing`,
		`-A -t 10.96.0.10:80 -s rr
		 -a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1`,
	},
	{
		"adding twice is refused and changes nothing",
		`-A -t 10.96.0.10:80 -s rr
		 -A -t 10.96.0.10:80 -s lc # exists
		 -a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1
		 -a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 7 # exists`,
		`-A -t 10.96.0.10:80 -s rr
		 -a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1`,
	},
	{
		"editing and deleting what is missing is refused",
		`-E -t 10.96.0.10:80 -s rr # missing
		 -D -t 10.96.0.10:80 # missing
		 -a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1 # missing
		 -e -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1 # missing
		 -d -t 10.96.0.10:80 -r 10.1.0.1:8080 # missing
		 -A -t 10.96.0.10:80 -s rr
		 -e -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1 # missing
		 -d -t 10.96.0.10:80 -r 10.1.0.1:8080 # missing
		 -D -u 10.96.0.10:80 # missing
		 -D -t [fd00:10:96::a]:80 # missing`,
		`-A -t 10.96.0.10:80 -s rr`,
	},
	{
		"deleting a virtual server takes its real servers along",
		`-A -t 10.96.0.10:80 -s rr
		 -a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1
		 -a -t 10.96.0.10:80 -r 10.1.0.2:8080 -m -w 1
		 -D -t 10.96.0.10:80
		 -d -t 10.96.0.10:80 -r 10.1.0.1:8080 # missing
		 -A -t 10.96.0.10:80 -s rr
		 -a -t 10.96.0.10:80 -r 10.1.0.2:8080 -m -w 3`,
		`-A -t 10.96.0.10:80 -s rr
		 -a -t 10.96.0.10:80 -r 10.1.0.2:8080 -m -w 3`,
	},
	{
		"persistence survives the round trip, and an edit takes it away",
		`-A -t 10.96.0.10:80 -s rr -p 10800
		 -A -u 10.96.0.10:80 -s rr -p 1
		 -A -t [fd00:10:96::a]:80 -s rr -p 300
		 -A -t 10.96.0.11:80 -s rr -p 300
		 -E -t 10.96.0.11:80 -s rr
		 -A -t 10.96.0.12:80 -s rr
		 -E -t 10.96.0.12:80 -s rr -p 60`,
		`-A -t 10.96.0.10:80 -s rr -p 10800
		 -A -u 10.96.0.10:80 -s rr -p 1
		 -A -t 10.96.0.11:80 -s rr
		 -A -t 10.96.0.12:80 -s rr -p 60
		 -A -t [fd00:10:96::a]:80 -s rr -p 300`,
	},
	{
		"flags survive the round trip, and an edit takes them away",
		`-A -t 10.96.0.10:80 -s sh -b sh-fallback,sh-port
		 -A -t 10.96.0.11:80 -s mh -b mh-fallback
		 -A -t 10.96.0.12:80 -s mh -b mh-port
		 -A -t 10.96.0.13:80 -s rr -b flag-1,flag-2,flag-3
		 -A -u 10.96.0.14:80 -s rr -p 5 -o -b flag-3
		 -A -t 10.96.0.15:80 -s mh -b mh-fallback,mh-port
		 -A -t 10.96.0.16:80 -s sh -b sh-fallback,sh-port
		 -E -t 10.96.0.16:80 -s sh -b sh-port
		 -A -t 10.96.0.17:80 -s mh -p 9 -b mh-port
		 -E -t 10.96.0.17:80 -s mh`,
		`-A -t 10.96.0.10:80 -s sh -b sh-fallback,sh-port
		 -A -t 10.96.0.11:80 -s mh -b mh-fallback
		 -A -t 10.96.0.12:80 -s mh -b mh-port
		 -A -t 10.96.0.13:80 -s rr -b flag-1,flag-2,flag-3
		 -A -u 10.96.0.14:80 -s rr -p 5 -o -b flag-3
		 -A -t 10.96.0.15:80 -s mh -b mh-fallback,mh-port
		 -A -t 10.96.0.16:80 -s sh -b sh-port
		 -A -t 10.96.0.17:80 -s mh`,
	},
	{
		"weights from 0 to 65535 are kept",
		`-A -t 10.96.0.10:80 -s wrr
		 -a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 0
		 -a -t 10.96.0.10:80 -r 10.1.0.2:8080 -m -w 65535
		 -a -t 10.96.0.10:80 -r 10.1.0.3:8080 -m -w 1
		 -e -t 10.96.0.10:80 -r 10.1.0.3:8080 -m -w 0
		 -a -t 10.96.0.10:80 -r 10.1.0.4:8080 -m -w 0
		 -e -t 10.96.0.10:80 -r 10.1.0.4:8080 -m -w 5`,
		`-A -t 10.96.0.10:80 -s wrr
		 -a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 0
		 -a -t 10.96.0.10:80 -r 10.1.0.2:8080 -m -w 65535
		 -a -t 10.96.0.10:80 -r 10.1.0.3:8080 -m -w 0
		 -a -t 10.96.0.10:80 -r 10.1.0.4:8080 -m -w 5`,
	},
	{
		"the scheduler is changed in place, under the real servers",
		`-A -t 10.96.0.10:80 -s rr
		 -a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 2
		 -E -t 10.96.0.10:80 -s lc
		 -E -t 10.96.0.10:80 -s mh -b mh-port`,
		`-A -t 10.96.0.10:80 -s mh -b mh-port
		 -a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 2`,
	},
	{
		"an unknown scheduler is an error of its own, behind the more general ones",
		`-A -t 10.96.0.10:80 -s nosuch # no scheduler
		 -E -t 10.96.0.10:80 -s nosuch # missing
		 -A -t 10.96.0.10:80 -s rr
		 -A -t 10.96.0.10:80 -s nosuch # exists
		 -E -t 10.96.0.10:80 -s nosuch # no scheduler`,
		`-A -t 10.96.0.10:80 -s rr`,
	},
	{
		"a real server may be the same address with another port",
		`-A -t 10.96.0.10:80 -s rr
		 -a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1
		 -a -t 10.96.0.10:80 -r 10.1.0.1:8081 -m -w 1
		 -d -t 10.96.0.10:80 -r 10.1.0.1:8080`,
		`-A -t 10.96.0.10:80 -s rr
		 -a -t 10.96.0.10:80 -r 10.1.0.1:8081 -m -w 1`,
	},
	{
		"a real server that can be no host's address is an error of its own, and the others are taken",
		`-A -t 10.96.0.10:80 -s rr
		 -a -t 10.96.0.10:80 -r 0.0.0.0:8080 -m -w 1 # invalid
		 -a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1
		 -a -t 10.96.0.10:80 -r 224.0.0.1:8080 -m -w 1 # invalid
		 -a -t 10.96.0.10:80 -r 255.255.255.255:8080 -m -w 1 # invalid
		 -A -t [fd00:10:96::a]:80 -s rr
		 -a -t [fd00:10:96::a]:80 -r [ff02::1]:8080 -m -w 1 # invalid
		 -a -t [fd00:10:96::a]:80 -r [fe80::1]:8080 -m -w 1 # invalid`,
		`-A -t 10.96.0.10:80 -s rr
		 -a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1
		 -A -t [fd00:10:96::a]:80 -s rr`,
	},
	{"an empty batch is nothing", ``, ``},
}

// subject is a Kernel under contract.
type subject struct {
	Kernel
	saved func() string // the table as the operator's tool shows it, or nil
}

func openFake(testing.TB) subject { return subject{Kernel: NewFake()} }

func TestContractOfTheFake(t *testing.T) { testContract(t, openFake) }

func TestContractOfTheKernel(t *testing.T) {
	kerneltest.Want(t)
	testContract(t, openKernel)
}

func testContract(t *testing.T, open func(testing.TB) subject) {
	for _, c := range contract {
		t.Run(c.name, func(t *testing.T) {
			k := open(t)
			runScript(t, k, c.script, c.dump)
			bothWaysOfReadingAgree(t, k)
		})
	}
	t.Run("of many operations exactly the wrong ones fail", func(t *testing.T) { everySeventhFails(t, open(t)) })
	t.Run("pages tell all virtual servers", func(t *testing.T) { pagesTellAll(t, open(t)) })
	t.Run("a missing virtual server has no real servers, without an error", func(t *testing.T) {
		reals, err := open(t).RealServers(parse(t, "-D -t 10.96.0.10:80").Key)
		if len(reals) > 0 || err != nil {
			t.Errorf("got %v, %v", reals, err)
		}
	})
	t.Run("real servers without connections are idle", func(t *testing.T) {
		k := open(t)
		ops := script(t, "-A -t 10.96.0.10:80 -s rr\n-a -t 10.96.0.10:80 -r 10.1.0.1:80 -m -w 4")
		k.Apply(ops)
		reals, err := k.RealServers(ops[0].Key)
		want := map[netip.AddrPort]RealStatus{ops[1].Real: {RealServer: RealServer{Weight: 4}}}
		if diff := cmp.Diff(want, reals, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		if !reals[ops[1].Real].Idle() {
			t.Error("busy")
		}
	})
}

// pagesTellAll reads virtual servers in pages, which a dump, a write and a beginning anew do not disturb, and one by one.
func pagesTellAll(t *testing.T, k Kernel) {
	var ops []Op
	want := make(map[Key]VirtualServer)
	for n := range 400 {
		op := parse(t, fmt.Sprintf("-A -t 10.96.%d.%d:80 -s %s", n/200, n%200+1, []string{"rr", "wlc -p 60"}[n%2]))
		ops, want[op.Key] = append(ops, op), op.Server
	}
	if errs := k.Apply(ops); errs != nil {
		t.Fatal(errors.Join(errs...))
	}
	if _, more, err := k.MoreServers(true); !more || err != nil {
		t.Fatalf("all in one page, or %v", err)
	}
	// The kernel counts those of other namespaces, too: while the one of an earlier test is being taken down, a page may
	// leave one out.
	for tries := 1; ; tries++ {
		got := inPages(t, k, Op{Verb: EditServer, Key: ops[0].Key, Server: want[ops[0].Key]}, len(ops))
		if maps.Equal(got, want) {
			break
		}
		if tries == 5 {
			t.Fatalf("%d in all pages, want %d", len(got), len(want))
		}
	}
	for _, op := range ops[:3] {
		if one, there, err := k.Server(op.Key); one != want[op.Key] || !there || err != nil {
			t.Errorf("%s: %+v, %v, %v; want %+v", op.Key, one, there, err, want[op.Key])
		}
	}
	for _, absent := range []string{"-D -t 10.96.0.250:80", "-D -u [fd00::9]:53", "-D -f 77"} {
		if one, there, err := k.Server(parse(t, absent).Key); there || err != nil {
			t.Errorf("%s: %+v, %v", absent, one, err)
		}
	}
}

// inPages reads all virtual servers in pages of less than half of them, and writes and reads all at once in between.
func inPages(t *testing.T, k Kernel, write Op, all int) map[Key]VirtualServer {
	t.Helper()
	got := make(map[Key]VirtualServer)
	for first, more := true, true; more; first = false {
		var page map[Key]VirtualServer
		var err error
		if page, more, err = k.MoreServers(first); err != nil {
			t.Fatal(err)
		}
		if len(page) > all/2 {
			t.Errorf("%d of %d in one page", len(page), all)
		}
		maps.Copy(got, page)
		if errs := k.Apply([]Op{write}); errs != nil {
			t.Fatal(errs)
		}
		if now, err := k.Servers(); len(now) < all-1 || err != nil {
			t.Fatalf("meanwhile %d virtual servers, %v", len(now), err)
		}
	}
	return got
}

// bothWaysOfReadingAgree reads real servers for one virtual server at a time, and all at once.
func bothWaysOfReadingAgree(t *testing.T, k Kernel) {
	t.Helper()
	servers, err := k.Servers()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[Key]map[netip.AddrPort]RealStatus)
	for first, more := true, true; more; first = false {
		var next map[Key]map[netip.AddrPort]RealStatus
		if next, more, err = k.MoreRealServers(first, 1); err != nil {
			t.Fatal(err)
		}
		maps.Copy(all, next)
	}
	for key := range servers {
		one, err := k.RealServers(key)
		if err != nil {
			t.Fatal(err)
		}
		if among, shown := all[key]; shown && !maps.Equal(one, among) {
			t.Errorf("%s: %v by itself, %v among all", key, one, among)
		}
		delete(all, key)
	}
	if len(all) > 0 {
		t.Errorf("real servers of virtual servers that are not there: %v", all)
	}
}

func runScript(t *testing.T, k subject, text, dump string) {
	var ops []Op
	var wants []string
	for _, line := range lines(text) {
		command, want, _ := strings.Cut(line, " # ")
		ops, wants = append(ops, parse(t, command)), append(wants, want)
	}
	errs := k.Apply(ops)
	if errs == nil {
		errs = make([]error, len(ops))
	}
	for i, op := range ops {
		if got := nameOf(errs[i]); got != wants[i] {
			t.Errorf("line %d, %s: got %q, want %q (%v)", i, op, got, wants[i], errs[i])
		}
	}
	got := Dump(k)
	if diff := cmp.Diff(lines(dump), lines(got)); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	copied, err := Copy(k)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lines(got), lines(copied.Dump())); diff != "" {
		t.Errorf("a copy (-of +has):\n%s", diff)
	}
	if k.saved != nil {
		if diff := cmp.Diff(sorted(k.saved()), sorted(got)); diff != "" {
			t.Errorf("(-ipvsadm -Sn +Dump):\n%s", diff)
		}
	}
}

// nameOf is the word of the scripts for an error.
func nameOf(err error) string {
	var names []string
	for name, target := range map[string]error{"exists": fs.ErrExist, "missing": fs.ErrNotExist, "no scheduler": ErrNoScheduler, "invalid": ErrInvalidReal} {
		if errors.Is(err, target) {
			names = append(names, name)
		}
	}
	if err != nil && len(names) == 0 {
		return err.Error()
	}
	return strings.Join(names, " and ")
}

// everySeventhFails sends 1,500 additions, enough for several sends of nlbatch, every seventh of
// which repeats the one before it.
func everySeventhFails(t *testing.T, k subject) {
	server := parse(t, "-A -t 10.96.0.10:80 -s rr")
	ops := []Op{server}
	for i := 1; i < 1500; i++ {
		op := parse(t, fmt.Sprintf("-a -t 10.96.0.10:80 -r 10.1.%d.%d:8080 -m -w 1", i/250, i%250+1))
		if i%7 == 6 {
			op = ops[i-1]
		}
		ops = append(ops, op)
	}
	errs := k.Apply(ops)
	if len(errs) != len(ops) {
		t.Fatalf("%d results for %d operations", len(errs), len(ops))
	}
	good := 0
	for i, err := range errs {
		want := ""
		if i%7 == 6 {
			want = "exists"
		} else {
			good++
		}
		if got := nameOf(err); got != want {
			t.Fatalf("operation %d, %s: got %q, want %q", i, ops[i], got, want)
		}
	}
	reals, err := k.RealServers(server.Key)
	if len(reals) != good-1 || err != nil {
		t.Errorf("%d real servers, want %d; %v", len(reals), good-1, err)
	}
}

func TestOperationsReadAsIpvsadmArguments(t *testing.T) {
	for _, c := range contract {
		for _, line := range lines(c.script) {
			command, _, _ := strings.Cut(line, " # ")
			if got := parse(t, command).String(); got != command {
				t.Errorf("\n got %s\nwant %s", got, command)
			}
		}
	}
}
