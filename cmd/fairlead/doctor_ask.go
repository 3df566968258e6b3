package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/rest"

	"github.com/fairlead-lb/fairlead/controller/source"
	"github.com/fairlead-lb/fairlead/doctor"
	"github.com/fairlead-lb/fairlead/view"
)

// askLimit is how long the API server and the daemon have to answer.
const askLimit = 3 * time.Second

// errNoAnswer is why the clock cannot be compared.
var errNoAnswer = errors.New("it has not answered (see source)")

// askSource asks for what Fairlead reads, as Fairlead would, but for one object of each kind only.
func askSource(ctx context.Context, cfg Config) (s doctor.Source, clock doctor.Answer[time.Duration]) {
	if cfg.Source.Kind == sourceDirectory {
		_, err := os.ReadDir(cfg.Source.Directory)
		return doctor.Source{Name: "directory " + cfg.Source.Directory, Err: err}, doctor.Answer[time.Duration]{Err: doctor.ErrNoClock}
	}
	client, err := source.Connection{Kubeconfig: cfg.ClientConnection.Kubeconfig}.Client()
	if err != nil {
		return doctor.Source{API: true, Err: err}, doctor.Answer[time.Duration]{Err: errNoAnswer}
	}
	return askAPIServer(ctx, client)
}

func askAPIServer(ctx context.Context, client source.Client) (s doctor.Source, clock doctor.Answer[time.Duration]) {
	ctx, stop := context.WithTimeout(ctx, askLimit)
	defer stop()
	s.API, clock.Err = true, errNoAnswer
	for _, kind := range []struct {
		client   rest.Interface
		resource string
	}{{client.Core, "services"}, {client.Discovery, "endpointslices"}, {client.Core, "nodes"}} {
		request := kind.client.Get().Resource(kind.resource).Param("limit", "1")
		url := request.URL()
		s.Name, s.Request = "API server "+url.Scheme+"://"+url.Host, url.String()
		var date time.Time
		before := time.Now()
		if date, s.Status, s.Err = get(ctx, kind.client.(*rest.RESTClient).Client, url.String()); !date.IsZero() {
			// It was told some time between; and as it has no fraction, half a second more on average.
			between := before.Add(time.Since(before) / 2)
			clock = doctor.Answer[time.Duration]{Value: between.Sub(date.Add(time.Second / 2))}
		}
		if s.Err != nil {
			return s, clock
		}
	}
	return s, clock
}

// get returns the time that the server tells, and why the answer is not a good one.
func get(ctx context.Context, client *http.Client, url string) (date time.Time, status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return date, 0, err
	}
	response, err := client.Do(request)
	if err != nil {
		return date, 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	date, _ = http.ParseTime(response.Header.Get("Date")) // without one, it is zero
	if response.StatusCode != http.StatusOK {
		return date, response.StatusCode, fmt.Errorf("%s %s", response.Status, firstLine(string(body)))
	}
	return date, response.StatusCode, err
}

// firstLine is as much of an answer as is good for a line.
func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line[:min(len(line), 300)]
}

// askDaemon returns what asks the daemon, at most once. Without an address there is nobody to ask.
func askDaemon(ctx context.Context, cfg Config) func() error {
	if cfg.SocketPath == "" && !cfg.HealthzBindAddress.IsValid() {
		return nil
	}
	return sync.OnceValue(func() error {
		ctx, stop := context.WithTimeout(ctx, askLimit)
		defer stop()
		if cfg.SocketPath != "" {
			status, err := view.NewClient(cfg.SocketPath).Status(ctx)
			switch {
			case err == nil && !status.Healthy:
				return fmt.Errorf("%w: %s; last error: %s", doctor.ErrUnhealthy, healthText(status), errorLine(status))
			case err == nil:
				return nil
			case !cfg.HealthzBindAddress.IsValid() && errors.Is(err, view.ErrNoDaemon):
				return fmt.Errorf("%w at %s (socketPath)", doctor.ErrNotRunning, cfg.SocketPath)
			case !cfg.HealthzBindAddress.IsValid():
				return err
			}
		}
		// The socket of a daemon in a Pod is in there.
		return askHealth(ctx, reachable(cfg.HealthzBindAddress))
	})
}

// askHealth asks whoever listens at addr.
func askHealth(ctx context.Context, addr netip.AddrPort) error {
	direct := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // whatever proxy the environment names
	_, status, err := get(ctx, direct, "http://"+addr.String()+"/livez")
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w at %s (healthzBindAddress)", doctor.ErrNotRunning, addr)
	case err != nil && status != 0:
		return fmt.Errorf("%w: %w", doctor.ErrUnhealthy, err)
	}
	return err
}

// reachable returns where to connect to what listens at addr.
func reachable(addr netip.AddrPort) netip.AddrPort {
	switch {
	case addr.Addr() == netip.IPv4Unspecified():
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), addr.Port())
	case addr.Addr() == netip.IPv6Unspecified():
		return netip.AddrPortFrom(netip.IPv6Loopback(), addr.Port())
	}
	return addr
}
