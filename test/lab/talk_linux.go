package lab

import (
	"context"
	"fmt"
	"net"
	"time"
)

// Talker is a UDP client that keeps its socket, and with it its port: for every proxy all its datagrams are one flow.
type Talker struct{ conn net.Conn }

// Talk opens a Talker. It ends with Close, or with its namespace.
func Talk(ctx context.Context, n *Namespace, addr string) (*Talker, error) {
	conn, err := n.DialContext(ctx, "udp", addr)
	if err != nil {
		return nil, fmt.Errorf("talk: %w", err)
	}
	t := &Talker{conn: conn}
	return t, n.own(t)
}

// Ask sends one datagram and waits for at most limit for the answer to it, or to an earlier one that was late.
func (t *Talker) Ask(limit time.Duration) (Answer, error) {
	if err := t.conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return Answer{}, fmt.Errorf("talk: %w", err)
	}
	if _, err := t.conn.Write([]byte("who\n")); err != nil {
		return Answer{}, fmt.Errorf("talk: %w", err)
	}
	buf := make([]byte, 2048)
	size, err := t.conn.Read(buf)
	if err != nil {
		return Answer{}, fmt.Errorf("talk: %w", err)
	}
	return parseAnswer(string(buf[:size]))
}

// Close ends the flow. It is safe to call twice.
func (t *Talker) Close() error { return ignoreClosed(t.conn.Close()) }
