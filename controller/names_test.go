package controller

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestWhatAsksTheKernelSaysSoInItsName: of this package the VM runs only those tests (KERNEL_PACKAGES in the Makefile), and
// everywhere else they are skipped, so one with another name would run nowhere.
func TestWhatAsksTheKernelSaysSoInItsName(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	asks := regexp.MustCompile(`kerneltest\.(Need|Want)|openKernel\(`)
	named := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, function := range strings.Split(string(text), "\nfunc ")[1:] {
			name, body, _ := strings.Cut(function, "(")
			if body, _, _ = strings.Cut(body, "\n}"); !strings.HasPrefix(name, "Test") || !asks.MatchString(body) || name == t.Name() {
				continue
			}
			if named++; !strings.Contains(name, "OnTheKernel") {
				t.Errorf("%s: %s asks the kernel, and OnTheKernel is not in its name", file, name)
			}
		}
	}
	if named == 0 {
		t.Error("no test asks the kernel, or this one does not know it any more")
	}
}
