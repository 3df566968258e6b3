package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/spf13/viper"
)

// fileWatch says when to look at a file.
type fileWatch struct {
	settle time.Duration // after the first sign of a change: writing takes a moment
	every  time.Duration // without any sign
}

// defaultWatch looks without a sign, too. Viper stops to watch when the file is deleted, which is how some
// replace one, it does not see changes behind a symbolic link to another directory, and the kernel may
// have no watch left to give.
func defaultWatch() fileWatch {
	return fileWatch{settle: 250 * time.Millisecond, every: 10 * time.Second}
}

// run calls look after each change of the file at path until ctx ends, and now and then besides.
func (w fileWatch) run(ctx context.Context, path string, look func(), log *slog.Logger) {
	changed := make(chan struct{}, 1)
	if err := onChange(path, changed); err != nil {
		log.Warn("changes of the configuration file are found only by looking", "every", w.every, "err", err)
	}
	ticker := time.NewTicker(w.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-changed:
			select {
			case <-ctx.Done():
				return
			case <-time.After(w.settle):
			}
		}
		look()
	}
}

// onChange has Viper send on changed whenever the file is written, or replaced as Kubernetes replaces the
// files of a ConfigMap: by another target of a symbolic link. What Viper itself reads then is not used:
// see newViper.
func onChange(path string, changed chan<- struct{}) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	probe, err := fsnotify.NewWatcher()
	if err != nil { // Viper would end the process
		return fmt.Errorf("watch %s: %w", path, err)
	}
	_ = probe.Close()
	v := viper.New()
	v.SetConfigFile(path)
	v.SetConfigType("yaml")
	v.OnConfigChange(func(fsnotify.Event) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	v.WatchConfig()
	return nil
}
