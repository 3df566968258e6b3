package relay

import (
	"context"
	"io"
	"net"
	"net/netip"
	"time"
)

// dialTimeout is how long a target may take to answer before the next one is tried.
const dialTimeout = 5 * time.Second

// carry connects the client with the first of the targets that can be reached, and returns when the
// connection is over. If there is none, the client's connection is reset: the caller sees a refusal,
// not an empty answer. When ctx ends, everything is reset.
func carry(ctx context.Context, client *net.TCPConn, targets []netip.AddrPort) {
	dialer := net.Dialer{Timeout: dialTimeout}
	for _, target := range targets {
		if conn, err := dialer.DialContext(ctx, "tcp", target.String()); err == nil {
			join(ctx, client, conn.(*net.TCPConn))
			return
		}
	}
	reset(client)
}

// join forwards in both directions until both have ended. There is no limit to how long a
// connection may be idle; both ends have TCP keepalive, which is Go's default, so that a peer that
// has vanished is noticed.
func join(ctx context.Context, client, server *net.TCPConn) {
	stop := context.AfterFunc(ctx, func() { reset(client); reset(server) })
	defer stop()
	back := make(chan struct{})
	go func() {
		defer close(back)
		forward(client, server)
	}()
	forward(server, client)
	<-back
	_ = client.Close()
	_ = server.Close()
}

// forward copies until the end of what comes, and passes that end on: the other direction may still
// have much to say. An error resets both connections, which ends the other direction, too. Were they
// closed in the ordinary way, what was cut off would look complete.
func forward(to, from *net.TCPConn) {
	_, err := io.Copy(to, from)
	if err == nil {
		err = to.CloseWrite()
	}
	if err != nil {
		reset(to)
		reset(from)
	}
}

// reset ends a connection with RST.
func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0) // an error means that it is closed already
	_ = conn.Close()
}
