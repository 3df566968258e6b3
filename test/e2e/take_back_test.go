//go:build linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// back gives the node back to kube-proxy while everything goes on: the daemon stops, kube-proxy starts, and
// cleanup lets the open connections end.
func (k *takeover) back(d *daemon, config string) *daemon {
	k.t.Helper()
	traffic := newTraffic(k.t, k.tcp, k.opened(), k.udp)
	traffic.mayMiss = int64(len(traffic.talkers)) // one of each flow may be under way when it moves
	traffic.evidence = k.connection
	traffic.more(50)
	started := time.Now()
	d.stop()
	proxy := k.kubeProxy()
	k.serves()
	if err := k.programmed(); err != nil {
		k.t.Errorf("docs/migration.md takes kube-proxy for ready too early: %v", err)
	}
	k.t.Logf("kube-proxy serves at %s", time.Now().Format("15:04:05.000"))
	traffic.more(50)
	said, done := k.drain(proxy, config)
	traffic.more(200)
	if strings.Contains(said.String(), "deleted") {
		k.t.Errorf("cleanup has not waited for the open connections:\n%s", said)
	}
	figures := traffic.result()
	took := time.Since(started)
	traffic.stop() // the drain ends with the connections
	err := <-done
	k.t.Logf("cleanup: %s", said)
	must(k.t, err)
	k.report("back", took, figures)
	k.nothingOfFairleads()
	k.unharmed()
	k.served(proxy)
	return proxy
}

// opened are the targets of new connections on the way back: all but those that docs/migration.md says do not survive.
func (k *takeover) opened() (list []target) {
	for _, to := range k.tcp {
		// The node's own come from the VIP as long as that is bound, and end with it.
		own := k.mode != "ipvs" && to.from == k.node.Namespace
		// kube-proxy drops these between its first writes of table filter and of table nat.
		dropped := k.mode == "iptables" && to == k.guarded
		if !own && !dropped {
			list = append(list, to)
		}
	}
	return list
}

// drain starts the cleanup and waits until kube-proxy's rules are the only ones for new traffic.
func (k *takeover) drain(proxy *daemon, config string) (said *buffer, done chan error) {
	k.t.Helper()
	said, done = new(buffer), make(chan error, 1)
	command := k.documented(docCleanup, config)
	cleanup := k.node.Command(context.Background(), command[0], command[1:]...)
	cleanup.Stdout, cleanup.Stderr = said, said
	must(k.t, cleanup.Start())
	go func() { done <- cleanup.Wait() }()
	proxy.eventually("drained by the cleanup", func() error {
		if !strings.Contains(said.String(), "connections still open") {
			return errors.New(said.String())
		}
		return nil
	})
	return said, done
}

// otherWay removes Fairlead first and starts kube-proxy then: what is open ends, and all is well in the end.
func (k *takeover) otherWay(proxy *daemon, config string) {
	k.t.Helper()
	proxy.kill()
	d := start(k.t, k.node, config)
	d.eventually("rid of kube-proxy's state", k.nothingOfKubeProxys)
	held, err := lab.Hold(k.t.Context(), k.caller.Namespace, k.tcp[0].addr)
	must(k.t, err)
	d.stop()
	out, err := k.node.Run(k.t.Context(), mustEnv(k.t, "FAIRLEAD_TEST_BIN"), "cleanup", "--config", config)
	must(k.t, err)
	k.t.Log(out)
	k.nothingOfFairleads()
	if held.Ping() == nil {
		k.t.Error("a connection has outlived its virtual server: docs/migration.md says that it ends")
	}
	k.served(k.kubeProxy())
	k.unharmed()
}

// programmed fails until kube-proxy has programmed every Service, in both families.
func (k *takeover) programmed() error {
	shows := map[string][]string{
		"iptables": {"iptables-save -t nat", "ip6tables-save -t nat"},
		"nftables": {"nft list map ip kube-proxy service-ips", "nft list map ip6 kube-proxy service-ips"},
		"ipvs":     {"ipset list KUBE-CLUSTER-IP", "ipset list KUBE-6-CLUSTER-IP"},
	}[k.mode]
	for i, show := range shows {
		if k.path != "" {
			show = strings.Replace(show, "tables-", "tables-legacy-", 1)
		}
		command := strings.Fields(show)
		out, err := k.node.Run(context.Background(), command[0], command[1:]...)
		if err != nil {
			return err
		}
		for _, v := range k.services {
			addr := fmt.Sprintf([]string{clusterNet4, clusterNet6}[i], v.number)
			if !strings.Contains(out, addr+"/") && !strings.Contains(out, addr+" ") && !strings.Contains(out, addr+",") {
				return errors.New(show + " does not show " + addr)
			}
		}
	}
	return nil
}

// nothingOfFairleads fails if anything is left.
func (k *takeover) nothingOfFairleads() {
	k.t.Helper()
	for _, command := range append(savers(), "ipset save") {
		fields := strings.Fields(command)
		out, err := k.node.Run(k.t.Context(), fields[0], fields[1:]...)
		must(k.t, err)
		if strings.Contains(strings.ToLower(out), "fairlead") {
			k.t.Errorf("%s:\n%s", command, out)
		}
	}
	if k.mode == "ipvs" {
		return
	}
	if table := ipvs(k.t, k.node); table != "" {
		k.t.Errorf("virtual servers:\n%s", table)
	}
	out, err := k.node.Run(k.t.Context(), "ip", "-o", "link")
	must(k.t, err)
	if strings.Contains(out, "kube-ipvs0") {
		k.t.Errorf("devices:\n%s", out)
	}
}

// clientPort finds the port of this end in an error about a connection.
var clientPort = regexp.MustCompile(`read tcp \S+:(\d+)->`)

// connection logs what connection tracking and IPVS know of the connection that an error is about.
func (k *takeover) connection(err error) {
	match := clientPort.FindStringSubmatch(err.Error())
	if match == nil {
		return
	}
	for _, command := range []string{"conntrack -L -p tcp", "conntrack -L -p tcp -f ipv6", "ipvsadm -Lnc"} {
		fields := strings.Fields(command)
		out, _ := k.node.Run(context.Background(), fields[0], fields[1:]...)
		for line := range strings.Lines(out) {
			if strings.Contains(line, match[1]) {
				k.t.Logf("%s %s: %s", time.Now().Format("15:04:05.000"), command, line)
			}
		}
	}
}
