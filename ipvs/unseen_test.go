package ipvs

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// many is a table, as ipvsadm saves it, of so many TCP virtual servers with two real servers each.
func many(servers int) string {
	var text strings.Builder
	for n := range servers {
		fmt.Fprintf(&text, "-A -t 10.96.0.%d:80 -s rr\n", n)
		for real := range 2 {
			fmt.Fprintf(&text, "-a -t 10.96.0.%d:80 -r 10.1.%d.%d:8080 -m -w 1\n", n, real, n)
		}
	}
	return text.String()
}

const unseenServers = 40

// restarted is a rig over virtual servers that an earlier daemon has left, too many to be read at once.
func restarted(t *testing.T) *rig {
	r := newRig(t, drainTimeout)
	r.tooMany = unseenServers - 1
	r.outside(many(unseenServers))
	r.resync(always)
	if r.Unseen() != unseenServers || r.fake.Messages != 1 {
		t.Fatalf("%d unseen after %d messages", r.Unseen(), r.fake.Messages)
	}
	return r
}

// read reads what is awaited, as the controller does before it writes.
func (r *rig) read() {
	r.t.Helper()
	if err := r.ReadAwaited(); err != nil {
		r.t.Fatal(err)
	}
	r.mustSync()
}

// readAll goes on to the end of the first reading, in steps, and writes what they find.
func (r *rig) readAll() {
	r.t.Helper()
	for r.Unread() > 0 {
		drift, err := r.ResyncReals(7)
		if drift != 0 || err != nil {
			r.t.Fatalf("drift %d, %v", drift, err)
		}
		r.mustSync()
	}
}

func TestWhatAnEarlierDaemonLeftIsReadStepByStep(t *testing.T) {
	r := restarted(t)
	r.want(many(unseenServers))
	r.read()
	if r.fake.Messages != 1 || r.Pending() != unseenServers {
		t.Errorf("%d messages, %d pending, want 1 and all", r.fake.Messages, r.Pending())
	}
	r.want(many(unseenServers)) // nothing new
	r.read()
	r.readAll()
	r.wrote("")
	if r.fake.Messages != 1+unseenServers || r.Pending() != 0 || r.Unseen() != 0 {
		t.Errorf("%d messages, %d pending, %d unseen", r.fake.Messages, r.Pending(), r.Unseen())
	}
	if got := r.Size(); got.RealServers != 2*unseenServers || got.VirtualServers != unseenServers {
		t.Errorf("size %+v", got)
	}
}

func TestAChangeIsServedByOneReading(t *testing.T) {
	const (
		real    = "-a -t 10.96.0.7:80 -r 10.1.1.7:8080 -m -w 1"
		another = "-a -t 10.96.0.7:80 -r 10.1.2.7:8080 -m -w 1"
	)
	for _, c := range []struct{ name, from, to, writes string }{
		{"a real server more", real, real + "\n" + another, another},
		{"a real server fewer", real, "", "-e -t 10.96.0.7:80 -r 10.1.1.7:8080 -m -w 0\n-d -t 10.96.0.7:80 -r 10.1.1.7:8080"},
		{"another scheduler", "-A -t 10.96.0.7:80 -s rr", "-A -t 10.96.0.7:80 -s wlc", "-E -t 10.96.0.7:80 -s wlc"},
		{"persistence", "-A -t 10.96.0.7:80 -s rr", "-A -t 10.96.0.7:80 -s rr -p 60", "-E -t 10.96.0.7:80 -s rr -p 60"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := restarted(t)
			r.want(many(unseenServers))
			r.read()
			r.want(strings.Replace(many(unseenServers), c.from, c.to, 1))
			r.read()
			if got := r.fake.Messages - 1; got != 1+len(r.fake.Writes) {
				t.Errorf("%d messages, want one reading and the writes", got)
			}
			if r.Unseen() != unseenServers-1 {
				t.Errorf("%d are unseen", r.Unseen())
			}
			r.now = r.now.Add(firstPoll)
			r.mustSync() // the drain, if there is one
			r.wrote(c.writes)
			r.readAll()
			r.wrote("")
		})
	}
}

// TestAServerThatIsConfiguredOtherwiseIsReadAtOnce: the dump of the virtual servers has told so.
func TestAServerThatIsConfiguredOtherwiseIsReadAtOnce(t *testing.T) {
	r := restarted(t)
	r.want(strings.Replace(many(unseenServers), "10.96.0.7:80 -s rr", "10.96.0.7:80 -s wlc", 1))
	if r.Awaited() != 1 {
		t.Errorf("%d awaited, want 1", r.Awaited())
	}
	r.read()
	r.wrote("-E -t 10.96.0.7:80 -s wlc")
}

func TestDriftOfTheTimeWithoutADaemonIsHealed(t *testing.T) {
	r := restarted(t)
	r.outside("-d -t 10.96.0.7:80 -r 10.1.0.7:8080\n-a -t 10.96.0.8:80 -r 10.1.9.8:8080 -m -w 1")
	r.want(many(unseenServers))
	r.read()
	r.wrote("")
	r.readAll()
	r.now = r.now.Add(firstPoll)
	r.mustSync()
	r.wrote("-a -t 10.96.0.7:80 -r 10.1.0.7:8080 -m -w 1\n-e -t 10.96.0.8:80 -r 10.1.9.8:8080 -m -w 0\n-d -t 10.96.0.8:80 -r 10.1.9.8:8080")
	r.holds(sortedDump(t, many(unseenServers)))
}

// TestOrphansStayUntilTheyHaveBeenRead, and then their connections end.
func TestOrphansStayUntilTheyHaveBeenRead(t *testing.T) {
	r := restarted(t)
	r.want(many(unseenServers - 1))
	orphan := script(t, "-A -t 10.96.0.39:80 -s rr")[0].Key
	r.fake.SetConnections(orphan, script(t, "-a -t 10.96.0.39:80 -r 10.1.0.39:8080 -m")[0].Real, 1)
	r.read()
	r.wrote("")
	if !r.Holds(orphan) {
		t.Error("not held, though nobody has looked at its connections")
	}
	r.readAll()
	r.wrote("-e -t 10.96.0.39:80 -r 10.1.0.39:8080 -m -w 0\n-e -t 10.96.0.39:80 -r 10.1.1.39:8080 -m -w 0")
	r.now = r.now.Add(drainTimeout)
	r.mustSync()
	r.holds(sortedDump(t, many(unseenServers-1)))
}

// TestAServerThatIsUndesiredIsReadAndDrained, at once.
func TestAServerThatIsUndesiredIsReadAndDrained(t *testing.T) {
	r := restarted(t)
	r.want(many(unseenServers))
	r.read()
	r.want(many(unseenServers - 1))
	r.read()
	r.wrote("-e -t 10.96.0.39:80 -r 10.1.0.39:8080 -m -w 0\n-e -t 10.96.0.39:80 -r 10.1.1.39:8080 -m -w 0")
	if r.Unseen() != unseenServers-1 {
		t.Errorf("%d are unseen", r.Unseen())
	}
}

// TestARemovedRealServerThatWasUnseenIsDrained, while nobody can say whether the others are wanted.
func TestARemovedRealServerThatWasUnseenIsDrained(t *testing.T) {
	r := restarted(t)
	r.outside("-a -t 10.96.0.7:80 -r 10.1.9.7:8080 -m -w 1")
	r.want(many(unseenServers))
	r.want(strings.Replace(many(unseenServers), "-a -t 10.96.0.7:80 -r 10.1.1.7:8080 -m -w 1", "", 1))
	if err := r.ReadAwaited(); err != nil {
		t.Fatal(err)
	}
	if err := r.DrainRemoved(); err != nil {
		t.Fatal(err)
	}
	r.wrote("-e -t 10.96.0.7:80 -r 10.1.1.7:8080 -m -w 0")
}

// TestNothingIsWrittenToWhatCannotBeRead: it waits, and comes again.
func TestNothingIsWrittenToWhatCannotBeRead(t *testing.T) {
	r := restarted(t)
	k := script(t, "-A -t 10.96.0.7:80 -s rr")[0].Key
	kernel := &unreadable{Fake: r.fake, reals: map[Key]error{k: syscall.ENOBUFS}}
	r.kernel = kernel
	r.want(many(unseenServers))
	r.want(strings.Replace(many(unseenServers), "-a -t 10.96.0.7:80 -r 10.1.1.7:8080 -m -w 1", "", 1))
	if err := r.ReadAwaited(); err == nil {
		t.Error("no error")
	}
	for !r.Tried() {
		_, _ = r.ResyncReals(7)
	}
	r.mustSync()
	r.wrote("")
	if r.Settled(k) || r.Unread() != 1 || r.Unseen() != 1 || r.Awaited() != 1 {
		t.Errorf("settled: %t; %d unread, %d unseen, %d awaited", r.Settled(k), r.Unread(), r.Unseen(), r.Awaited())
	}
	kernel.reals = nil
	r.read()
	r.wrote("-e -t 10.96.0.7:80 -r 10.1.1.7:8080 -m -w 0")
}

// TestAnAuditFindsUnseenServersGone and makes them anew. It asks for each by name, and reads no real servers.
func TestAnAuditFindsUnseenServersGone(t *testing.T) {
	r := restarted(t)
	r.want(many(unseenServers))
	r.outside("-D -t 10.96.0.7:80")
	if drift := r.resync(always); drift != 1 {
		t.Errorf("drift %d, want 1", drift)
	}
	if dump, asked := 1, 1; r.Unseen() != unseenServers-1 || r.fake.Messages != dump+asked {
		t.Errorf("%d unseen, %d messages", r.Unseen(), r.fake.Messages)
	}
	r.mustSync()
	r.fake.Writes = nil
	r.readAll()
	r.wrote("")
	r.holds(sortedDump(t, many(unseenServers)))
}
