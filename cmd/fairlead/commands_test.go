package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// command runs one command line as main would.
func command(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = run(context.Background(), args, &out, &errs)
	return status, out.String(), errs.String()
}

func TestUsageErrors(t *testing.T) {
	for line, want := range map[string]string{
		"rnu":                 `fairlead: unknown command "rnu" for "fairlead" (did you mean run?); see 'fairlead --help'`,
		"frobnicate":          `fairlead: unknown command "frobnicate" for "fairlead"; see 'fairlead --help'`,
		"config valdate":      `fairlead: unknown command "valdate" for "fairlead config" (did you mean validate?); see 'fairlead config --help'`,
		"run --foo":           `fairlead: unknown flag: --foo; see 'fairlead run --help'`,
		"run --config":        `fairlead: flag needs an argument: --config; see 'fairlead run --help'`,
		"run now":             `fairlead: unexpected argument "now" for "fairlead run"; see 'fairlead run --help'`,
		"config validate":     `fairlead: "fairlead config validate" needs the argument FILE; see 'fairlead config validate --help'`,
		"config validate a b": `fairlead: unexpected argument "b" for "fairlead config validate"; see 'fairlead config validate --help'`,
		"get sets --state pendng": `fairlead: --state: "pendng" is none of in force, pending, no endpoints, impaired, lost, not served, draining, leaving, in the kernel; ` +
			`see 'fairlead get sets --help'`,
		"get addresses --address web": `fairlead: --address: "web" is not an IP address, nor IP:PORT (IPv6: [IP]:PORT); see 'fairlead get addresses --help'`,
		"version -o xml":              `fairlead: --output: "xml" is not text or json; see 'fairlead version --help'`,
		"run --log-level=loud":        `fairlead: --log-level: logging.level: "loud" is not debug, info, warn or error`,
		"run --source-directory=":     `fairlead: --source-directory: source.directory: "" is not a directory of manifests, which source.kind directory needs`,
	} {
		status, stdout, stderr := command(strings.Fields(line)...)
		if status != 1 || stdout != "" || stderr != want+"\n" {
			t.Errorf("%s: status %d, stdout %q, stderr\n%s\nwant\n%s", line, status, stdout, stderr, want)
		}
	}
}

func TestHelp(t *testing.T) {
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Short == "" || cmd.Long == "" || cmd.Example == "" {
			t.Errorf("%s lacks one of Short, Long and Example", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(newRootCommand())
	for _, line := range []string{"", "--help", "config", "run --help", "help config validate"} {
		status, stdout, stderr := command(strings.Fields(line)...)
		if status != 0 || !strings.Contains(stdout, "Usage:") || stderr != "" {
			t.Errorf("%q: status %d, stdout %q, stderr %q", line, status, stdout, stderr)
		}
	}
}

func TestConfigDefaultsCommand(t *testing.T) {
	status, stdout, stderr := command("config", "defaults")
	if status != 0 || stderr != "" {
		t.Fatalf("status %d, stderr %q", status, stderr)
	}
	if diff := cmp.Diff(defaultsYAML(), stdout); diff != "" { // which is config.yaml: TestConfigYAML
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// writeFile returns the path of a new file with this content.
func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// unread is the warning about a directory that is not the source.
const unread = `source.directory: "/m" is not read, since source.kind is "kubernetes"`

func TestConfigValidateCommand(t *testing.T) {
	path := writeFile(t, "source: {directory: /m}\n")
	status, stdout, stderr := command("config", "validate", path)
	wantErr := "fairlead: warning: " + unread + "\n"
	if status != 0 || stdout != path+": ok\n" || stderr != wantErr {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
	}

	path = writeFile(t, "ipvs: {scheduler: rrr}\nfoo: bar\n")
	status, stdout, stderr = command("config", "validate", path)
	wantErr = "fairlead: " + path + ":1: ipvs.scheduler: \"rrr\" is not a kernel scheduler (rr wrr lc wlc lblc lblcr dh sh mh sed nq fo ovf twos)\n" +
		"fairlead: " + path + ":2: foo: unknown key (known keys: 'fairlead config defaults')\n"
	if status != 1 || stdout != "" || stderr != wantErr {
		t.Errorf("status %d, stdout %q, stderr\n%s\nwant\n%s", status, stdout, stderr, wantErr)
	}

	if status, _, stderr = command("config", "validate", ""); status != 1 || !strings.Contains(stderr, `FILE is ""`) {
		t.Errorf("an empty FILE: status %d, stderr %q", status, stderr)
	}
}

func TestConfigValidateJSON(t *testing.T) {
	good, bad := writeFile(t, "source: {directory: /m}\n"), writeFile(t, "a: 1\nb: 2\n")
	for _, want := range []verdict{
		{File: good, Valid: true, Errors: []string{}, Warnings: []string{unread}},
		{File: bad, Warnings: []string{}, Errors: []string{
			bad + ":1: a: unknown key (known keys: 'fairlead config defaults')",
			bad + ":2: b: unknown key (known keys: 'fairlead config defaults')",
		}},
	} {
		status, stdout, stderr := command("config", "validate", "-o", "json", want.File)
		var got verdict
		if err := json.Unmarshal([]byte(stdout), &got); err != nil {
			t.Fatalf("%v in %q", err, stdout)
		}
		if diff := cmp.Diff(want, got); diff != "" || stderr != "" || (status == 0) != want.Valid {
			t.Errorf("status %d, stderr %q (-want +got):\n%s", status, stderr, diff)
		}
	}
}

func TestVersionCommand(t *testing.T) {
	status, stdout, stderr := command("version", "-o", "json")
	var got build
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || status != 0 || stderr != "" {
		t.Fatalf("status %d, stderr %q, %v in %q", status, stderr, err, stdout)
	}
	if got != readBuild() {
		t.Errorf("got %+v", got)
	}
	if _, stdout, _ = command("--version"); stdout != "fairlead "+got.Version+"\n" {
		t.Errorf("--version: %q", stdout)
	}
}

func TestBuildOf(t *testing.T) {
	info := &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"},
	}}
	for _, tc := range []struct {
		version string
		info    *debug.BuildInfo
		want    string
	}{
		{"v9", info, "fairlead  v9\ncommit    abc (modified)\n"},
		{"", info, "fairlead  v1.2.3\ncommit    abc (modified)\n"},
		{"", nil, "fairlead  (devel)\ncommit    unknown\n"},
	} {
		var text strings.Builder
		if err := buildOf(tc.version, tc.info).writeText(&text); err != nil {
			t.Fatal(err)
		}
		if got := text.String(); !strings.HasPrefix(got, tc.want) || !strings.Contains(got, "\nplatform  ") {
			t.Errorf("buildOf(%q): %q, want %q...", tc.version, got, tc.want)
		}
	}
}
