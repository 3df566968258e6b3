package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// browser makes an HTTP client in a namespace that opens a new connection for each request.
func browser(from *lab.Namespace) *http.Client {
	return &http.Client{
		Timeout:   lab.AskTimeout,
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialer(from)},
	}
}

// dialer connects from a namespace. Its connections end with a reset instead of a farewell: IPVS remembers an orderly
// closed connection for 2 minutes (TIME_WAIT) and a reset one for 10 seconds, and a draining real server waits for that.
//
// It has a time limit of its own because an [http.Transport] goes on dialing after its request has timed out: a SYN sent
// again much later, when there is somebody to answer it, would take an endpoint's turn.
func dialer(from *lab.Namespace) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, lab.AskTimeout)
		defer cancel()
		conn, err := from.DialContext(ctx, network, addr)
		if tcp, ok := conn.(*net.TCPConn); ok && err == nil {
			err = tcp.SetLinger(0)
		}
		return conn, err
	}
}

func fetch(ctx context.Context, client *http.Client, url string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return client.Do(request)
}

// ask sends one HTTP request over a connection of its own. It never tries again.
func ask(ctx context.Context, client *http.Client, addr string) (lab.Answer, error) {
	response, err := fetch(ctx, client, "http://"+addr+"/")
	if err != nil {
		return lab.Answer{}, err
	}
	return read(response)
}

// read takes the lab's line out of a response: who answered, and whom it saw.
func read(response *http.Response) (a lab.Answer, err error) {
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return a, err
	}
	var seen, local string
	if _, err := fmt.Sscanf(string(body), "name=%s client=%s local=%s", &a.Server, &seen, &local); err != nil {
		return a, fmt.Errorf("status %s, body %q: %w", response.Status, body, err)
	}
	a.Client, err = netip.ParseAddrPort(seen)
	return a, err
}

// tally is what came of many requests.
type tally struct {
	answers map[string]int // by endpoint
	clients map[string]int // by the client address that the endpoints saw
	errs    []error
}

// askMany sends n requests, one after the other.
func askMany(ctx context.Context, from *lab.Namespace, addr string, n int) tally {
	t := tally{answers: make(map[string]int), clients: make(map[string]int)}
	client := browser(from)
	for range n {
		answer, err := ask(ctx, client, addr)
		if ctx.Err() != nil {
			t.errs = append(t.errs, ctx.Err())
			break
		}
		if err != nil {
			t.errs = append(t.errs, err)
			continue
		}
		t.answers[answer.Server]++
		t.clients[answer.Client.Addr().String()]++
	}
	return t
}

// each is nil if every one of the endpoints answered n times, and nobody else did.
func (t tally) each(n int, of []string) error {
	if len(t.errs) > 0 {
		return shortened(t.errs)
	}
	even := len(t.answers) == len(of)
	for _, endpoint := range of {
		even = even && t.answers[endpoint] == n
	}
	return unless(even, "saw %v", t.answers)
}

// sawOnly is nil if the endpoints saw this client address and no other.
func (t tally) sawOnly(addr netip.Addr) error {
	return unless(len(t.clients) == 1 && t.clients[addr.String()] > 0, "saw %v", t.clients)
}

// bars is the tally as a chart.
func (t tally) bars() string {
	var all []bar
	for _, endpoint := range endpoints {
		all = append(all, bar{endpoint, t.answers[endpoint]})
	}
	return bars(all)
}

// open is an HTTP connection that stays open between requests, and can use no other.
type open struct {
	conn  net.Conn
	lines *bufio.Reader
	addr  string
}

func openConnection(ctx context.Context, from *lab.Namespace, addr string) (*open, error) {
	conn, err := dialer(from)(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &open{conn, bufio.NewReader(conn), addr}, nil
}

// ask sends a request through the connection.
func (o *open) ask(ctx context.Context) (lab.Answer, error) {
	if err := o.conn.SetDeadline(time.Now().Add(lab.AskTimeout)); err != nil {
		return lab.Answer{}, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.addr+"/", nil)
	if err != nil {
		return lab.Answer{}, err
	}
	if err := request.Write(o.conn); err != nil {
		return lab.Answer{}, err
	}
	response, err := http.ReadResponse(o.lines, request)
	if err != nil {
		return lab.Answer{}, err
	}
	return read(response)
}

// openTo opens connections until one leads to the endpoint; under rr that is one of the first three.
func openTo(ctx context.Context, from *lab.Namespace, addr, endpoint string) (*open, error) {
	for range len(endpoints) {
		o, err := openConnection(ctx, from, addr)
		if err != nil {
			return nil, err
		}
		answer, err := o.ask(ctx)
		if err == nil && answer.Server == endpoint {
			return o, nil
		}
		o.conn.Close()
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("none of %d connections led to %s", len(endpoints), endpoint)
}
