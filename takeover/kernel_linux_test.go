package takeover

import "testing"

func TestATableIsCutOutOfAListing(t *testing.T) {
	const save = "# Generated\n*mangle\n:INPUT ACCEPT [0:0]\nCOMMIT\n# Completed\n*nat\n:KUBE-SERVICES - [0:0]\n-A KUBE-SERVICES -m comment --comment \"*filter\" -j RETURN\nCOMMIT\n"
	for name, want := range map[string]string{
		"nat":    "*nat\n:KUBE-SERVICES - [0:0]\n-A KUBE-SERVICES -m comment --comment \"*filter\" -j RETURN\nCOMMIT\n",
		"mangle": "*mangle\n:INPUT ACCEPT [0:0]\nCOMMIT\n",
		"filter": "",
	} {
		if got := tableIn(save, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got, want := tableIn("*nat\n:A - [0:0]\nCOMMIT\n", "nat"), "*nat\n:A - [0:0]\nCOMMIT\n"; got != want {
		t.Errorf("the first one: %q", got)
	}
}
