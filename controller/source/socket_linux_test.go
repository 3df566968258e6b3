package source

import (
	"net"
	"testing"
	"time"
)

func TestWhatArrivedAndWasNotReadIsSeen(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var s sockets
	near, err := s.dial(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	if s.unread() {
		t.Error("unread before anything was sent")
	}
	if _, err := far.Write([]byte("change")); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); !s.unread(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("what was sent is not seen")
		}
	}
	buf := make([]byte, 4)
	for _, more := range []bool{true, false} {
		if _, err := near.Read(buf); err != nil || s.unread() != more {
			t.Errorf("after %q: %v, unread: %v", buf, err, !more)
		}
	}
	if _, err := far.Write([]byte("change")); err != nil {
		t.Fatal(err)
	}
	if err := near.Close(); err != nil || s.unread() || len(s.open) > 0 {
		t.Errorf("closed: %v, unread: %v, open: %d", err, s.unread(), len(s.open))
	}
}

func TestNoConnectionIsAnErrorAndNotKept(t *testing.T) {
	var s sockets
	if conn, err := s.dial(t.Context(), "tcp", "127.0.0.1:1"); err == nil {
		conn.Close()
		t.Error("a connection to nobody")
	}
	if s.unread() || len(s.open) > 0 {
		t.Errorf("%d connections", len(s.open))
	}
}
