package lab

import (
	"net"
	"sync"
)

// acceptor runs one goroutine per accepted connection and can end them all.
type acceptor struct {
	listener net.Listener
	handle   func(net.Conn)
	wg       sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]struct{}
	closed bool
}

// accept starts an acceptor. handle must return when its connection is closed; the acceptor closes it afterwards.
func accept(listener net.Listener, handle func(net.Conn)) *acceptor {
	a := &acceptor{listener: listener, handle: handle, open: make(map[net.Conn]struct{})}
	a.wg.Go(a.loop)
	return a
}

func (a *acceptor) loop() {
	for {
		conn, err := a.listener.Accept()
		if err != nil {
			return
		}
		if !a.add(conn) {
			conn.Close()
			return
		}
		a.wg.Go(func() {
			defer a.drop(conn)
			a.handle(conn)
		})
	}
}

func (a *acceptor) add(conn net.Conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return false
	}
	a.open[conn] = struct{}{}
	return true
}

func (a *acceptor) drop(conn net.Conn) {
	conn.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, conn)
}

// Close stops listening, closes the open connections and waits for their goroutines.
func (a *acceptor) Close() error {
	err := ignoreClosed(a.listener.Close())
	a.mu.Lock()
	a.closed = true
	for conn := range a.open {
		conn.Close()
	}
	a.mu.Unlock()
	a.wg.Wait()
	return err
}
