package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// AskTimeout bounds one request, unless the context ends earlier. An emulated processor needs the room.
const AskTimeout = 3 * time.Second

// Answer is what a server said: its name, the client's address as it saw it (after any SNAT), and its own.
type Answer struct {
	Server        string
	Client, Local netip.AddrPort
}

// parseAnswer reads a server's line.
func parseAnswer(line string) (Answer, error) {
	var a Answer
	var client, local string
	if _, err := fmt.Sscanf(line, "name=%s client=%s local=%s", &a.Server, &client, &local); err != nil {
		return Answer{}, fmt.Errorf("not an answer: %q: %w", line, err)
	}
	var errClient, errLocal error
	a.Client, errClient = netip.ParseAddrPort(client)
	a.Local, errLocal = netip.ParseAddrPort(local)
	return a, errors.Join(errClient, errLocal)
}

// Ask sends one request over a new connection ("tcp", "sctp") or from a new socket ("udp"). It never tries again: a test that
// counts must count every attempt.
func Ask(ctx context.Context, n *Namespace, network, addr string) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, AskTimeout)
	defer cancel()
	conn, err := n.DialContext(ctx, network, addr)
	if err != nil {
		return Answer{}, fmt.Errorf("ask: %w", err)
	}
	defer conn.Close()
	limit(ctx, conn)
	if network == "udp" {
		// The filter's verdict on the way out is told to a local sender, but not which: a rejection follows by ICMP.
		if _, err := conn.Write([]byte("who\n")); err != nil && !errors.Is(err, syscall.EPERM) {
			return Answer{}, fmt.Errorf("ask from %s: %w", n.Name, err)
		}
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return Answer{}, fmt.Errorf("ask from %s: %w", n.Name, err)
	}
	return parseAnswer(line)
}

// AskMany asks n times, one after the other, and counts the answers by server. One failure does not stop it.
func AskMany(ctx context.Context, from *Namespace, network, addr string, n int) (map[string]int, []error) {
	counts := make(map[string]int)
	var errs []error
	for range n {
		answer, err := Ask(ctx, from, network, addr)
		if err != nil {
			errs = append(errs, err)
			if ctx.Err() != nil {
				break
			}
			continue
		}
		counts[answer.Server]++
	}
	return counts, errs
}

// Held is a long-lived connection to a TCP server of the lab. One goroutine at a time may use it.
type Held struct {
	Answer Answer // the greeting

	conn  net.Conn
	lines *bufio.Reader
	pings int
}

// Hold opens a connection and keeps it until Close, or until the namespace goes. Its local port is its own: no other
// connection of the namespace has it.
func Hold(ctx context.Context, n *Namespace, addr string) (*Held, error) {
	return HoldFrom(ctx, n, n.freshPort(), addr)
}

// HoldFrom is Hold from a local port, which several connections may have at once if they are all made by HoldFrom.
func HoldFrom(ctx context.Context, n *Namespace, port int, addr string) (*Held, error) {
	ctx, cancel := context.WithTimeout(ctx, AskTimeout)
	defer cancel()
	conn, err := n.dial(ctx, "tcp", addr, &net.TCPAddr{Port: port})
	if err != nil {
		return nil, fmt.Errorf("hold: %w", err)
	}
	limit(ctx, conn)
	h := &Held{conn: conn, lines: bufio.NewReader(conn)}
	line, err := h.lines.ReadString('\n')
	if err == nil {
		h.Answer, err = parseAnswer(line)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("hold from %s: %w", n.Name, err), conn.Close())
	}
	return h, n.own(h)
}

// Ping sends a line through the connection and waits for it to come back.
func (h *Held) Ping() error {
	h.pings++
	want := fmt.Sprintf("ping %d\n", h.pings)
	if err := h.conn.SetDeadline(time.Now().Add(AskTimeout)); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	if _, err := h.conn.Write([]byte(want)); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	got, err := h.lines.ReadString('\n')
	if err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	if got != want {
		return fmt.Errorf("ping: sent %q, came back %q", want, got)
	}
	return nil
}

// Close ends the connection. It is safe to call twice.
func (h *Held) Close() error { return ignoreClosed(h.conn.Close()) }

// Reset ends the connection by a reset: no state of it lingers for minutes on the way.
func (h *Held) Reset() error {
	if tcp, ok := h.conn.(*net.TCPConn); ok {
		if err := tcp.SetLinger(0); err != nil {
			return fmt.Errorf("reset: %w", err)
		}
	}
	return h.Close()
}

// limit gives a connection the context's deadline.
func limit(ctx context.Context, conn net.Conn) {
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline) //nolint:errcheck // fails on a closed connection only
	}
}

// Refused tells whether the other side said no at once: a TCP reset, or ICMP port unreachable for TCP and UDP alike.
func Refused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// TimedOut tells whether nothing came back in time.
func TimedOut(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout()
}
