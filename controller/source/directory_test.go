package source

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	corev1 "k8s.io/api/core/v1"
)

// scanned returns a directory that has been scanned once, and its log.
func scanned(t *testing.T, dir string) (*directory, *journal) {
	t.Helper()
	log := new(journal)
	d := newDirectory(dir, log.logger())
	if err := d.scan(); err != nil {
		t.Fatal(err)
	}
	return d, log
}

func rescan(t *testing.T, d *directory) {
	t.Helper()
	if err := d.scan(); err != nil {
		t.Fatal(err)
	}
}

func wantServices(t *testing.T, d *directory, want string) {
	t.Helper()
	if got := onShelf(t, d.services); got != want {
		t.Errorf("Services %q, want %q", got, want)
	}
}

func wantLog(t *testing.T, log *journal, parts ...string) {
	t.Helper()
	text := log.take()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("the log does not say %s:\n%s", part, text)
		}
	}
	if len(parts) == 0 && text != "" {
		t.Errorf("there was nothing to log:\n%s", text)
	}
}

func vip(d *directory, key string) string {
	return d.services.objects[key].object.(*corev1.Service).Spec.ClusterIP
}

func TestADirectoryIsReadFileByFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", web)
	write(t, dir, "b.YML", slice+"---\n"+node)
	write(t, dir, "c.json", `{"apiVersion":"v1","kind":"Service","metadata":{"name":"c"}}`)
	write(t, dir, "d.txt", service("d", "10.96.0.4"))
	write(t, dir, "e.yaml~", service("e", "10.96.0.5"))
	write(t, dir, ".f.yaml", "not: [a manifest")
	write(t, dir, "g.yaml", "apiVersion: apps/v1\nkind: Deployment\n---\n# nothing\n---\napiVersion: v1\nkind: Pod\n")
	write(t, dir, "h.yaml", "")
	if err := os.Mkdir(filepath.Join(dir, "i.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	log := new(journal)
	src, err := Directory(dir, log.logger())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ got, want string }{
		{onShelf(t, src.Services), "default/c shop/web"},
		{onShelf(t, src.EndpointSlices), "shop/web-1"},
		{onShelf(t, src.Nodes), "/this"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	if !src.Complete() {
		t.Error("not complete, though every file is good")
	}
	wantLog(t, log, "level=INFO", "document 1: kind apps/v1 Deployment is ignored", "document 2: kind v1 Pod is ignored", filepath.Join(dir, "g.yaml"))
}

func TestADirectoryThatIsNotThereIsAnErrorAtTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none")
	_, err := Directory(path, new(journal).logger())
	if err == nil || !strings.Contains(err.Error(), "source.directory") || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	write(t, filepath.Dir(path), "none", "a file")
	if _, err = Directory(path, new(journal).logger()); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("error %v", err)
	}
}

func TestABadFileKeepsWhatItLastSaidAndTouchesNoOther(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", service("a", "10.96.0.1")+"---\n"+service("a2", "10.96.0.2"))
	write(t, dir, "b.yaml", service("b", "10.96.0.3"))
	d, log := scanned(t, dir)
	wantLog(t, log)

	write(t, dir, "a.yaml", service("a", "10.96.0.11")+"---\nkind: [\n")
	write(t, dir, "b.yaml", service("b", "10.96.0.13"))
	rescan(t, d)
	wantServices(t, d, "default/a default/a2 default/b")
	if vip(d, "default/a") != "10.96.0.1" || vip(d, "default/b") != "10.96.0.13" {
		t.Errorf("VIPs %s and %s", vip(d, "default/a"), vip(d, "default/b"))
	}
	wantLog(t, log, "level=ERROR", "bad manifest", filepath.Join(dir, "a.yaml"), "document 2")

	rescan(t, d)
	wantLog(t, log) // said once

	write(t, dir, "a.yaml", service("a", "10.96.0.11"))
	rescan(t, d)
	wantServices(t, d, "default/a default/b")
	if vip(d, "default/a") != "10.96.0.11" {
		t.Errorf("VIP %s", vip(d, "default/a"))
	}
	wantLog(t, log, "good again")
}

func TestABadFileThatGoesBackToItsGoodContentIsGoodAgain(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", web)
	d, log := scanned(t, dir)
	write(t, dir, "a.yaml", "x")
	rescan(t, d)
	wantLog(t, log, "bad manifest")
	write(t, dir, "a.yaml", web)
	rescan(t, d)
	wantLog(t, log, "good again")
	write(t, dir, "a.yaml", "x")
	rescan(t, d)
	wantLog(t, log, "bad manifest")
	wantServices(t, d, "shop/web")
}

// TestAFileThatBecomesEmptyKeepsWhatItLastSaid: `kubectl get ... > a.yaml` truncates the file first.
func TestAFileThatBecomesEmptyKeepsWhatItLastSaid(t *testing.T) {
	for _, empty := range []string{"", "# soon\n", "---\n---\n", "\ufeff"} {
		dir := t.TempDir()
		write(t, dir, "a.yaml", service("a", "10.96.0.1"))
		d, log := scanned(t, dir)
		write(t, dir, "a.yaml", empty)
		rescan(t, d)
		wantServices(t, d, "default/a")
		wantLog(t, log, "level=ERROR", filepath.Join(dir, "a.yaml"), "has become empty")
		write(t, dir, "a.yaml", service("b", "10.96.0.1"))
		rescan(t, d)
		wantServices(t, d, "default/b")
		wantLog(t, log, "good again")
		write(t, dir, "a.yaml", "{apiVersion: v1, kind: List, items: []}")
		rescan(t, d)
		wantServices(t, d, "")
		write(t, dir, "a.yaml", empty) // nothing is lost by that
		rescan(t, d)
		wantLog(t, log)
	}
}

func TestASourceIsCompleteOnceEveryFileHasBeenGood(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", web)
	write(t, dir, "b.yaml", "bad")
	log := new(journal)
	src, err := Directory(dir, log.logger())
	if err != nil {
		t.Fatal(err)
	}
	if src.Complete() {
		t.Error("complete with a file that was never good")
	}
	stop := start(t, src)
	defer stop()
	time.Sleep(3 * settleTime)
	if src.Complete() {
		t.Error("complete with a file that was never good")
	}
	write(t, dir, "b.yaml", service("b", "10.96.0.2"))
	eventually(t, func() string {
		if !src.Complete() {
			return "not complete, though every file has been good"
		}
		return ""
	})
	if got := onShelf(t, src.Services); got != "default/b shop/web" {
		t.Errorf("complete with %q", got)
	}
	log.take()
	write(t, dir, "b.yaml", "bad again")
	write(t, dir, "c.yaml", "never good")
	eventually(t, func() string {
		if text := log.take(); !strings.Contains(text, "c.yaml") {
			return "no word about c.yaml"
		}
		return ""
	})
	if !src.Complete() {
		t.Error("not complete any more: then no endpoint of any other file could be taken away")
	}
}

// TestCompleteComesAfterTheObjectsThatMadeItSo: between the two, the reflectors hand the objects on.
func TestCompleteComesAfterTheObjectsThatMadeItSo(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", "bad")
	d, _ := scanned(t, dir)
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close()
	if next := d.rescan(watcher); d.complete.Load() || next != rescanTime {
		t.Errorf("complete %v with a bad file, next scan in %v", d.complete.Load(), next)
	}
	write(t, dir, "a.yaml", web)
	if next := d.rescan(watcher); d.complete.Load() || next != settleTime {
		t.Errorf("complete %v as soon as the file is good, next scan in %v", d.complete.Load(), next)
	}
	wantServices(t, d, "shop/web")
	if next := d.rescan(watcher); !d.complete.Load() || next != rescanTime {
		t.Errorf("complete %v in the scan after, next scan in %v", d.complete.Load(), next)
	}
}

func TestAnEmptyDirectoryIsComplete(t *testing.T) {
	src, err := Directory(t.TempDir(), new(journal).logger())
	if err != nil {
		t.Fatal(err)
	}
	if got := onShelf(t, src.Services); got != "" || !src.Complete() {
		t.Errorf("Services %q, complete %v", got, src.Complete())
	}
}

func TestABadFileThatIsDeletedIsMissedNoMore(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", "bad")
	d, _ := scanned(t, dir)
	if d.whole {
		t.Error("whole with a file that was never good")
	}
	remove(t, dir, "a.yaml")
	rescan(t, d)
	if !d.whole {
		t.Error("not whole, though the bad file is gone")
	}
}

func TestADeletedFileTakesItsObjectsAlong(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", service("a", "10.96.0.1"))
	write(t, dir, "b.yaml", service("b", "10.96.0.2"))
	d, _ := scanned(t, dir)
	remove(t, dir, "a.yaml")
	rescan(t, d)
	wantServices(t, d, "default/b")
	remove(t, dir, "b.yaml")
	write(t, dir, "c.yaml", "bad") // one goes, one comes
	rescan(t, d)
	wantServices(t, d, "")
}

func TestOfTwoFilesWithOneObjectTheFirstByNameCounts(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "b.yaml", service("web", "10.96.0.2")+"---\n"+service("b", "10.96.0.3"))
	d, log := scanned(t, dir)
	wantLog(t, log)

	write(t, dir, "a.yaml", service("web", "10.96.0.1"))
	rescan(t, d)
	wantServices(t, d, "default/b default/web")
	if vip(d, "default/web") != "10.96.0.1" {
		t.Errorf("VIP %s", vip(d, "default/web"))
	}
	wantLog(t, log, "level=WARN", "b.yaml: Service default/web is in a.yaml")

	rescan(t, d)
	write(t, dir, "c.yaml", service("c", "10.96.0.4"))
	rescan(t, d)
	wantLog(t, log) // said once

	remove(t, dir, "a.yaml")
	rescan(t, d)
	wantServices(t, d, "default/b default/c default/web")
	if vip(d, "default/web") != "10.96.0.2" {
		t.Errorf("VIP %s: the other file has not taken over", vip(d, "default/web"))
	}
	write(t, dir, "a.yaml", service("web", "10.96.0.1"))
	rescan(t, d)
	wantLog(t, log, "b.yaml: Service default/web is in a.yaml")
}

func TestTheSameObjectTwiceInOneFileIsSaidInFewWords(t *testing.T) {
	dir := t.TempDir()
	var text strings.Builder
	for n := range 25 {
		fmt.Fprintf(&text, "%s---\n", service(fmt.Sprintf("s%02d", n), "10.96.0.1"))
	}
	write(t, dir, "a.yaml", text.String()+text.String())
	d, log := scanned(t, dir)
	if got := len(d.services.objects); got != 25 {
		t.Errorf("%d Services", got)
	}
	wantLog(t, log, "a.yaml: Service default/s09 is in a.yaml; and 15 more")
}

func TestWhatCannotBeReadIsAnErrorAndBlocksNothing(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "a.yaml"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/nowhere/at/all", filepath.Join(dir, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "c.yaml", web)
	d, log := scanned(t, dir)
	wantServices(t, d, "shop/web")
	wantLog(t, log, "a.yaml: not a file", "b.yaml: no such file")
	if d.whole {
		t.Error("whole with files that could not be read")
	}
	remove(t, dir, "b.yaml")
	write(t, dir, "b.yaml", "") // empty from the first time that it can be read
	remove(t, dir, "a.yaml")
	rescan(t, d)
	if !d.whole {
		t.Error("not whole, though all can be read")
	}
}

func TestNothingIsToldWhenNothingHasChanged(t *testing.T) {
	dir := t.TempDir()
	fromKubectl := strings.Replace(web, "namespace: shop", `namespace: shop, resourceVersion: "123"`, 1)
	write(t, dir, "a.yaml", fromKubectl+"---\n"+slice+"---\n"+node)
	d, _ := scanned(t, dir)
	before := [3]int{d.services.version, d.endpointSlices.version, d.nodes.version}
	write(t, dir, "b.yaml", "# all files are put together again\n")
	rescan(t, d)
	write(t, dir, "a.yaml", "# moved and reordered\n"+node+"---\n"+strings.ReplaceAll(slice, ", ", ",   ")+"---\n# x\n"+fromKubectl)
	rescan(t, d)
	if after := [3]int{d.services.version, d.endpointSlices.version, d.nodes.version}; after != before {
		t.Errorf("versions of the shelves: %v, then %v", before, after)
	}
	write(t, dir, "a.yaml", strings.Replace(fromKubectl, "80", "81", 1)+"---\n"+slice+"---\n"+node)
	rescan(t, d)
	before[0]++
	if after := [3]int{d.services.version, d.endpointSlices.version, d.nodes.version}; after != before {
		t.Errorf("versions of the shelves: %v, want %v", after, before)
	}
}
