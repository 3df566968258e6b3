package doctor

import (
	"errors"
	"time"
)

const (
	clockOff = 5 * time.Second // the Date of HTTP has whole seconds
	clockBad = time.Minute     // certificates and tokens
)

func lookSource(h *Host) []Finding {
	s := h.Source
	switch {
	case s.Err == nil && s.API:
		return ok("%s answers, and Fairlead may list Services, EndpointSlices and Nodes", s.Name)
	case s.Err == nil:
		return ok("%s can be read", s.Name)
	case !s.API:
		return one(Problem, "set source.directory to a directory that this user can read", "%s: %v", s.Name, s.Err)
	case s.Name == "" && !s.Configured:
		return unknown("fairlead doctor --config with the daemon's file, or in the daemon's Pod", "no configuration says where the API server is: %v", s.Err)
	case s.Name == "":
		return one(Problem, "set clientConnection.kubeconfig to a kubeconfig that is there and right", "%v", s.Err)
	case s.Status == 401:
		return one(Problem, "new credentials: in clientConnection.kubeconfig, or a new Pod for its service account", "%s does not know who asks (%s): %v", s.Name, s.Request, s.Err)
	case s.Status == 403:
		return one(Problem, "kubectl apply -f deploy/kustomize/base/rbac.yaml, or bind the ClusterRole in it to the user of clientConnection.kubeconfig", "%s does not allow %s: %v", s.Name, s.Request, s.Err)
	case s.Status != 0:
		return one(Problem, "kubectl get --raw /readyz?verbose", "%s does not serve %s: %v", s.Name, s.Request, s.Err)
	}
	return one(Problem, "curl -kv '"+s.Request+"'; it must not lead through a Service of this node: set the address of a control plane or its load balancer", "%s does not answer: %v", s.Name, s.Err)
}

func lookClock(h *Host) []Finding {
	ahead := h.Clock.Value.Round(time.Second)
	word := "ahead of"
	if ahead < 0 {
		word = "behind"
	}
	const do = "timedatectl set-ntp true, or chronyc makestep; on the API server's machine, too"
	switch off := ahead.Abs(); {
	case errors.Is(h.Clock.Err, ErrNoClock):
		return ok("%v", h.Clock.Err)
	case h.Clock.Err != nil:
		return unknown("timedatectl", "the API server did not tell its time: %v", h.Clock.Err)
	case off >= clockBad:
		return one(Problem, do, "this node's clock is %s %s the API server's: certificates and tokens can be refused", off, word)
	case off >= clockOff:
		return one(Warning, do, "this node's clock is %s %s the API server's", off, word)
	}
	return ok("within %s of the API server's", clockOff)
}

func lookDaemon(h *Host) []Finding {
	if h.Daemon == nil {
		return unknown("set healthzBindAddress", "the daemon has no address that it could be asked at")
	}
	err := h.daemon()
	ours := 0
	for _, s := range h.Servers.Value {
		if s.Ours {
			ours++
		}
	}
	switch {
	case err == nil:
		return ok("it runs, and its last sync went well")
	case errors.Is(err, ErrNotRunning) && ours > 0:
		return one(Problem, "start it: fairlead run; why it stopped: journalctl -u fairlead, or kubectl logs --previous", "%v, and %d of its virtual servers are in force as it left them", err, ours)
	case errors.Is(err, ErrNotRunning):
		return one(Note, "fairlead run", "%v", err)
	case errors.Is(err, ErrUnhealthy):
		return one(Problem, "its log says why: journalctl -u fairlead, or kubectl logs", "%v", err)
	}
	// Packets of the loopback are dropped by filters and by a full conntrack table, too.
	return one(Problem, "solve the other problems first; then its log: journalctl -u fairlead, or kubectl logs", "the daemon neither answers nor refuses to: %v", err)
}
