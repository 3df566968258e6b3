package listen

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// TestListenWaitsLongerEachTimeAndTellsWhatIsNews runs on a clock of its own.
func TestListenWaitsLongerEachTimeAndTellsWhatIsNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		texts := []string{"in use", "in use", "no such address", "no such address", "in use"}
		start := time.Now()
		var tries []time.Duration
		want := &net.TCPListener{}
		open := func(_ context.Context, network, address string) (net.Listener, error) {
			if network != "tcp4" || address != "127.0.0.1:80" {
				t.Errorf("asked for %s %s", network, address)
			}
			tries = append(tries, time.Since(start))
			if len(tries) <= len(texts) {
				return nil, errors.New(texts[len(tries)-1])
			}
			return want, nil
		}
		var told []string
		got := Backoff{time.Second, 4 * time.Second}.Listen(t.Context(), open, "tcp4", "127.0.0.1:80",
			func(err error) { told = append(told, err.Error()) })
		if got != want {
			t.Errorf("got listener %v", got)
		}
		if want := []time.Duration{0, 1e9, 3e9, 7e9, 11e9, 15e9}; !reflect.DeepEqual(tries, want) {
			t.Errorf("tries at %v, want %v", tries, want)
		}
		if want := []string{"in use", "no such address", "in use"}; !reflect.DeepEqual(told, want) {
			t.Errorf("told of %q, want %q", told, want)
		}
	})
}

func TestListenEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		refuse := func(context.Context, string, string) (net.Listener, error) { return nil, errors.New("in use") }
		told := 0
		start := time.Now()
		if got := (Backoff{time.Second, time.Hour}).Listen(ctx, refuse, "tcp4", "", func(error) { told++ }); got != nil {
			t.Errorf("got listener %v", got)
		}
		if took := time.Since(start); took != time.Minute || told != 1 {
			t.Errorf("it took %s and told of %d errors", took, told)
		}
	})
}

// TestASocketIsOpenedAnewWhenServingFails lets serving fail twice.
func TestASocketIsOpenedAnewWhenServingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		s := NewSocket(openFake, netip.MustParseAddrPort("[::1]:80"), func(err error) { told = append(told, err.Error()) })
		served := 0
		s.Run(func(net.Listener) error {
			if served++; served == 3 {
				s.Close()
			}
			return errors.New("out of memory")
		})
		if want := []string{"out of memory", "out of memory"}; !reflect.DeepEqual(told, want) || served != 3 {
			t.Errorf("served %d times, told of %q", served, told)
		}
	})
}

// TestASocketClosedWhileItBindsIsNotServed covers Close in the midst of a bind, and before Run.
func TestASocketClosedWhileItBindsIsNotServed(t *testing.T) {
	var s *Socket
	listener := new(fakeListener)
	binds := 0
	s = NewSocket(func(context.Context, string, string) (net.Listener, error) {
		binds++
		s.Close()
		return listener, nil
	}, netip.MustParseAddrPort("127.0.0.1:80"), func(err error) { t.Errorf("told of %v", err) })
	never := func(net.Listener) error { t.Error("served"); return nil }
	s.Run(never)
	s.Run(never)
	if !listener.closed.Load() || binds != 1 {
		t.Errorf("closed is %v after %d binds", listener.closed.Load(), binds)
	}
}

func TestAClosedSocketFreesItsPortAtOnce(t *testing.T) {
	defer goleak.VerifyNone(t)
	taken, err := TCP(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = taken.Close()
	addr := netip.MustParseAddrPort(taken.Addr().String())
	for range 20 {
		s := NewSocket(TCP, addr, func(err error) { t.Errorf("told of %v", err) })
		open, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			s.Run(func(l net.Listener) error {
				close(open)
				_, err := l.Accept()
				return err
			})
		}()
		<-open
		s.Close()
		<-s.Done()
		next, err := TCP(t.Context(), "tcp4", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		_ = next.Close()
		<-ended
	}
}

func openFake(context.Context, string, string) (net.Listener, error) { return new(fakeListener), nil }

type fakeListener struct {
	net.Listener
	closed atomic.Bool
}

func (f *fakeListener) Close() error { f.closed.Store(true); return nil }
