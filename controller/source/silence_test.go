package source

import (
	"net"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// path carries connections to a server, until packets are lost on it: then those that are open stay so, and nothing
// comes through; new ones are accepted, and nothing comes through them either.
type path struct {
	listener net.Listener
	to       string
	lost     atomic.Bool
	group    sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

func pathTo(t *testing.T, to string) *path {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &path{listener: listener, to: to}
	p.group.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
		p.group.Wait()
	})
	return p
}

func (p *path) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.group.Go(func() { p.carry(server, client) })
		p.group.Go(func() { p.carry(client, server) })
	}
}

// carry ends when either end is closed.
func (p *path) carry(to, from net.Conn) {
	defer to.Close()
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if p.lost.Load() {
			continue
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// cut closes all connections.
func (p *path) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// TestLostPacketsAreMissed: where packets are lost there is neither an answer nor an error. The client notices that the
// open connection is dead, asks again, and tries for minutes within that one request, which is what shows.
func TestLostPacketsAreMissed(t *testing.T) {
	t.Setenv("HTTP2_READ_IDLE_TIMEOUT_SECONDS", "1") // 30 and 15 are client-go's own
	t.Setenv("HTTP2_PING_TIMEOUT_SECONDS", "1")
	server := httptest.NewUnstartedServer(&apiServer{t: t, objects: seven()})
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(func() { server.CloseClientConnections(); go server.Close() })
	way := pathTo(t, server.Listener.Addr().String())
	contacts, _ := contactsOf(t, "https://"+way.listener.Addr().String())
	standing(t, contacts, Contact.Connected)

	way.lost.Store(true)
	began := time.Now()
	standing(t, contacts, func(c Contact) bool { return c.Asked.After(began) && c.Err == nil })
	for _, c := range contacts.List() {
		if since, _, silent := c.Silent(c.Asked.Add(unanswered + 1)); !silent || since != c.Asked {
			t.Errorf("%+v", c)
		}
	}
	way.lost.Store(false)
	way.cut()
	standing(t, contacts, func(c Contact) bool { return c.Connected() && c.Asked.IsZero() })
}
