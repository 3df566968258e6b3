package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"go.uber.org/goleak"
)

// TestCloseLeavesNothing also runs a daemon that nobody stops, a held connection, and a second lab beside the first.
func TestCloseLeavesNothing(t *testing.T) {
	need(t, Supported())
	before := devices(t)
	beside := must(Create(t.Context(), Options{}))(t)
	build(t, beside)
	l := must(Create(t.Context(), Options{}))(t)
	w := build(t, l)
	server := must(w.a.ServeTCP("172.17.0.2:80", "a"))(t)
	must(w.a.ServeHTTP("172.17.0.2:81", "a"))(t)
	must(w.a.ServeUDP("172.17.0.2:80", "a"))(t)
	must(Relay(t.Context(), w.a.Namespace, "127.0.0.1:1", "127.0.0.1:1"))(t)
	must(Hold(t.Context(), w.c.Namespace, server.Addr()))(t)
	daemon := w.node1.Command(context.Background(), "sh", "-c", "sleep 300 & sleep 301")
	check(t, daemon.Start())
	check(t, errors.Join(l.Close(), beside.Close(), l.Close()))
	if err := daemon.Wait(); err == nil {
		t.Error("the daemon ended by itself")
	}
	for _, id := range []string{l.ID, beside.ID} {
		if left := must(LeftBehind(id))(t); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		if mounts := string(must(os.ReadFile("/proc/self/mountinfo"))(t)); strings.Contains(mounts, "fl-"+id) {
			t.Errorf("still mounted: %s", mounts)
		}
	}
	if after := devices(t); after != before {
		t.Errorf("after:\n%s\nbefore:\n%s", after, before)
	}
	goleak.VerifyNone(t)
}

func TestCreateFailsCleanly(t *testing.T) {
	need(t, Supported())
	l := must(Create(t.Context(), Options{}))(t)
	defer l.Close()
	if _, err := Create(t.Context(), Options{ID: l.ID}); err == nil {
		t.Fatal("two labs share an ID")
	}
	if left := must(LeftBehind(l.ID))(t); len(left) != 1 {
		t.Errorf("the failed Create took something of the other lab: %v is left", left)
	}
	if _, err := l.AddNode("../node"); err == nil {
		t.Error("a name leads out of the folder")
	}
	node := must(l.AddNode("node"))(t)
	before := must(node.Dump(t.Context()))(t)
	if _, err := node.AddPod("p", "10.0.0.1", "10.0.0.1"); err == nil {
		t.Error("a pod has one address twice")
	}
	if after := must(node.Dump(t.Context()))(t); after != before {
		t.Errorf("the failed pod left:\n%+v", after)
	}
	if left := must(LeftBehind(l.ID))(t); len(left) != 2 {
		t.Errorf("left: %v, want fabric and node", left)
	}
}

func TestDoReturns(t *testing.T) {
	l := New(t)
	node := must(l.AddNode("node"))(t)
	err := keepThread(func() error {
		origin := must(netns.Get())(t)
		defer origin.Close()
		inner := errors.New("inner")
		if err := node.Do(func() error { return inner }); !errors.Is(err, inner) {
			return fmt.Errorf("Do hides the error: %w", err)
		}
		now := must(netns.Get())(t)
		defer now.Close()
		if !now.Equal(origin) {
			return errors.New("the thread is elsewhere after Do")
		}
		return nil
	})
	check(t, err)
}

// devices are those of the kinds that the lab makes, in the machine's own namespace.
func devices(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for _, link := range must(netlink.LinkList())(t) {
		if kind := link.Type(); kind == "veth" || kind == "bridge" || kind == "dummy" {
			fmt.Fprintf(&out, "%s %s\n", link.Attrs().Name, kind)
		}
	}
	return out.String()
}
