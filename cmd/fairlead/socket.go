package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/fairlead-lb/fairlead/controller"
	"github.com/fairlead-lb/fairlead/view"
)

// daemonView is what the daemon tells about itself: what the controller knows, and what only the process does.
type daemonView struct {
	*controller.Controller
	source string
	notes  *notes
}

var _ view.Source = daemonView{}

// Status implements view.Source.
func (v daemonView) Status(ctx context.Context) (view.Status, error) {
	s, err := v.Controller.Status(ctx)
	s.Version, s.Kernel, s.Source = readBuild().Version, kernelRelease(), v.source
	s.Notes = append(s.Notes, v.notes.list()...)
	if !s.Complete && s.Phase == view.PhaseRunning {
		s.Notes = append(s.Notes, "the source does not know all objects; until it does nothing is deleted (see the log)")
	}
	return s, err
}

// Owners implements view.Source.
func (v daemonView) Owners(ctx context.Context) ([]view.Owner, error) {
	owners, _, err := v.Controller.Owners(ctx, 0)
	list := make([]view.Owner, 0, len(owners))
	for k, o := range owners {
		list = append(list, view.Owner{Server: k.String(), Namespace: o.Service.Namespace, Name: o.Service.Name, Kind: o.Kind, Port: o.Port})
	}
	slices.SortFunc(list, func(a, b view.Owner) int { return cmp.Compare(a.Server, b.Server) })
	return list, err
}

// serveSocket answers on the local socket until ctx ends. That it cannot is no reason not to serve traffic.
func serveSocket(ctx context.Context, path string, source view.Source, log *slog.Logger) {
	if path == "" {
		return
	}
	listener, err := listenUnix(ctx, path)
	if err != nil {
		log.Warn("there will be no local socket: 'fairlead status' and others cannot ask this daemon", "key", "socketPath", "err", err)
		return
	}
	if err := answer(ctx, listener, view.Handler(source)); err != nil {
		log.Error("the local socket does not answer any more", "key", "socketPath", "err", err)
	}
}

// listenUnix listens on a socket that only this user can connect to. One that a daemon left which is no more is
// replaced; one that somebody listens on is not.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%s is there, and is no socket", path)
	default:
		var dialer net.Dialer
		if conn, err := dialer.DialContext(ctx, "unix", path); err == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("another daemon listens on %s", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}
