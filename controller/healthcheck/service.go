package healthcheck

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/internal/listen"
)

// A prober asks one short question. Who takes longer only holds a connection.
const (
	requestTimeout = 10 * time.Second
	idleTimeout    = time.Minute
)

// service is one Service's servers, all on one port. What is not atomic is under Servers' lock.
type service struct {
	servers        *Servers
	name           types.NamespacedName
	port           uint16
	localEndpoints atomic.Int64
	sockets        map[netip.Addr]*listen.Socket
}

func newService(s *Servers, name types.NamespacedName, port uint16) *service {
	return &service{servers: s, name: name, port: port, sockets: make(map[netip.Addr]*listen.Socket)}
}

// listenOn opens sockets on these addresses and closes those on others, first: an unspecified
// address and a specific one cannot have the port both.
func (v *service) listenOn(addrs []netip.Addr) {
	for addr, socket := range v.sockets {
		if !slices.Contains(addrs, addr) {
			socket.Close()
			delete(v.sockets, addr)
		}
	}
	for _, addr := range addrs {
		if v.sockets[addr] == nil {
			v.sockets[addr] = v.open(addr)
		}
	}
}

// close closes all sockets. A nil service has none.
func (v *service) close() {
	if v != nil {
		v.listenOn(nil)
	}
}

// open starts to serve on one address, in a goroutine of its own.
func (v *service) open(addr netip.Addr) (socket *listen.Socket) {
	failed := func(err error) {
		// All addresses of a family that the kernel does not have are no address.
		if addr.IsUnspecified() && errors.Is(err, syscall.EAFNOSUPPORT) {
			socket.Close()
			return
		}
		v.servers.report(v.name, v.port, err)
	}
	socket = listen.NewSocket(v.servers.listen, netip.AddrPortFrom(addr, v.port), failed)
	v.servers.running.Go(func() { socket.Run(v.serve) })
	return socket
}

// serve answers on a listener until it is closed, and then ends what connections there are.
func (v *service) serve(listener net.Listener) error {
	running := &v.servers.running
	server := &http.Server{
		Handler: v, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout, IdleTimeout: idleTimeout,
		// New comes from within Serve, so the group cannot be empty then; Closed is the last that a
		// connection's goroutine does.
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				running.Add(1)
			case http.StateClosed, http.StateHijacked:
				running.Done()
			}
		},
	}
	defer func() { _ = server.Close() }() // the listener is closed before, the connections just go
	return server.Serve(listener)
}
