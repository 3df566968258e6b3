package plan

import (
	"fmt"

	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// Plan is what would be done. The zero Plan is: nothing.
type Plan struct {
	Writes []Write `json:"writes"` // in the order in which they would be carried out
	Moved  []Moved `json:"moved"`
	Later  Later   `json:"later"`

	KubeProxy KubeProxy `json:"kubeProxy"`
}

// Write is one write.
type Write struct {
	Package string `json:"package"` // who writes: host, masq, ipvs or dummyif
	Verb    string `json:"verb"`
	Line    string `json:"line"`              // of a shell; rules are several lines
	Service string `json:"service,omitempty"` // whose it is, where that is known
	Why     string `json:"why,omitempty"`

	key ipvs.Key // the virtual server that it is about; zero: none
}

// Later is what is there and not wanted, and cannot be deleted at once.
type Later struct {
	VirtualServers int    `json:"virtualServers"`
	RealServers    int    `json:"realServers"`
	When           string `json:"when,omitempty"` // they would be deleted
}

// KubeProxy is what there is of kube-proxy's, which is not planned in detail.
type KubeProxy struct {
	Remove  []string `json:"remove,omitempty"`  // when everything is in force
	Running []string `json:"running,omitempty"` // that keep it from being removed
}

// Empty reports that nothing would be written.
func (p *Plan) Empty() bool { return len(p.Writes) == 0 && !p.KubeProxy.due() }

// due reports that something of kube-proxy's would be removed.
func (k KubeProxy) due() bool { return len(k.Remove) > 0 && len(k.Running) == 0 }

// Name says whose virtual servers the writes and the moved ones are about. The function returns "" for one that
// is nobody's.
func (p *Plan) Name(service func(ipvs.Key) string) {
	for i := range p.Writes {
		if w := &p.Writes[i]; w.key != (ipvs.Key{}) {
			w.Service = service(w.key)
		}
	}
	for i := range p.Moved {
		p.Moved[i].Service = service(p.Moved[i].key)
	}
}

// State is a copy of what a kernel has.
type State struct {
	IPVS    *ipvs.Fake
	Dummyif *dummyif.Fake
	Masq    *masq.Fake
}

// Read copies what the kernel has. It writes nothing.
func Read(servers ipvs.Kernel, device dummyif.Reader, rules masq.Reader) (s State, err error) {
	if s.Masq, err = masq.Copy(rules); err != nil {
		return s, fmt.Errorf("read rules and sets: %w", err)
	}
	if s.IPVS, err = ipvs.Copy(servers); err != nil {
		return s, fmt.Errorf("read IPVS: %w", err)
	}
	if s.Dummyif, err = dummyif.Copy(device); err != nil {
		return s, fmt.Errorf("read the dummy device: %w", err)
	}
	return s, nil
}
