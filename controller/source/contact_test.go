package source

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// contactsOf runs informers on what an API server offers, and returns how it stands with it and what was told of that.
func contactsOf(t *testing.T, url string) (*Contacts, func() []Contact) {
	t.Helper()
	client, err := Connection{Kubeconfig: kubeconfig(t, url), QPS: 100, Burst: 100}.Client()
	if err != nil {
		t.Fatal(err)
	}
	src := Kubernetes(client, "node-7", false)
	var mu sync.Mutex
	var told []Contact
	src.Contacts.Watch(func(_, now Contact) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, now)
	})
	ctx, cancel := withCancel(t)
	var group sync.WaitGroup
	t.Cleanup(func() { cancel(); group.Wait() })
	for _, i := range []cache.SharedIndexInformer{
		cache.NewSharedIndexInformer(src.Services, &corev1.Service{}, 0, nil),
		cache.NewSharedIndexInformer(src.EndpointSlices, &discoveryv1.EndpointSlice{}, 0, nil),
		cache.NewSharedIndexInformer(src.Nodes, &corev1.Node{}, 0, nil),
	} {
		group.Go(func() { i.RunWithContext(ctx) })
	}
	return src.Contacts, func() []Contact {
		mu.Lock()
		defer mu.Unlock()
		return append([]Contact(nil), told...)
	}
}

// standing waits until all kinds are as wanted.
func standing(t *testing.T, c *Contacts, want func(Contact) bool) {
	t.Helper()
	eventually(t, func() string {
		all := ""
		for _, one := range c.List() {
			if !want(one) {
				all += one.Kind + " "
			}
		}
		return all
	})
}

func seven() map[string]object {
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name, ResourceVersion: "7"} }
	return map[string]object{
		"services":       &corev1.Service{ObjectMeta: named("web"), Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.1"}},
		"endpointslices": &discoveryv1.EndpointSlice{ObjectMeta: named("web-1"), AddressType: discoveryv1.AddressTypeIPv4},
		"nodes":          &corev1.Node{ObjectMeta: named("node-7")},
	}
}

// TestAServerThatGoesAwayIsMissed stops an API server, which refuses connections from then on. A reflector says nothing
// about that, and tries again.
func TestAServerThatGoesAwayIsMissed(t *testing.T) {
	server := httptest.NewServer(&apiServer{t: t, objects: seven()})
	contacts, told := contactsOf(t, server.URL)
	standing(t, contacts, Contact.Connected)
	if list := told(); len(list) != 0 {
		t.Errorf("told of %v before anything has happened", list)
	}
	server.CloseClientConnections()
	go server.Close() // waits for the watches that are about to be cut
	standing(t, contacts, func(c Contact) bool {
		server.CloseClientConnections()
		return !c.Connected() && strings.Contains(c.Err.Error(), "connection refused")
	})
	for _, c := range contacts.List() {
		if c.Since.IsZero() || !c.Since.After(c.Answered) || c.Answers() || strings.Contains(c.Err.Error(), "http") {
			t.Errorf("%+v", c)
		}
	}
	if list := told(); len(list) != 3 {
		t.Errorf("told %d times, want once of each kind: %v", len(list), list)
	}
}

// TestARefusalIsNoSilence has an API server forbid everything, and allow it later.
func TestARefusalIsNoSilence(t *testing.T) {
	var allowed atomic.Bool
	api := &apiServer{t: t, objects: seven()}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if allowed.Load() {
			api.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"it is forbidden"}`))
	}))
	t.Cleanup(func() { server.CloseClientConnections(); go server.Close() })
	contacts, told := contactsOf(t, server.URL)
	standing(t, contacts, func(c Contact) bool {
		return !c.Connected() && c.Answers() && c.Answered.IsZero() && strings.Contains(c.Err.Error(), "it is forbidden")
	})
	allowed.Store(true)
	standing(t, contacts, Contact.Connected)
	for _, c := range contacts.List() {
		if !c.Since.IsZero() {
			t.Errorf("%+v", c)
		}
	}
	if list := told(); len(list) != 6 {
		t.Errorf("told %d times, want twice of each kind: %v", len(list), list)
	}
}

// TestAnOldServerIsConnected: that it does not know lists by watch is no failure.
func TestAnOldServerIsConnected(t *testing.T) {
	server := httptest.NewServer(&apiServer{t: t, objects: seven(), old: true})
	t.Cleanup(func() { server.CloseClientConnections(); go server.Close() })
	contacts, told := contactsOf(t, server.URL)
	standing(t, contacts, Contact.Connected)
	if list := told(); len(list) != 0 {
		t.Errorf("told of %v", list)
	}
}

// TestAServerThatIsSilentIsMissed lets requests hang: the one that is under way shows, and no error is made of it.
func TestAServerThatIsSilentIsMissed(t *testing.T) {
	answer := make(chan struct{})
	api := &apiServer{t: t, objects: seven()}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-answer
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { server.CloseClientConnections(); go server.Close() })
	contacts, _ := contactsOf(t, server.URL)
	standing(t, contacts, func(c Contact) bool { return !c.Asked.IsZero() && !c.Connected() })
	for _, c := range contacts.List() {
		if _, _, silent := c.Silent(c.Asked.Add(unanswered)); silent {
			t.Errorf("impatient: %+v", c)
		}
		if since, why, silent := c.Silent(c.Asked.Add(unanswered + 1)); !silent || since != c.Asked || why != "there is no answer yet" {
			t.Errorf("%+v: %s, %q, %v", c, since, why, silent)
		}
	}
	close(answer)
	standing(t, contacts, func(c Contact) bool { return c.Connected() && c.Asked.IsZero() })
}
