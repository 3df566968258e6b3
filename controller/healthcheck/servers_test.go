package healthcheck

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/internal/listen"
)

var (
	web  = types.NamespacedName{Namespace: "ns", Name: "web"}
	mail = types.NamespacedName{Namespace: "ns", Name: "mail"}
	v4   = netip.MustParseAddr("127.0.0.1")
	v4b  = netip.MustParseAddr("127.0.0.2")
	v6   = netip.MustParseAddr("::1")
)

// rig is Servers that listen on loopback addresses where they mean to listen on all, and see to it
// that the test leaves no goroutine behind.
type rig struct {
	*testing.T
	*Servers
	healthy atomic.Bool
	client  *http.Client

	mu      sync.Mutex
	binds   map[string]int
	reports []string
}

func newRig(t *testing.T) *rig {
	r := &rig{T: t, binds: make(map[string]int), client: &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}}
	r.healthy.Store(true)
	before := goleak.IgnoreCurrent()
	r.Servers = New(r.healthy.Load, r.listen, r.reported)
	t.Cleanup(func() {
		r.Close()
		r.client.CloseIdleConnections()
		goleak.VerifyNone(t, before)
	})
	return r
}

func (r *rig) listen(ctx context.Context, network, address string) (net.Listener, error) {
	r.mu.Lock()
	r.binds[network+" "+address]++
	r.mu.Unlock()
	address = strings.NewReplacer("0.0.0.0:", "127.0.0.1:", "[::]:", "[::1]:").Replace(address)
	return listen.TCP(ctx, network, address)
}

func (r *rig) reported(name types.NamespacedName, port uint16, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports = append(r.reports, fmt.Sprintf("%s %d %v", name, port, err))
}

func (r *rig) seen() (binds map[string]int, reports string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.binds), strings.Join(r.reports, "\n")
}

// get asks an address until somebody answers.
func (r *rig) get(addr netip.Addr, port uint16, path string) (header http.Header, status int, body string) {
	r.Helper()
	url := "http://" + netip.AddrPortFrom(addr, port).String() + path
	var err error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		var response *http.Response
		if response, err = r.client.Get(url); err != nil {
			continue
		}
		data, err := io.ReadAll(response.Body)
		if err != nil {
			r.Fatal(err)
		}
		_ = response.Body.Close()
		return response.Header, response.StatusCode, strings.TrimSpace(string(data))
	}
	r.Fatalf("nobody answers: %v", err)
	return nil, 0, ""
}

// answers waits until it is this Service that answers.
func (r *rig) answers(addr netip.Addr, port uint16, name types.NamespacedName) {
	r.Helper()
	body := ""
	for range 2000 {
		if _, _, body = r.get(addr, port, "/"); strings.Contains(body, `"name":"`+name.Name+`"`) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	r.Fatalf("%s does not answer: %s", name, body)
}

// silent checks that nobody listens.
func (r *rig) silent(addr netip.Addr, port uint16) {
	r.Helper()
	if conn, err := net.Dial("tcp", netip.AddrPortFrom(addr, port).String()); err == nil {
		_ = conn.Close()
		r.Errorf("%s port %d is open", addr, port)
	}
}

// take binds a port that was free a moment ago, as another process would.
func (r *rig) take() (port uint16, holder net.Listener) {
	r.Helper()
	holder, err := listen.TCP(r.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		r.Fatal(err)
	}
	return netip.MustParseAddrPort(holder.Addr().String()).Port(), holder
}

func (r *rig) free() uint16 {
	port, holder := r.take()
	_ = holder.Close()
	return port
}

func TestAnswersAreKubeProxys(t *testing.T) {
	r := newRig(t)
	r.Addresses([]netip.Addr{v4})
	port := r.free()
	for _, c := range []struct {
		endpoints int
		healthy   bool
		status    int
		path      string
	}{
		{2, true, 200, "/"}, {1, true, 200, "/healthz"}, {0, true, 503, "/any/path?x=y"}, {3, false, 503, "/"}, {0, false, 503, "/"},
	} {
		r.Set(web, port, c.endpoints)
		r.healthy.Store(c.healthy)
		header, status, body := r.get(v4, port, c.path)
		want := fmt.Sprintf(`{"service":{"namespace":"ns","name":"web"},"localEndpoints":%d,"serviceProxyHealthy":%v}`, c.endpoints, c.healthy)
		if status != c.status || body != want {
			t.Errorf("%+v: %d %s, want %d %s", c, status, body, c.status, want)
		}
		for key, want := range map[string]string{
			"Content-Type": "application/json", "X-Content-Type-Options": "nosniff",
			"X-Load-Balancing-Endpoint-Weight": fmt.Sprint(c.endpoints),
		} {
			if got := header.Get(key); got != want {
				t.Errorf("%+v: %s is %q, want %q", c, key, got, want)
			}
		}
	}
	if binds, reports := r.seen(); len(binds) != 1 || binds[fmt.Sprintf("tcp4 127.0.0.1:%d", port)] != 1 || reports != "" {
		t.Errorf("bound %v, reported %q; the counts alone have changed", binds, reports)
	}
}

func TestEachFamilyHasItsListener(t *testing.T) {
	r := newRig(t)
	port := r.free()
	r.Set(web, port, 1)
	r.answers(v4, port, web)
	r.answers(v6, port, web)
	want := map[string]int{fmt.Sprintf("tcp4 0.0.0.0:%d", port): 1, fmt.Sprintf("tcp6 [::]:%d", port): 1}
	if binds, _ := r.seen(); !maps.Equal(binds, want) {
		t.Errorf("bound %v, want %v", binds, want)
	}
}

func TestAFamilyThatTheKernelDoesNotHaveIsNoFailure(t *testing.T) {
	r := newRig(t)
	var tries atomic.Int32
	gone := make(chan struct{})
	r.Servers.listen = func(ctx context.Context, network, address string) (net.Listener, error) {
		if network == "tcp6" {
			if tries.Add(1) == 1 {
				defer close(gone)
			}
			return nil, &net.OpError{Op: "listen", Err: syscall.EAFNOSUPPORT}
		}
		return r.listen(ctx, network, address)
	}
	port := r.free()
	r.Set(web, port, 1)
	r.answers(v4, port, web)
	<-gone
	r.Close() // waits for what there is to report
	if _, reports := r.seen(); reports != "" || tries.Load() != 1 {
		t.Errorf("after %d tries reported %q", tries.Load(), reports)
	}
}

func TestAnotherPortAnotherListener(t *testing.T) {
	r := newRig(t)
	r.Addresses([]netip.Addr{v4})
	first, second := r.free(), r.free()
	r.Set(web, first, 1)
	r.answers(v4, first, web)
	r.Set(web, second, 1)
	r.silent(v4, first)
	r.answers(v4, second, web)
	r.Set(mail, first, 1)
	r.answers(v4, first, mail)
	r.Unset(web)
	r.Unset(types.NamespacedName{Name: "unknown"})
	r.silent(v4, second)
	if _, reports := r.seen(); reports != "" {
		t.Errorf("reported %q", reports)
	}
}

func TestAddressesMoveListeners(t *testing.T) {
	r := newRig(t)
	port := r.free()
	r.Set(web, port, 1)
	r.answers(v4, port, web)
	r.answers(v6, port, web)
	r.Addresses([]netip.Addr{v4b, netip.MustParseAddr("::ffff:127.0.0.1"), v4b})
	r.answers(v4, port, web)
	r.answers(v4b, port, web)
	r.silent(v6, port)
	before, _ := r.seen()
	r.Addresses([]netip.Addr{v4, v4b})
	if after, _ := r.seen(); !maps.Equal(before, after) {
		t.Errorf("the same addresses in another order moved something: %v, then %v", before, after)
	}
	r.Addresses([]netip.Addr{})
	for _, addr := range []netip.Addr{v4, v4b, v6} {
		r.silent(addr, port)
	}
	r.Addresses(nil)
	r.answers(v6, port, web)
}

func TestAPortOfAnotherProcessIsWaitedFor(t *testing.T) {
	r := newRig(t)
	r.Addresses([]netip.Addr{v4})
	port, holder := r.take()
	r.Set(web, port, 1)
	for range 1000 {
		if _, reports := r.seen(); reports != "" {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	_ = holder.Close()
	r.answers(v4, port, web)
	want := fmt.Sprintf("ns/web %d listen tcp4 127.0.0.1:%[1]d: bind: address already in use", port)
	if _, reports := r.seen(); reports != want {
		t.Errorf("reported\n%s\nwant, once,\n%s", reports, want)
	}
}

func TestTheSecondServiceOnAPortGetsItWhenTheFirstGoes(t *testing.T) {
	r := newRig(t)
	r.Addresses([]netip.Addr{v4})
	port := r.free()
	r.Set(web, port, 1)
	r.answers(v4, port, web)
	r.Set(mail, port, 1)
	for range 1000 {
		if _, reports := r.seen(); strings.Contains(reports, "ns/mail") {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	r.answers(v4, port, web)
	r.Unset(web)
	r.answers(v4, port, mail)
	if _, reports := r.seen(); strings.Count(reports, "\n") != 0 || !strings.HasPrefix(reports, "ns/mail ") {
		t.Errorf("reported\n%s", reports)
	}
}

func TestCloseEndsWhatIsOpenWaitingAndIdle(t *testing.T) {
	r := newRig(t)
	r.Addresses([]netip.Addr{v4})
	port := r.free()
	taken, holder := r.take()
	defer func() { _ = holder.Close() }()
	r.Set(web, port, 1)
	r.Set(mail, taken, 1)
	r.answers(v4, port, web) // and the client keeps its connection
	mute, err := net.Dial("tcp", netip.AddrPortFrom(v4, port).String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = mute.Close() }()
	r.Close()
	r.silent(v4, port)
	if _, err := mute.Read(make([]byte, 1)); err == nil {
		t.Error("a connection outlives Close")
	}
	r.Set(web, port, 1)
	r.Addresses(nil)
	r.silent(v4, port)
	r.Close()
}

// TestManyAtOnce is for the race detector.
func TestManyAtOnce(t *testing.T) {
	r := newRig(t)
	r.Addresses([]netip.Addr{v4})
	ports := []uint16{r.free(), r.free()}
	var group sync.WaitGroup
	for n := range 4 {
		group.Go(func() {
			for i := range 50 {
				r.Set(web, ports[(n+i)%2], i)
				if n == 0 && i%7 == 0 {
					r.Unset(web)
				}
				if n == 1 && i%5 == 0 {
					r.Addresses([]netip.Addr{v4, v4b}[:1+i%2])
				}
				if response, err := r.client.Get("http://127.0.0.1:" + fmt.Sprint(ports[0])); err == nil {
					_ = response.Body.Close()
				}
			}
		})
	}
	group.Wait()
	r.Unset(web)
	r.Set(web, ports[1], 1)
	r.answers(v4, ports[1], web)
}
