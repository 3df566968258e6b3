package source

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

const (
	settleTime = 100 * time.Millisecond // an editor or a copy writes a file in several steps
	patience   = time.Second            // a directory that never settles is read all the same
	rescanTime = 30 * time.Second       // for file systems that notify of nothing
	shown      = 10                     // duplicates named in one warning
)

// directory reads manifests and keeps the last good objects of each file. After the first scan, run
// owns all of it but complete.
type directory struct {
	path string
	log  *slog.Logger

	files    map[string]*file
	twice    string      // the duplicates as last logged
	whole    bool        // every file has been good
	complete atomic.Bool // whole, and the reflectors have had time to hand it on

	services, endpointSlices, nodes *shelf
}

// Directory returns the source that reads every .yaml, .yml and .json file in a directory, follows
// its changes and logs what is wrong with it. A bad file does not touch the others, and what it
// last said when it was good stays in force. The directory must exist.
func Directory(path string, log *slog.Logger) (Source, error) {
	d := newDirectory(path, log)
	if err := d.scan(); err != nil {
		return Source{}, fmt.Errorf("read source.directory: %w", err)
	}
	d.complete.Store(d.whole) // nobody has listed yet
	return Source{
		Services: d.services, EndpointSlices: d.endpointSlices, Nodes: d.nodes,
		Complete: d.complete.Load,
		Run:      d.run,
	}, nil
}

func newDirectory(path string, log *slog.Logger) *directory {
	return &directory{
		path: path, log: log, files: map[string]*file{},
		services: newShelf(func(objects []object, meta metav1.ListMeta) runtime.Object {
			return &corev1.ServiceList{ListMeta: meta, Items: values[corev1.Service](objects)}
		}),
		endpointSlices: newShelf(func(objects []object, meta metav1.ListMeta) runtime.Object {
			return &discoveryv1.EndpointSliceList{ListMeta: meta, Items: values[discoveryv1.EndpointSlice](objects)}
		}),
		nodes: newShelf(func(objects []object, meta metav1.ListMeta) runtime.Object {
			return &corev1.NodeList{ListMeta: meta, Items: values[corev1.Node](objects)}
		}),
	}
}

func values[T any](objects []object) []T {
	out := make([]T, 0, len(objects))
	for _, o := range objects {
		out = append(out, *any(o).(*T))
	}
	return out
}

// run scans again whenever the directory changes.
func (d *directory) run(ctx context.Context) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch source.directory: %w", err)
	}
	defer watcher.Close()
	if err := watcher.Add(d.path); err != nil {
		return fmt.Errorf("watch source.directory: %w", err)
	}
	timer := time.NewTimer(settleTime) // the first scan may have been before the watch began
	defer timer.Stop()
	var restless time.Time // when the changes that are to be looked at began
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-watcher.Events:
		case err := <-watcher.Errors:
			d.log.Warn("watching the source directory", "err", err)
		case <-timer.C:
			restless = time.Time{}
			timer.Reset(d.rescan(watcher))
			continue
		}
		if restless.IsZero() {
			restless = time.Now()
		}
		timer.Reset(min(settleTime, time.Until(restless.Add(patience))))
	}
}

// rescan scans the directory and returns when to do so again. The watch is renewed because it ends
// with the directory, and another one may be in its place.
func (d *directory) rescan(watcher *fsnotify.Watcher) time.Duration {
	if d.whole {
		d.complete.Store(true) // since the scan before this one
	}
	err := d.scan()
	if err == nil {
		err = watcher.Add(d.path)
	}
	if err != nil {
		d.log.Error("the source directory cannot be read; what it last said stays in force", "err", err)
	}
	if d.whole && !d.complete.Load() {
		return settleTime
	}
	return rescanTime
}

// scan reads the directory and, if that has changed anything, puts the objects of all files on the
// shelves.
func (d *directory) scan() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	seen := make(map[string]bool)
	changed := false
	for _, entry := range entries {
		name := entry.Name()
		extension := strings.ToLower(filepath.Ext(name))
		if entry.IsDir() || strings.HasPrefix(name, ".") || !slices.Contains([]string{".yaml", ".yml", ".json"}, extension) {
			continue
		}
		seen[name] = true
		changed = d.read(name) || changed
	}
	maps.DeleteFunc(d.files, func(name string, _ *file) bool {
		changed = changed || !seen[name]
		return !seen[name]
	})
	if changed || !d.whole {
		d.publish()
	}
	return nil
}

// publish puts the objects of all files together. Where two files have the same object, the first
// file by name wins.
func (d *directory) publish() {
	services, endpointSlices, nodes := map[string]object{}, map[string]object{}, map[string]object{}
	from := make(map[object]string)
	d.whole = true
	var twice []string
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		f := d.files[name]
		d.whole = d.whole && f.good
		for _, sum := range f.order {
			for _, o := range f.documents[sum].objects {
				target := nodes
				switch o.(type) {
				case *corev1.Service:
					target = services
				case *discoveryv1.EndpointSlice:
					target = endpointSlices
				}
				if first, exists := target[keyOf(o)]; exists {
					twice = append(twice, fmt.Sprintf("%s: %s %s is in %s", name, kindOf(o), keyOf(o), from[first]))
					continue
				}
				target[keyOf(o)], from[o] = o, name
			}
		}
	}
	d.complain(twice)
	d.nodes.replace(nodes)
	d.endpointSlices.replace(endpointSlices) // before the Services, so that a new one has endpoints at once
	d.services.replace(services)
}

// complain logs which objects are there twice, when that has changed.
func (d *directory) complain(twice []string) {
	if more := len(twice) - shown; more > 0 {
		twice = append(twice[:shown], fmt.Sprintf("and %d more", more))
	}
	text := strings.Join(twice, "; ")
	if text != d.twice && text != "" {
		d.log.Warn("the same object twice; the first one counts", "objects", text)
	}
	d.twice = text
}

func kindOf(o object) string { return o.GetObjectKind().GroupVersionKind().Kind }
