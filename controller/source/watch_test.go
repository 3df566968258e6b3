package source

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// start runs a source and returns what ends it.
func start(t *testing.T, src Source) (stop func()) {
	t.Helper()
	ctx, cancel := withCancel(t)
	done := make(chan error, 1)
	go func() { done <- src.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("ended with %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("does not end")
		}
	}
}

func TestChangesAreSeenAsTheyHappen(t *testing.T) {
	for _, c := range []struct {
		name  string
		setUp func(t *testing.T, dir string)
		do    func(t *testing.T, dir string)
		want  string
	}{
		{
			"a new file", nil,
			func(t *testing.T, dir string) { write(t, dir, "a.yaml", web) },
			"shop/web",
		},
		{
			"a file written in place",
			func(t *testing.T, dir string) { write(t, dir, "a.yaml", web) },
			func(t *testing.T, dir string) { write(t, dir, "a.yaml", service("a", "10.96.0.1")) },
			"default/a",
		},
		{
			"a file replaced at one stroke",
			func(t *testing.T, dir string) { write(t, dir, "a.yaml", web) },
			func(t *testing.T, dir string) {
				write(t, dir, ".a.yaml.tmp", service("a", "10.96.0.1"))
				if err := os.Rename(filepath.Join(dir, ".a.yaml.tmp"), filepath.Join(dir, "a.yaml")); err != nil {
					t.Fatal(err)
				}
			},
			"default/a",
		},
		{
			"a file moved in from elsewhere", nil,
			func(t *testing.T, dir string) {
				elsewhere := t.TempDir()
				write(t, elsewhere, "a.yaml", web)
				if err := os.Rename(filepath.Join(elsewhere, "a.yaml"), filepath.Join(dir, "a.yaml")); err != nil {
					t.Fatal(err)
				}
			},
			"shop/web",
		},
		{
			"a deleted file",
			func(t *testing.T, dir string) {
				write(t, dir, "a.yaml", web)
				write(t, dir, "b.yaml", service("b", "10.96.0.1"))
			},
			func(t *testing.T, dir string) { remove(t, dir, "a.yaml") },
			"default/b",
		},
		{
			"a ConfigMap volume",
			func(t *testing.T, dir string) {
				configMap(t, dir, "1", map[string]string{"a.yaml": web, "b.yaml": node})
			},
			func(t *testing.T, dir string) {
				configMap(t, dir, "2", map[string]string{"a.yaml": service("a", "10.96.0.1"), "b.yaml": service("b", "10.96.0.2")})
			},
			"default/a default/b",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if c.setUp != nil {
				c.setUp(t, dir)
			}
			log := new(journal)
			src, err := Directory(dir, log.logger())
			if err != nil {
				t.Fatal(err)
			}
			if onShelf(t, src.Services) == c.want {
				t.Fatal("there already")
			}
			defer start(t, src)()
			time.Sleep(2 * settleTime) // past the scan at the start, which would see it without any notice
			c.do(t, dir)
			eventually(t, func() string {
				if got := onShelf(t, src.Services); got != c.want {
					return fmt.Sprintf("Services %q, want %q", got, c.want)
				}
				return ""
			})
			if text := log.take(); strings.Contains(text, "level=ERROR") {
				t.Error(text)
			}
		})
	}
}

// configMap lays files out as the kubelet does: links to ..data, which is a link to a directory
// that is swapped as a whole.
func configMap(t *testing.T, dir, generation string, files map[string]string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(dir, "..gen"+generation), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		write(t, filepath.Join(dir, "..gen"+generation), name, text)
	}
	if err := os.Symlink("..gen"+generation, filepath.Join(dir, "..data_tmp")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	for name := range files {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
}

func TestAChangeIsSeenThoughTheDirectoryNeverSettles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	src, err := Directory(dir, new(journal).logger())
	if err != nil {
		t.Fatal(err)
	}
	defer start(t, src)()
	time.Sleep(2 * settleTime)
	write(t, dir, "a.yaml", web)
	began := time.Now()
	for n := 0; onShelf(t, src.Services) == ""; n++ {
		if time.Since(began) > 5*patience {
			t.Fatal("not seen: each event has put the scan off")
		}
		write(t, dir, "noise.log", fmt.Sprint(n))
		time.Sleep(settleTime / 10)
	}
}

func TestADirectoryThatIsRemovedLeavesEverythingAsItWas(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "manifests")
	again := func() {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	again()
	write(t, dir, "a.yaml", web)
	log := new(journal)
	d, _ := scanned(t, dir)
	d.log = log.logger()
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close()
	d.rescan(watcher)

	if err := os.Rename(dir, dir+"-away"); err != nil { // at one stroke: there is no moment when it is empty
		t.Fatal(err)
	}
	d.rescan(watcher)
	wantServices(t, d, "shop/web")
	wantLog(t, log, "level=ERROR", "what it last said stays in force")

	again()
	write(t, dir, "b.yaml", service("b", "10.96.0.1"))
	d.rescan(watcher)
	wantServices(t, d, "default/b")
	drain(watcher)
	write(t, dir, "c.yaml", node)
	select {
	case <-watcher.Events: // the new directory is watched as the old one was
	case <-time.After(5 * time.Second):
		t.Error("the directory that took the old one's place is not watched")
	}
}

// drain empties the queue of events.
func drain(watcher *fsnotify.Watcher) {
	for {
		select {
		case <-watcher.Events:
		case <-time.After(settleTime):
			return
		}
	}
}

func TestADirectoryRemovedWhileRunningIsLoggedAndSurvived(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "manifests")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "a.yaml", web)
	log := new(journal)
	src, err := Directory(dir, log.logger())
	if err != nil {
		t.Fatal(err)
	}
	defer start(t, src)()
	time.Sleep(2 * settleTime)
	if err := os.Rename(dir, dir+"-away"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		if !strings.Contains(log.take(), "cannot be read") {
			return "no word about it"
		}
		return ""
	})
	if got := onShelf(t, src.Services); got != "shop/web" || !src.Complete() {
		t.Errorf("Services %q, complete %v", got, src.Complete())
	}
}

func TestADirectoryThatIsGoneBeforeTheWatchBeginsIsAnError(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "manifests")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	src, err := Directory(dir, new(journal).logger())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := src.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "source.directory") {
		t.Errorf("error %v", err)
	}
}
