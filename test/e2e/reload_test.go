//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// configMap is a directory that the kubelet would have mounted: the file is a link through a link, and a
// new version is another target of the latter.
type configMap struct {
	t       testing.TB
	dir     string
	version int
}

func newConfigMap(t testing.TB, text string) *configMap {
	t.Helper()
	m := &configMap{t: t, dir: t.TempDir()}
	m.update(text)
	must(t, os.Symlink("..data/config.yaml", m.path()))
	return m
}

func (m *configMap) path() string { return filepath.Join(m.dir, "config.yaml") }

func (m *configMap) update(text string) {
	m.t.Helper()
	m.version++
	name := fmt.Sprintf("..%d", m.version)
	must(m.t, os.Mkdir(filepath.Join(m.dir, name), 0o755))
	must(m.t, os.WriteFile(filepath.Join(m.dir, name, "config.yaml"), []byte(text), 0o600))
	must(m.t, os.Symlink(name, filepath.Join(m.dir, "..data_tmp")))
	must(m.t, os.Rename(filepath.Join(m.dir, "..data_tmp"), filepath.Join(m.dir, "..data")))
}

// TestConfigurationFileIsFollowed changes the file under a running daemon, while a client talks over one
// connection and others come: the scheduler changes in place, health checks move, a wrong file changes
// nothing and is told, and what the environment of the daemon says goes on to win.
func TestConfigurationFileIsFollowed(t *testing.T) {
	s := newScene(t)
	s.golang(s.a, s.b, s.c)
	base, err := os.ReadFile(s.config("logging: {level: debug}"))
	must(t, err)
	file := newConfigMap(t, string(base))
	t.Setenv("FAIRLEAD_IPVS_DRAINTIMEOUT", "7m")
	d := launch(t, s.node, mustEnv(t, "FAIRLEAD_TEST_BIN"), "run", "--config", file.path())
	d.waitReals(web4, 3)
	d.waitReals(web6, 3)
	open := s.hold("a")
	talking := s.talk(open)

	file.update(string(base) + "ipvs: {scheduler: wlc, drainTimeout: 1s}\nhealthzBindAddress: 0.0.0.0:10999\ndummyInterface: {bind: route}\n")
	d.eventually("on the new scheduler", func() error { return s.schedules("wlc") })
	d.eventually("healthy at the new address", func() error {
		_, err := d.get("10999", "/healthz")
		return err
	})
	if _, err := d.get("10256", "/healthz"); err == nil {
		t.Error("the old address is served, too")
	}
	d.logs(`wait for a restart" keys=dummyInterface.bind`)
	d.logs(`changed="ipvs.scheduler healthzBindAddress"`)
	talking.goesOn(d)

	file.update(string(base) + "ipvs: {scheduler: best, syncPeriod: 1m}\n")
	d.logs("key=ipvs.scheduler")
	d.eventually("told", func() error {
		metrics, err := d.get("10249", "/metrics")
		if err == nil && !strings.Contains(metrics, `fairlead_config_error{key="ipvs.scheduler"} 1`) {
			err = fmt.Errorf("metrics:\n%s", metrics)
		}
		return err
	})
	d.eventually("an Event on the Node", s.configurationRefused)
	must(t, s.schedules("wlc"))

	elsewhere := strings.Replace(string(base), "172.17.0.0/16,fd00:17::/32", "10.99.0.0/16,fd00:99::/64", 1)
	file.update(elsewhere + "ipvs: {scheduler: lc}\n")
	d.eventually("on the next scheduler", func() error { return s.schedules("lc") })
	d.eventually("with the new clusterCIDR", func() error {
		rules, err := s.node.Run(t.Context(), "iptables-save", "-t", "nat")
		if err == nil && (!strings.Contains(rules, "10.99.0.0/16") || strings.Contains(rules, "172.17.0.0/16")) {
			err = fmt.Errorf("rules:\n%s", rules)
		}
		return err
	})
	close(talking.stop)
	if err := <-talking.result; err != nil {
		t.Errorf("while the configuration changed: %v", err)
	}
	must(t, open.Ping())
	s.evenly(s.spread(s.caller.Namespace, "tcp", web6, 30), 10, "a", "b", "c")
}

// TestAnotherSchedulerRefusesNobody changes the scheduler again and again, while clients connect without a pause: from pods
// and from the node by address, and from outside by mark. The kernel leaves a virtual server without a scheduler for
// some milliseconds.
func TestAnotherSchedulerRefusesNobody(t *testing.T) {
	s := newScene(t)
	s.api.service("golang-ex", []string{vip4, vip6}, externalLocal, func(svc *corev1.Service) {
		svc.Spec.Type, svc.Spec.Ports[0].NodePort = corev1.ServiceTypeNodePort, 30080
	})
	s.api.endpoints("golang-ex", s.a, s.b, s.c)
	base, err := os.ReadFile(s.config())
	must(t, err)
	file := newConfigMap(t, string(base))
	d := launch(t, s.node, mustEnv(t, "FAIRLEAD_TEST_BIN"), "run", "--config", file.path())
	d.waitReals(web4, 3)
	d.waitReals(web6, 3)
	nodePort := addrPort(s.node.Addr4, 30080).String()
	d.waitReals(nodePort, 3)

	var clients []talk
	for _, one := range []struct {
		from *lab.Namespace
		to   string
	}{{s.caller.Namespace, web4}, {s.caller.Namespace, web6}, {s.node.Namespace, web6}, {s.client.Namespace, nodePort}} {
		clients = append(clients, s.talkTo(one.from, one.to, func() error { return nil }))
	}
	for _, scheduler := range strings.Fields("wlc lc wrr rr lc wlc") {
		file.update(string(base) + "ipvs: {scheduler: " + scheduler + "}\n")
		d.eventually("on "+scheduler, func() error { return s.schedules(scheduler) })
		for _, client := range clients {
			client.goesOn(d)
		}
	}
	for _, client := range clients {
		close(client.stop)
		if err := <-client.result; err != nil {
			t.Error(err)
		}
	}
	d.eventually("letting everybody in", func() error {
		entries, err := s.node.Run(t.Context(), "ipset", "save")
		if err == nil && (strings.Contains(entries, "add FAIRLEAD-RESTRICTED") || strings.Contains(entries, "add FAIRLEAD-6-RESTRICTED")) {
			err = fmt.Errorf("clients are kept away still:\n%s", entries)
		}
		return err
	})
}

// logs waits for a line.
func (d *daemon) logs(text string) {
	d.t.Helper()
	d.eventually("in the log: "+text, func() error {
		if !strings.Contains(d.log.String(), text) {
			return fmt.Errorf("the log is\n%s", withoutClientGo(d.log.String()))
		}
		return nil
	})
}

// schedules checks that every virtual server of the scene has this scheduler.
func (s *scene) schedules(scheduler string) error {
	table := ipvs(s.t, s.node)
	if n := strings.Count(table, "-A "); n == 0 || strings.Count(table, " -s "+scheduler+"\n") != n {
		return fmt.Errorf("the table is\n%s", table)
	}
	return nil
}

// configurationRefused looks for the Event that names the key.
func (s *scene) configurationRefused() error {
	events, err := s.api.client.EventsV1().Events(metav1.NamespaceDefault).List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, e := range events.Items {
		if e.Regarding.Kind == "Node" && e.Regarding.Name == "node1" && e.Type == corev1.EventTypeWarning &&
			e.Reason == "ConfigurationRefused" && strings.Contains(e.Note, "ipvs.scheduler") {
			return nil
		}
	}
	return fmt.Errorf("%d Events", len(events.Items))
}

// talk is a client that connects all the time, until it is stopped or a request fails.
type talk struct {
	stop     chan struct{}
	result   chan error
	answered *atomic.Int64
}

// talk uses the open connection, and makes new ones. Not one may fail.
func (s *scene) talk(open *lab.Held) talk {
	return s.talkTo(s.client.Namespace, web6, func() error {
		time.Sleep(20 * time.Millisecond)
		return open.Ping()
	})
}

// talkTo makes connections from one place to one frontend, and does something before each.
func (s *scene) talkTo(from *lab.Namespace, to string, before func() error) talk {
	t := talk{make(chan struct{}), make(chan error, 1), new(atomic.Int64)}
	go func() {
		for n := 1; ; n++ {
			select {
			case <-t.stop:
				t.result <- nil
				return
			default:
			}
			if err := before(); err != nil {
				t.result <- fmt.Errorf("before request %d: %w", n, err)
				return
			}
			if _, err := lab.Ask(s.t.Context(), from, "tcp", to); err != nil {
				t.result <- fmt.Errorf("request %d: %w", n, err)
				return
			}
			t.answered.Add(1)
		}
	}()
	return t
}

// goesOn waits until a request is answered that began after now. A SYN that was dropped while a scheduler changed comes
// again after a second, and the next time after three: another change must not meet the first of these.
func (t talk) goesOn(d *daemon) {
	d.t.Helper()
	before := t.answered.Load()
	d.eventually("answering", func() error {
		select {
		case err := <-t.result:
			t.result <- err
			return nil // the test asks for it
		default:
		}
		if now := t.answered.Load(); now < before+2 {
			return fmt.Errorf("%d requests answered since", now-before)
		}
		return nil
	})
}
