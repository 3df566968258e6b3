package page

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-lb/fairlead/view"
)

// cluster is a daemon that says what a test wants it to say.
type cluster struct {
	view.Source
	mu           sync.Mutex
	status       view.Status
	explanations []view.Explanation
	drains       []view.Endpoint
	perService   bool
	answers      int  // how many
	silent       bool // does not answer
	began        time.Time
}

// newCluster has the Services that are given.
func newCluster(services ...view.Explanation) *cluster {
	now := time.Now()
	c := &cluster{explanations: services, began: now.Add(-time.Hour)}
	c.status = view.Status{
		Version: "v0.9.0", Node: "worker-3", Kernel: "6.1.0-42-amd64", Source: "the API server", Started: now.Add(-26 * time.Hour),
		Phase: view.PhaseRunning, Healthy: true, Eligible: true, Complete: true,
		Audit: view.Audit{Period: 30}, Problems: []view.Reason{}, Notes: []string{}, Recent: []view.Occurrence{},
	}
	c.written()
	return c
}

// written is what the daemon notes when it has written something.
func (c *cluster) written() {
	now := time.Now()
	c.status.LastSync = &view.Sync{Ended: now, Seconds: 0.0021, Services: 1, Writes: 2}
	c.status.Updated = now
	c.status.Services, c.status.Served = len(c.explanations), len(c.explanations)
}

// change changes what there is, and returns when.
func (c *cluster) change(f func()) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	c.written()
	return time.Now()
}

func (c *cluster) lock(ctx context.Context) (unlock func(), err error) {
	c.mu.Lock()
	c.answers++
	if c.silent {
		c.mu.Unlock()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return c.mu.Unlock, nil
}

func (c *cluster) Status(ctx context.Context) (view.Status, error) {
	unlock, err := c.lock(ctx)
	if err != nil {
		return view.Status{}, err
	}
	defer unlock()
	s := c.status
	s.Now = time.Now()
	return s, nil
}

func (c *cluster) Services(ctx context.Context, f view.Filter) (list view.Services, err error) {
	unlock, err := c.lock(ctx)
	if err != nil {
		return list, err
	}
	defer unlock()
	list.Items = []view.Service{}
	for _, e := range c.explanations {
		addresses := e.Namespace + "/" + e.Name
		for _, s := range e.Servers {
			addresses += " " + s.Name
			for _, r := range s.Reals {
				addresses += " " + r.Address
			}
		}
		if strings.Contains(addresses, strings.ToLower(f.Search)) && f.Wants(e.State) {
			list.Items = append(list.Items, e.Service)
		}
	}
	list.Total = len(list.Items)
	list.Items = list.Items[min(f.Offset, list.Total):min(f.Offset+f.Limit, list.Total)]
	return list, nil
}

func (c *cluster) Explain(_ context.Context, what string) ([]view.Explanation, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.explanations, func(e view.Explanation) bool { return e.Namespace+"/"+e.Name == what })
	if i < 0 {
		return nil, fmt.Errorf("the source knows no Service %s", what)
	}
	return c.explanations[i : i+1], nil
}

func (c *cluster) Endpoints(_ context.Context, f view.Filter) ([]view.Endpoint, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.drains[:min(len(c.drains), f.Limit)], nil
}

// Traffic makes up some: waves, which differ from Service to Service.
func (c *cluster) Traffic(_ context.Context, f view.Filter) (view.Traffic, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	connections := made(now.Sub(c.began).Seconds()) / uint64(1+len(f.Name))
	open := 21000 + int(1900*math.Sin(now.Sub(c.began).Seconds()/31)+260*math.Sin(now.Sub(c.began).Seconds()/5))
	return view.Traffic{
		At: now, Open: &open, Services: c.perService, Connections: connections, InPackets: connections * 31, OutPackets: connections * 27,
		InBytes: connections * 6200, OutBytes: connections * 48100,
	}, nil
}

// service returns a Service of type ClusterIP with ready endpoints on two nodes.
func service(namespace, name, vip string, endpoints ...string) view.Explanation {
	e := view.Explanation{Created: time.Now().Add(-72 * time.Hour), Internal: "Cluster", Affinity: "None", Verdicts: []view.Verdict{}, Paths: []view.Path{}}
	config := &view.Config{Scheduler: "rr", Text: "-A -t " + vip + ":80 -s rr"}
	s := view.Server{Name: "tcp " + vip + ":80", Kind: "ClusterIP", State: view.InForce, Desired: config, Kernel: config, Bound: &view.Bound{Desired: true, Kernel: true}}
	one := 1
	for i, address := range endpoints {
		s.Reals = append(s.Reals, view.Real{Address: address, State: view.InForce, Desired: &one, Kernel: &one})
		e.Verdicts = append(e.Verdicts, view.Verdict{
			Port: "http", Protocol: "TCP", Address: address, Node: fmt.Sprintf("worker-%d", 1+i%2), Slice: name + "-x7kq2",
			Ready: true, Serving: true, Weight: 1, In: true, Why: "ready",
		})
	}
	s.Endpoints, s.InForce = len(endpoints), len(endpoints)
	e.Service = view.Service{Namespace: namespace, Name: name, Type: "ClusterIP", State: view.InForce, Servers: []view.Server{s}}
	if len(endpoints) == 0 {
		e.State, e.Servers[0].State = view.NoEndpoints, view.NoEndpoints
		e.Remarks = []string{"no EndpointSlice of this Service has an address: no pod matches its selector, or nobody has written its slices; connections are refused"}
	}
	for _, from := range []string{"a pod", "this node", "outside"} {
		p := view.Path{Server: s.Name, From: from, To: "all usable endpoints", Endpoints: endpoints}
		switch {
		case len(endpoints) == 0:
			p.To = "refused: no usable endpoint"
		case from == "a pod":
			p.Masquerade = "the pod's own address, unless it meets itself"
		default:
			p.Masquerade = "masqueraded: the client is no pod, and its answer must come through this node"
		}
		e.Paths = append(e.Paths, p)
	}
	return e
}

// made returns how many connections there have been after so many seconds.
func made(seconds float64) uint64 {
	return uint64(640*seconds + 2600*math.Sin(seconds/9) + 420*math.Sin(seconds/2.3) + 8000)
}
