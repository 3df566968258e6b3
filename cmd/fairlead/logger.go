package main

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"

	"k8s.io/klog/v2"
)

// newLogger returns the daemon's logger, and what changes its format and level while it is used. It makes
// client-go's log through it.
func newLogger(cfg LoggingConfig, w io.Writer) (*slog.Logger, func(LoggingConfig)) {
	level, asJSON := new(slog.LevelVar), new(atomic.Bool)
	configure := func(cfg LoggingConfig) {
		level.Set(cfg.Level)
		asJSON.Store(cfg.Format == logJSON)
	}
	configure(cfg)
	options := &slog.HandlerOptions{Level: level}
	log := slog.New(formats{asJSON, slog.NewTextHandler(w, options), slog.NewJSONHandler(w, options)})
	klog.SetSlogLogger(log.With("from", "client-go"))
	return log, configure
}

// formats is a handler for two formats, of which one is in use. It is safe for concurrent use.
type formats struct {
	asJSON     *atomic.Bool
	text, json slog.Handler
}

func (f formats) current() slog.Handler {
	if f.asJSON.Load() {
		return f.json
	}
	return f.text
}

// Enabled implements slog.Handler.
func (f formats) Enabled(ctx context.Context, level slog.Level) bool {
	return f.current().Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (f formats) Handle(ctx context.Context, r slog.Record) error { return f.current().Handle(ctx, r) }

// WithAttrs implements slog.Handler.
func (f formats) WithAttrs(attrs []slog.Attr) slog.Handler {
	return formats{f.asJSON, f.text.WithAttrs(attrs), f.json.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (f formats) WithGroup(name string) slog.Handler {
	return formats{f.asJSON, f.text.WithGroup(name), f.json.WithGroup(name)}
}
