package deploy

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

const imageFolder = "../../deploy/image/"

// TestTheImageIsBuiltFromAllThatTheDaemonIsMadeOf holds what the build may read to what the compiler needs.
func TestTheImageIsBuiltFromAllThatTheDaemonIsMadeOf(t *testing.T) {
	ignore := read(t, imageFolder+"Dockerfile.dockerignore")
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if and .Module .Module.Main}}{{.ImportPath}}{{end}}", "../../cmd/fairlead").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	if len(packages) < 5 {
		t.Fatalf("the daemon is made of %q", packages)
	}
	for _, name := range packages {
		top, _, _ := strings.Cut(strings.TrimPrefix(name, "github.com/fairlead-lb/fairlead/"), "/")
		if !strings.Contains(ignore, "\n!"+top+"\n") {
			t.Errorf("%s is not in the build's context", name)
		}
	}
	for _, file := range []string{"go.mod", "go.sum", "deploy/image"} {
		if !strings.Contains(ignore, "\n!"+file+"\n") {
			t.Errorf("%s is not in the build's context", file)
		}
	}
}

// TestTheBaseImagesArePinned refuses images without a full version.
func TestTheBaseImagesArePinned(t *testing.T) {
	images := regexp.MustCompile(`(?m)^ARG (?:BASE|GO)=(\S+)$`).FindAllStringSubmatch(read(t, imageFolder+"Dockerfile"), -1)
	if len(images) != 2 {
		t.Fatalf("base images: %q", images)
	}
	for _, image := range images {
		if !regexp.MustCompile(`:v?\d+\.\d+\.\d+(-|$)`).MatchString(image[1]) {
			t.Errorf("%s has no full version", image[1])
		}
	}
}

// TestTheProgramsAreThoseThatTheCodeStarts finds the programs that are named in the code.
func TestTheProgramsAreThoseThatTheCodeStarts(t *testing.T) {
	programs := read(t, imageFolder+"programs")
	for _, name := range []string{"iptables", "ip6tables", "iptables-save", "ip6tables-save", "iptables-restore", "ip6tables-restore", "xtables-nft-multi", "xtables-legacy-multi"} {
		if !strings.Contains(programs, "\n"+name+"\n") {
			t.Errorf("the list of programs lacks %s", name)
		}
	}
	for _, file := range []string{"ipvs/kernel_linux.go", "conntrack/kernel_linux.go", "masq/kernel_linux.go"} {
		text := read(t, "../../"+file)
		calls := regexp.MustCompile(`(?:exec\.Command\(|child\.New\([^"()]*(?:\(\))?, )"([^"]+)"`).FindAllStringSubmatch(text, -1)
		if len(calls) == 0 && !strings.Contains(text, "exec.LookPath(") {
			t.Errorf("%s starts nothing: this test sees nothing", file)
		}
		for _, call := range calls {
			if !strings.Contains(programs, "\n"+call[1]+"\n") {
				t.Errorf("%s starts %s, which the list of programs lacks", file, call[1])
			}
		}
	}
}
