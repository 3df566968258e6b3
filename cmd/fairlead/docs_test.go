package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
)

// TestConfigurationPage proves that docs/configuration.md is what the program says of itself.
func TestConfigurationPage(t *testing.T) {
	kerneltest.Golden(t, "../../../docs/configuration.md", configurationPage())
	status, stdout, stderr := command("config", "docs")
	if diff := cmp.Diff(configurationPage(), stdout); diff != "" || status != 0 || stderr != "" {
		t.Errorf("status %d, stderr %q (-want +got):\n%s", status, stderr, diff)
	}
	for i, line := range strings.Split(pageIntroduction+pageKubeProxy, "\n") {
		if len(line) > 115 {
			t.Errorf("line %d is %d wide: %s", i+1, len(line), line)
		}
	}
}

func TestConfigurationPageHasEverythingOfEachKey(t *testing.T) {
	page := configurationPage()
	for _, k := range keys() {
		_, rest, found := strings.Cut(page, "\n### `"+k.path+"`\n")
		about, _, _ := strings.Cut(rest, "\n##")
		for _, want := range []string{k.comment, "Default: `" + k.yaml(k.def) + "`", k.kind.want, k.env(), "takes effect " + k.whenChanged(), "kube-proxy: "} {
			if !found || !strings.Contains(about, want) {
				t.Errorf("%s: no %q in\n%s", k.path, want, about)
			}
		}
		numeric := strings.HasPrefix(k.kind.want, "an integer") || strings.HasPrefix(k.kind.want, "a number") || strings.HasPrefix(k.kind.want, "a duration")
		if numeric != strings.Contains(about, "* Unit: ") && !strings.HasPrefix(k.kind.want, "a firewall mark") {
			t.Errorf("%s: a unit for each number, and only for these:\n%s", k.path, about)
		}
	}
}
