//go:build linux

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// theirs is what kube-proxy's mode ipvs had programmed, and what the kernel tells about addresses since then.
type theirs struct {
	servers string         // ipvsadm -Sn
	conns   map[string]int // connections so far, by virtual server
	addrs   string
	monitor *bytes.Buffer
	stop    func()
}

// look remembers what there is in mode ipvs.
func (k *takeover) look() *theirs {
	k.t.Helper()
	if k.mode != "ipvs" {
		return nil
	}
	out, err := k.node.Run(k.t.Context(), "ip", "-o", "addr", "show", "dev", "kube-ipvs0")
	must(k.t, err)
	was := &theirs{servers: ipvs(k.t, k.node), conns: k.conns(), addrs: out, monitor: new(bytes.Buffer)}
	cmd := k.node.Command(k.t.Context(), "ip", "-ts", "monitor", "address")
	cmd.Stdout, cmd.Stderr = was.monitor, was.monitor
	must(k.t, cmd.Start())
	was.stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	return was
}

// conns counts the connections that each virtual server has had.
func (k *takeover) conns() map[string]int {
	k.t.Helper()
	out, err := k.node.Run(k.t.Context(), "ipvsadm", "-Ln", "--stats", "--exact")
	must(k.t, err)
	counts := make(map[string]int)
	for line := range strings.Lines(out) {
		var protocol, server string
		var n int
		if _, err := fmt.Sscan(line, &protocol, &server, &n); err == nil && protocol != "->" {
			counts[protocol+" "+server] = n
		}
	}
	return counts
}

// adopted fails unless virtual servers and addresses were taken over in place, and those of the Service that
// had gone went.
func (k *takeover) adopted(d *daemon, was *theirs) {
	k.t.Helper()
	if was == nil {
		return
	}
	stale, stale6 := fmt.Sprintf(clusterNet4, k.stale.number), fmt.Sprintf(clusterNet6, k.stale.number)
	if !strings.Contains(was.servers, stale+":") || !strings.Contains(was.addrs, stale+"/") {
		k.t.Fatalf("kube-proxy had not programmed %s", stale)
	}
	d.eventually("rid of what kube-proxy served and nobody wants", func() error {
		out, err := k.node.Run(k.t.Context(), "ip", "-o", "addr", "show", "dev", "kube-ipvs0")
		if err == nil && (strings.Contains(out, stale+"/") || strings.Contains(out, stale6+"/") || strings.Contains(ipvs(k.t, k.node), stale+":")) {
			err = errors.New("still there: " + stale)
		}
		return err
	})
	was.stop()
	deleted := 0
	for line := range strings.Lines(was.monitor.String()) {
		if strings.Contains(line, "Deleted") && strings.Contains(line, "kube-ipvs0") {
			deleted++
		}
	}
	if deleted != 2 { // of the Service that went, one for each family
		k.t.Errorf("%d addresses were deleted, want 2:\n%s", deleted, was.monitor)
	}
	now := k.conns()
	for server, before := range was.conns {
		if strings.Contains(server, stale+":") || strings.Contains(server, "["+stale6+"]") {
			continue
		}
		if after, there := now[server]; !there || after < before {
			k.t.Errorf("%s has had %d connections, and %d before: it is another one", server, after, before)
		}
	}
}
