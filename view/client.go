package view

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// Client asks a daemon on this host by its local socket. It is safe for concurrent use.
type Client struct{ http http.Client }

var _ Source = (*Client)(nil)

// NewClient returns a client of the daemon that listens on the socket with this path. It does not connect yet.
func NewClient(path string) *Client {
	var dialer net.Dialer
	return &Client{http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialer.DialContext(ctx, "unix", path) },
	}}}
}

// Status implements Source.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return ask[Status](ctx, c, pathStatus, nil)
}

// Services implements Source.
func (c *Client) Services(ctx context.Context, f Filter) (Services, error) {
	return ask[Services](ctx, c, pathServices, f.query())
}

// Endpoints implements Source.
func (c *Client) Endpoints(ctx context.Context, f Filter) ([]Endpoint, error) {
	return ask[[]Endpoint](ctx, c, pathEndpoints, f.query())
}

// Addresses implements Source.
func (c *Client) Addresses(ctx context.Context, f Filter) ([]Address, error) {
	return ask[[]Address](ctx, c, pathAddresses, f.query())
}

// Sets implements Source.
func (c *Client) Sets(ctx context.Context, f Filter) ([]Entry, error) {
	return ask[[]Entry](ctx, c, pathSets, f.query())
}

// Explain implements Source.
func (c *Client) Explain(ctx context.Context, what string) ([]Explanation, error) {
	return ask[[]Explanation](ctx, c, pathExplain, url.Values{"what": {what}})
}

// Owners implements Source.
func (c *Client) Owners(ctx context.Context) ([]Owner, error) {
	return ask[[]Owner](ctx, c, pathOwners, nil)
}

// ErrNoDaemon says that nobody listens on the socket, or that this process may not connect.
var ErrNoDaemon = errors.New("no daemon answers")

func ask[T any](ctx context.Context, c *Client, path string, query url.Values) (answer T, err error) {
	err = c.get(ctx, path, query, &answer)
	return answer, err
}

func (c *Client) get(ctx context.Context, path string, query url.Values, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, (&url.URL{Scheme: "http", Host: "fairlead", Path: path, RawQuery: query.Encode()}).String(), nil)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return fmt.Errorf("%w: %w", ErrNoDaemon, op.Err)
		}
		return fmt.Errorf("ask the daemon: %w", err)
	}
	defer response.Body.Close()
	decoder := json.NewDecoder(response.Body)
	if response.StatusCode != http.StatusOK {
		var f failure
		if decoder.Decode(&f) != nil || f.Error == "" {
			f.Error = "the daemon answers " + response.Status
		}
		return errors.New(f.Error)
	}
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
	}
	return nil
}
