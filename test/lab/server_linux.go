package lab

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Server answers inside a namespace and says who answered and whom it saw. It ends with Close, or with its namespace.
type Server struct {
	Name string

	addr  net.Addr
	count atomic.Int64
	stop  func() error
}

// Addr is where the server listens; it tells the port where port 0 was asked for.
func (s *Server) Addr() string { return s.addr.String() }

// Connections counts the TCP connections or UDP datagrams so far.
func (s *Server) Connections() int { return int(s.count.Load()) }

// Close ends the server and its open connections, and waits until its goroutines are gone.
func (s *Server) Close() error { return s.stop() }

// line is what every server of the lab answers; Answer is the other half.
func (s *Server) line(client, local net.Addr) string {
	return fmt.Sprintf("name=%s client=%s local=%s\n", s.Name, client, local)
}

// ServeTCP serves the lab's TCP protocol: one line at once, then each line of the client comes back until it closes.
func (n *Namespace) ServeTCP(addr, name string) (*Server, error) {
	listener, err := n.ListenTCP(addr)
	if err != nil {
		return nil, err
	}
	s := &Server{Name: name, addr: listener.Addr()}
	a := accept(listener, s.talk)
	s.stop = a.Close
	return s, n.own(s)
}

func (s *Server) talk(conn net.Conn) {
	s.count.Add(1)
	if _, err := conn.Write([]byte(s.line(conn.RemoteAddr(), conn.LocalAddr()))); err != nil {
		return
	}
	lines := bufio.NewReader(conn)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return // the peer is gone, or the server is
		}
		if _, err := conn.Write(line); err != nil {
			return
		}
	}
}

// ServeUDP answers each datagram with the server's line. Give it one address, not a wildcard, when the reply's source
// matters: an unconnected socket replies from whatever address the route suggests.
func (n *Namespace) ServeUDP(addr, name string) (*Server, error) {
	conn, err := n.ListenUDP(addr)
	if err != nil {
		return nil, err
	}
	s := &Server{Name: name, addr: conn.LocalAddr()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.answer(conn)
	}()
	s.stop = func() error {
		err := ignoreClosed(conn.Close())
		<-done
		return err
	}
	return s, n.own(s)
}

// answer ends when the socket is closed. Other errors are reports about earlier answers (ICMP) and do not stop it.
func (s *Server) answer(conn net.PacketConn) {
	buf := make([]byte, 2048)
	for {
		_, client, err := conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		s.count.Add(1)
		conn.WriteTo([]byte(s.line(client, conn.LocalAddr())), client) //nolint:errcheck // the asker notices
	}
}

// ServeHTTP answers GET / with the server's line, for curl. Connections stay open as HTTP wants them.
func (n *Namespace) ServeHTTP(addr, name string) (*Server, error) {
	listener, err := n.ListenTCP(addr)
	if err != nil {
		return nil, err
	}
	s := &Server{Name: name, addr: listener.Addr()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		fmt.Fprintf(w, "name=%s client=%s local=%s\n", s.Name, r.RemoteAddr, local)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ConnState: s.countNew}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(listener) //nolint:errcheck // http.ErrServerClosed
	}()
	s.stop = func() error {
		err := ignoreClosed(server.Close())
		<-done
		return err
	}
	return s, n.own(s)
}

func (s *Server) countNew(_ net.Conn, state http.ConnState) {
	if state == http.StateNew {
		s.count.Add(1)
	}
}

// ignoreClosed makes a second Close no error.
func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
