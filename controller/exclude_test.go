package controller

import (
	"net/netip"
	"testing"

	"github.com/fairlead-lb/fairlead/controller/source"
	"github.com/fairlead-lb/fairlead/ipvs"
)

// TestWhatIsExcludedLaterGoesAsAWhole: not only the address and the entries, which would leave a virtual
// server that nobody takes for its own.
func TestWhatIsExcludedLaterGoesAsAWhole(t *testing.T) {
	r := newRig(t)
	r.set(service("web", "10.96.0.10"), here(endpoints("10.1.0.1")))
	r.set(service("dns", "10.96.0.11", udp), endpoints("10.1.0.1"))
	r.set(service("else", "10.97.0.10"), endpoints("10.1.0.2"))
	r.round()
	r.ipvs.SetConnections(r.key("10.96.0.10:80", ipvs.TCP), r.real("10.1.0.1:8080"), 1)
	foreign := ipvs.Op{Verb: ipvs.AddServer, Key: r.key("10.96.0.99:80", ipvs.TCP), Server: ipvs.VirtualServer{Scheduler: "wlc"}}
	r.ipvs.Apply([]ipvs.Op{foreign})
	o := r.c.options
	o.Excluded = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}
	r.c = New(source.Source{Complete: func() bool { return true }}, Kernel{IPVS: r.ipvs, Dummyif: r.dummyif, Masq: r.masq}, o, r.c.log)
	r.c.objects, r.c.beside = r.world, atOnce
	for name := range r.world.services {
		r.c.dirty.add(name)
	}
	r.round()
	r.mustHold(`
		-A -t 10.96.0.10:80 -s rr
		-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 0
		-A -t 10.96.0.99:80 -s wlc
		-A -t 10.97.0.10:80 -s rr
		-a -t 10.97.0.10:80 -r 10.1.0.2:8080 -m -w 1
		add FAIRLEAD-VIP 10.96.0.10
		add FAIRLEAD-VIP 10.97.0.10
		add FAIRLEAD-SERVED 10.96.0.10,tcp:80
		add FAIRLEAD-SERVED 10.97.0.10,tcp:80
		inet 10.96.0.10/32 scope host
		inet 10.97.0.10/32 scope host
	`)
	r.drained()
	r.mustHold(`
		-A -t 10.96.0.99:80 -s wlc
		-A -t 10.97.0.10:80 -s rr
		-a -t 10.97.0.10:80 -r 10.1.0.2:8080 -m -w 1
		add FAIRLEAD-VIP 10.97.0.10
		add FAIRLEAD-SERVED 10.97.0.10,tcp:80
		inet 10.97.0.10/32 scope host
	`)
}
