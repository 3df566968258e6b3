package masq

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOurRulesAreFoundByTheirComments(t *testing.T) {
	listing := `-P INPUT ACCEPT
-N FAIRLEAD-INPUT
-N EMPTY
-A INPUT -s 192.0.2.1/32 -j ACCEPT
-A INPUT -m comment --comment "fairlead: FAIRLEAD-INPUT" -j FAIRLEAD-INPUT
-A INPUT -m comment --comment fairlead: -j DROP
-A INPUT -m comment --comment "not fairlead: at all" -j DROP
-A INPUT -s 192.0.2.2/32 -m comment --comment "fairlead: two words" -m set ! --match-set X dst,dst -j REJECT --reject-with icmp-port-unreachable
-A FAIRLEAD-INPUT -j RETURN
`
	chains := byChain(listing)
	type result struct {
		Ours   []found
		Others int
	}
	got := map[string]result{}
	for name, rules := range chains {
		ours, others := ourRules(rules)
		got[name] = result{ours, others}
	}
	want := map[string]result{
		"INPUT": {[]found{
			{`INPUT -m comment --comment "fairlead: FAIRLEAD-INPUT" -j FAIRLEAD-INPUT`, "FAIRLEAD-INPUT"},
			{`INPUT -s 192.0.2.2/32 -m comment --comment "fairlead: two words" -m set ! --match-set X dst,dst -j REJECT --reject-with icmp-port-unreachable`, "two words"},
		}, 3},
		"FAIRLEAD-INPUT": {nil, 1},
		"EMPTY":          {},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(found{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
