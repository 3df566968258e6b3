package masq

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/iptsave"
)

func TestRestoreInput(t *testing.T) {
	chains := []Chain{
		{Table: "nat", Name: "KUBE-MARK-MASQ", Rules: []Rule{{"mark", []string{"-j", "MARK"}}}},
		{Table: "nat", Name: "FAIRLEAD-SERVICES", Rules: []Rule{{"one", []string{"-j", "RETURN"}}, {`say "two"`, []string{"-j", "ACCEPT"}}}},
		builtIn("nat", "PREROUTING", jump("FAIRLEAD-SERVICES")),
	}
	const ours = `-m comment --comment "fairlead: `
	for _, c := range []struct{ name, now, ensure, remove string }{
		{"nothing is there", ":PREROUTING ACCEPT [0:0]", `
			*nat
			-N KUBE-MARK-MASQ
			-N FAIRLEAD-SERVICES
			-I KUBE-MARK-MASQ 1 -m comment --comment "fairlead: mark" -j MARK
			-I FAIRLEAD-SERVICES 1 -m comment --comment "fairlead: one" -j RETURN
			-I FAIRLEAD-SERVICES 2 -m comment --comment "fairlead: say \"two\"" -j ACCEPT
			-I PREROUTING 1 -m comment --comment "fairlead: FAIRLEAD-SERVICES" -j FAIRLEAD-SERVICES
			COMMIT
		`, ""},
		{"a stale rule and somebody else's", `
			:PREROUTING ACCEPT [0:0]
			:FAIRLEAD-SERVICES - [0:0]
			:KUBE-MARK-MASQ - [0:0]
			-A PREROUTING -s 192.0.2.1/32 -j ACCEPT
			-A PREROUTING ` + ours + `FAIRLEAD-SERVICES" -j FAIRLEAD-SERVICES
			-A PREROUTING -j KUBE-MARK-MASQ
			-A FAIRLEAD-SERVICES ` + ours + `stale" -j RETURN
			-A KUBE-MARK-MASQ ` + ours + `mark" -j MARK
		`, `
			*nat
			-D FAIRLEAD-SERVICES ` + ours + `stale" -j RETURN
			-I FAIRLEAD-SERVICES 1 -m comment --comment "fairlead: one" -j RETURN
			-I FAIRLEAD-SERVICES 2 -m comment --comment "fairlead: say \"two\"" -j ACCEPT
			COMMIT
		`, `
			*nat
			-D PREROUTING ` + ours + `FAIRLEAD-SERVICES" -j FAIRLEAD-SERVICES
			-D FAIRLEAD-SERVICES ` + ours + `stale" -j RETURN
			-X FAIRLEAD-SERVICES
			-D KUBE-MARK-MASQ ` + ours + `mark" -j MARK
			COMMIT
		`},
		{"a chain that others use, too", `
			:KUBE-MARK-MASQ - [0:0]
			-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
			-A KUBE-MARK-MASQ ` + ours + `mark" -j MARK
		`, "", `
			*nat
			-D KUBE-MARK-MASQ ` + ours + `mark" -j MARK
			COMMIT
		`},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := iptsave.Parse("*nat\n" + unindented(c.now))
			if input, _ := ensureInput(chains, now); c.ensure != "" {
				if diff := cmp.Diff(unindented(c.ensure), input); diff != "" {
					t.Errorf("to ensure (-want +got):\n%s", diff)
				}
			}
			removed, _ := removeInput(chains, now)
			if diff := cmp.Diff(unindented(c.remove), removed); diff != "" {
				t.Errorf("to remove (-want +got):\n%s", diff)
			}
		})
	}
}

// unindented removes the indentation of a text in the test.
func unindented(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			out.WriteString(line + "\n")
		}
	}
	return out.String()
}
