package masq

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOurRulesAreFoundByTheirComments(t *testing.T) {
	ours, others := ourRules([]string{
		`-s 192.0.2.1/32 -j ACCEPT`,
		`-m comment --comment "fairlead: FAIRLEAD-INPUT" -j FAIRLEAD-INPUT`,
		`-m comment --comment fairlead: -j DROP`,
		`-m comment --comment "not fairlead: at all" -j DROP`,
		`-s 192.0.2.2/32 -m comment --comment "fairlead: two words" -m set ! --match-set X dst,dst -j REJECT --reject-with icmp-port-unreachable`,
	})
	want := []found{
		{`-m comment --comment "fairlead: FAIRLEAD-INPUT" -j FAIRLEAD-INPUT`, "FAIRLEAD-INPUT"},
		{`-s 192.0.2.2/32 -m comment --comment "fairlead: two words" -m set ! --match-set X dst,dst -j REJECT --reject-with icmp-port-unreachable`, "two words"},
	}
	if diff := cmp.Diff(want, ours, cmp.AllowUnexported(found{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if others != 3 {
		t.Errorf("%d others, want 3", others)
	}
}
