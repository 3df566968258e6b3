//go:build linux

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/view"
)

// faultScene is a stage with the commands of the table.
type faultScene struct {
	*stage

	config, socket string
}

// TestFaults makes each fault of the table on a node that serves, shows what a client sees of it where a client does, and
// has the command of the table name the cause. Then it puts the fault right.
func TestFaults(t *testing.T) {
	fairleadOnly(t)
	s := &faultScene{stage: newStage(t), socket: filepath.Join(t.TempDir(), "fairlead.sock")}
	c := setup{lines: []string{"socketPath: " + s.socket, "ipvs: {syncPeriod: 10s}"}}
	s.config = writeConfig(t, c.fairlead("node1", s.api.kubeconfig)...)
	s.proxy = start(t, s.node, s.config)
	s.settle()
	makes := map[int]func(*faultScene, fault){
		1: (*faultScene).noEndpoints, 2: (*faultScene).notReady, 3: (*faultScene).wrongZone, 4: (*faultScene).localWithoutLocal,
		5: (*faultScene).sourceRange, 6: (*faultScene).missingModule, 7: (*faultScene).foreignFlush, 8: (*faultScene).kubeProxyRuns,
		9: (*faultScene).conntrackFull, 10: (*faultScene).wrongVariant, 11: (*faultScene).refusedAddress, 12: (*faultScene).duplicateVIP,
		13: (*faultScene).badAnnotation, 14: (*faultScene).apiServerAway, 15: (*faultScene).stuckDrain, 16: (*faultScene).firewall,
	}
	for _, f := range faults {
		s.row(fmt.Sprintf("%02d %s", f.number, f.name), func(sub *stage) {
			one := *s
			one.stage, one.proxy = sub, s.proxy
			makes[f.number](&one, f)
			s.proxy = one.proxy
		})
	}
}

// fairlead runs a command on the node, and returns what it says with its exit status.
func (s *faultScene) fairlead(args ...string) (out string, status int) {
	s.t.Helper()
	if args[0] != "doctor" && args[0] != "run" {
		args = append(args, "--socket", s.socket)
	}
	text, err := s.node.Command(s.t.Context(), mustEnv(s.t, "FAIRLEAD_TEST_BIN"), args...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(text), exit.ExitCode()
	}
	must(s.t, err)
	return string(text), 0
}

// says reports whether the command of the table, asked about what, says the words of the table and others.
func (s *faultScene) says(f fault, what string, others ...string) error {
	return s.saysBy(f, what, s.config, others...)
}

func (s *faultScene) saysBy(f fault, what, config string, others ...string) error {
	s.t.Helper()
	command := strings.NewReplacer("NAMESPACE/NAME", what, "ADDRESS:PORT", what, "/etc/fairlead/config.yaml", config).Replace(f.command)
	args := strings.Fields(command)[1:]
	out, status := s.fairlead(args...)
	want := 0
	if args[0] == "doctor" && strings.Contains("\n"+out, "\nproblem ") {
		want = 2
	}
	if status != want {
		return fmt.Errorf("%s: exit status %d, not %d:\n%s", command, status, want, out)
	}
	for _, words := range append(f.words, others...) {
		if !strings.Contains(out, words) {
			return fmt.Errorf("%s: no %q in\n%s", command, words, out)
		}
	}
	s.t.Logf("%s says\n%s", command, out)
	return nil
}

// named fails unless the command names the cause now.
func (s *faultScene) named(f fault, what string, others ...string) {
	s.t.Helper()
	if err := s.says(f, what, others...); err != nil {
		s.t.Error(err)
	}
}

// silent waits until the command says the first words of the table no more.
func (s *faultScene) silent(f fault, what string) {
	s.t.Helper()
	command := strings.NewReplacer("NAMESPACE/NAME", what, "ADDRESS:PORT", what, "/etc/fairlead/config.yaml", s.config).Replace(f.command)
	s.soon("put right", func() error {
		if out, _ := s.fairlead(strings.Fields(command)[1:]...); strings.Contains(out, f.words[0]) {
			return errors.New(out)
		}
		return nil
	})
}

// status is what `fairlead status -o json` says.
func (s *faultScene) status() (v view.Status) {
	s.t.Helper()
	out, _ := s.fairlead("status", "-o", "json")
	must(s.t, json.Unmarshal([]byte(out), &v))
	return v
}

// nameOfService is how explain wants it.
func nameOfService(v *svc) string { return namespace + "/" + v.name }

// namedUntilServed has the cause named as long as the Service has no pod that serves.
func (s *faultScene) namedUntilServed(f fault, v *svc) {
	s.named(f, nameOfService(v))
	v.pods(s.a)
	s.settle()
	s.silent(f, nameOfService(v))
}

func (s *faultScene) noEndpoints(f fault) {
	v := s.serve(nil)
	s.settle()
	s.refusedAt(s.pod(), v, clusterIP)
	s.namedUntilServed(f, v)
}

func (s *faultScene) notReady(f fault) {
	v := s.serve(nil)
	v.endpoints(notReady(s.a), notReady(s.b))
	s.settle()
	s.refusedAt(s.pod(), v, clusterIP)
	s.namedUntilServed(f, v)
}

// wrongZone has a pod that is ready get nothing from this node.
func (s *faultScene) wrongZone(f fault) {
	v := s.serve(nil)
	v.endpoints(ready(s.a).forZone("zone-1"), ready(s.remote).forZone("zone-2"))
	s.settle()
	s.reaches(s.pod(), v, clusterIP, nil, "a")
	s.named(f, nameOfService(v))
	v.pods(s.a, s.remote)
	s.settle()
	s.reaches(s.pod(), v, clusterIP, nil, "a", "remote")
	s.silent(f, nameOfService(v))
}

func (s *faultScene) localWithoutLocal(f fault) {
	v := s.serve([]frontend{balancer}, externalLocal)
	v.pods(s.remote)
	s.settle()
	s.dropped(s.outside(), v, balancer)
	s.reaches(s.pod(), v, balancer, nil, "remote")
	s.named(f, nameOfService(v))
	v.pods(s.a, s.remote)
	s.settle()
	s.silent(f, nameOfService(v))
}

func (s *faultScene) sourceRange(f fault) {
	v := s.serve([]frontend{balancer}, ranges("203.0.113.0/24"))
	v.pods(s.a)
	s.settle()
	s.soon("out of range", func() error { return s.drops(s.outside(), "tcp", v.at(balancer, tcp4)) })
	s.named(f, nameOfService(v))
	v.update(ranges(s.client.Addr4.String() + "/32"))
	s.settle()
	s.soon("in range", func() error { return s.reach(s.outside(), "tcp", v.at(balancer, tcp4), nil, "a") })
	s.silent(f, nameOfService(v))
}

func (s *faultScene) refusedAddress(f fault) {
	v := s.serve(nil, externalAt(s.node.Addr4.String()))
	v.pods(s.a)
	s.settle()
	s.soon("the node refuses", func() error { return s.refuses(s.outside(), "tcp", s.node.Addr4.String()+":8080") })
	s.named(f, nameOfService(v))
	v.update(externalAt(fmt.Sprintf(external4, v.number)))
	s.settle()
	s.silent(f, nameOfService(v))
}

func (s *faultScene) badAnnotation(f fault) {
	v := s.serve(nil, annotate(schedulerKey, "fastest"))
	v.pods(s.a)
	s.settle()
	s.named(f, nameOfService(v), `"fastest" is none of`, "rr stays")
	v.update(annotate())
	s.settle()
	s.silent(f, nameOfService(v))
}
