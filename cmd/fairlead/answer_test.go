package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener to which connections are handed.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error {
	close(p.closed)
	return nil
}

func (p pipes) Addr() net.Addr { return &net.UnixAddr{} }

// TestAClientThatSaysNothingIsLetGo: not before its first request, and not after one.
func TestAClientThatSaysNothingIsLetGo(t *testing.T) {
	for name, c := range map[string]struct {
		says    string
		answers int
		limit   time.Duration
	}{
		"half a header": {"GET / HTTP/1.1\r\n", 0, headerLimit},
		"a request":     {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1, idleLimit},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			listener := pipes{make(chan net.Conn), make(chan struct{})}
			ended := make(chan error)
			go func() {
				ended <- answer(ctx, listener, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			}()
			client, server := net.Pipe()
			defer client.Close()
			listener.conns <- server
			if _, err := fmt.Fprint(client, c.says); err != nil {
				t.Fatal(err)
			}
			started, in := time.Now(), bufio.NewReader(client)
			for range c.answers {
				response, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}
				_ = response.Body.Close()
			}
			if err := client.SetReadDeadline(started.Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			_, _ = in.ReadByte()
			if took := time.Since(started); took != c.limit {
				t.Errorf("%s: let go after %s, want %s", name, took, c.limit)
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAStopWaitsSoLongForPrograms and no longer.
func TestAStopWaitsSoLongForPrograms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		late := sometimeAfter(ctx)
		time.Sleep(time.Hour)
		stop()
		started := time.Now()
		<-late.Done()
		if took := time.Since(started); took != 30*time.Second {
			t.Errorf("they were killed after %s", took)
		}
	})
}
