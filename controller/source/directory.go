package source

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sync/atomic"

	"github.com/fsnotify/fsnotify"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

const (
	settleTime = 100 * time.Millisecond // an editor or a copy writes a file in several steps
	rescanTime = 30 * time.Second       // for file systems that notify of nothing
)

// directory reads manifests and keeps the last good objects of each file.
type directory struct {
	path string
	log  *slog.Logger

	files    map[string]*file
	complete atomic.Bool

	services, endpointSlices, nodes *shelf
}

type file struct {
	data    string // as last read
	objects []object
	good    bool   // objects are what some version of the file said
	problem string // with the current version
}

// Directory returns the source that reads every .yaml, .yml and .json file in a directory, follows
// its changes and logs what is wrong with it. A bad file does not touch the others, and what it
// last said when it was good stays in force. The directory must exist.
func Directory(path string, log *slog.Logger) (Source, error) {
	d := &directory{
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
	if err := d.scan(); err != nil {
		return Source{}, fmt.Errorf("read source.directory: %w", err)
	}
	return Source{
		Services: d.services, EndpointSlices: d.endpointSlices, Nodes: d.nodes,
		Complete: d.complete.Load,
		Run:      d.run,
	}, nil
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
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-watcher.Events:
			timer.Reset(settleTime)
		case err := <-watcher.Errors:
			d.log.Warn("watching the source directory", "err", err)
			timer.Reset(settleTime)
		case <-timer.C:
			if err := d.scan(); err != nil {
				d.log.Error("the source directory cannot be read; what it last said stays in force", "err", err)
			}
			timer.Reset(rescanTime)
		}
	}
}

// scan reads the directory and puts the objects of all files on the shelves.
func (d *directory) scan() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	seen := make(map[string]bool)
	for _, entry := range entries {
		name := entry.Name()
		extension := strings.ToLower(filepath.Ext(name))
		if strings.HasPrefix(name, ".") || !slices.Contains([]string{".yaml", ".yml", ".json"}, extension) {
			continue
		}
		seen[name] = true
		d.read(name)
	}
	maps.DeleteFunc(d.files, func(name string, _ *file) bool { return !seen[name] })
	d.publish()
	return nil
}

// read takes in one file if it has changed.
func (d *directory) read(name string) {
	path := filepath.Join(d.path, name)
	f := d.files[name]
	if f == nil {
		f = &file{}
		d.files[name] = f
	}
	data, err := os.ReadFile(path)
	if err == nil && f.data == string(data) && (f.good || f.problem != "") {
		return
	}
	var objects []object
	var ignored []string
	if err == nil {
		f.data = string(data)
		objects, ignored, err = parse(data)
	}
	if err != nil {
		if problem := err.Error(); problem != f.problem {
			f.problem = problem
			d.log.Error("bad manifest; what the file last said stays in force", "file", path, "err", err)
		}
		return
	}
	for _, text := range ignored {
		d.log.Info("manifest: "+text, "file", path)
	}
	if f.problem != "" {
		d.log.Info("the manifest is good again", "file", path)
	}
	f.objects, f.good, f.problem = objects, true, ""
}

// publish puts the objects of all files together. Where two files have the same object, the first
// file by name wins.
func (d *directory) publish() {
	shelves := map[*shelf]map[string]object{d.services: {}, d.endpointSlices: {}, d.nodes: {}}
	complete := true
	var twice []error
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		complete = complete && d.files[name].good
		for _, o := range d.files[name].objects {
			target := shelves[d.shelfOf(o)]
			if _, exists := target[keyOf(o)]; exists {
				twice = append(twice, fmt.Errorf("%s: %T %s is there already", name, o, keyOf(o)))
				continue
			}
			target[keyOf(o)] = o
		}
	}
	if err := errors.Join(twice...); err != nil {
		d.log.Warn("the same object twice; the first one counts", "err", err)
	}
	for shelf, objects := range shelves {
		shelf.replace(objects)
	}
	d.complete.Store(complete)
}

func (d *directory) shelfOf(o object) *shelf {
	switch o.(type) {
	case *corev1.Service:
		return d.services
	case *discoveryv1.EndpointSlice:
		return d.endpointSlices
	}
	return d.nodes
}
