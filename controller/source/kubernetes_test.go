package source

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/streaming"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	restwatch "k8s.io/client-go/rest/watch"
	"k8s.io/client-go/tools/cache"
)

// apiServer answers lists and watches in protobuf and records what it was asked.
type apiServer struct {
	t       *testing.T
	objects map[string]object // one for each resource
	old     bool              // knows nothing of lists by watch

	mu       sync.Mutex
	requests []*http.Request
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Clone(r.Context()))
	s.mu.Unlock()
	o := s.objects[filepath.Base(r.URL.Path)]
	if o == nil || r.Method != http.MethodGet {
		http.NotFound(w, r)
		return
	}
	info, ok := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
	if !ok {
		s.t.Error("no protobuf")
		return
	}
	query := r.URL.Query()
	initial := query.Get("sendInitialEvents") == "true"
	if query.Get("watch") == "" {
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
		if err := scheme.Codecs.EncoderForVersion(info.Serializer, groupVersion(o)).Encode(listOf(o), w); err != nil {
			s.t.Error(err)
		}
		return
	}
	if initial && s.old {
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422,"message":"sendInitialEvents is forbidden"}`)
		return
	}
	w.Header().Set("Content-Type", runtime.ContentTypeProtobuf+";stream=watch")
	frames := info.StreamSerializer.Framer.NewFrameWriter(w)
	embedded := scheme.Codecs.EncoderForVersion(info.Serializer, groupVersion(o))
	outer := scheme.Codecs.EncoderForVersion(info.StreamSerializer.Serializer, groupVersion(o))
	events := restwatch.NewEncoder(streaming.NewEncoder(frames, outer), embedded)
	if initial {
		mark := o.DeepCopyObject().(object)
		mark.SetName("")
		mark.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
		for _, event := range []watch.Event{{Type: watch.Added, Object: o}, {Type: watch.Bookmark, Object: mark}} {
			if err := events.Encode(&event); err != nil {
				s.t.Error(err)
			}
		}
	}
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

func groupVersion(o object) schema.GroupVersion {
	if _, ok := o.(*discoveryv1.EndpointSlice); ok {
		return discoveryv1.SchemeGroupVersion
	}
	return corev1.SchemeGroupVersion
}

func listOf(o object) runtime.Object {
	meta := metav1.ListMeta{ResourceVersion: "7"}
	switch o := o.(type) {
	case *corev1.Service:
		return &corev1.ServiceList{ListMeta: meta, Items: []corev1.Service{*o}}
	case *discoveryv1.EndpointSlice:
		return &discoveryv1.EndpointSliceList{ListMeta: meta, Items: []discoveryv1.EndpointSlice{*o}}
	}
	return &corev1.NodeList{ListMeta: meta, Items: []corev1.Node{*o.(*corev1.Node)}}
}

// asked returns the requests for a resource, lists and watches apart.
func (s *apiServer) asked(resource string) (lists, watches []url.Values) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		switch {
		case filepath.Base(r.URL.Path) != resource:
		case r.URL.Query().Get("watch") == "":
			lists = append(lists, r.URL.Query())
		default:
			watches = append(watches, r.URL.Query())
		}
	}
	return lists, watches
}

// serve starts the API server and informers on all that the source of one node offers, and waits
// until they have their object and watch.
func serve(t *testing.T, old bool) *apiServer {
	t.Helper()
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name, ResourceVersion: "7"} }
	s := &apiServer{t: t, old: old, objects: map[string]object{
		"services":       &corev1.Service{ObjectMeta: named("web"), Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.1"}},
		"endpointslices": &discoveryv1.EndpointSlice{ObjectMeta: named("web-1"), AddressType: discoveryv1.AddressTypeIPv4},
		"nodes":          &corev1.Node{ObjectMeta: named("node-7")},
	}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	client, err := Connection{Kubeconfig: kubeconfig(t, server.URL), QPS: 100, Burst: 100}.Client()
	if err != nil {
		t.Fatal(err)
	}
	src := Kubernetes(client, "node-7", false)
	if !src.Complete() || src.Run != nil {
		t.Error("what the API server lists is all there is, and nothing needs to run")
	}
	ctx, cancel := withCancel(t)
	var group sync.WaitGroup
	t.Cleanup(func() { cancel(); group.Wait(); server.CloseClientConnections() })
	for resource, i := range map[string]cache.SharedIndexInformer{
		"services":       cache.NewSharedIndexInformer(src.Services, &corev1.Service{}, 0, nil),
		"endpointslices": cache.NewSharedIndexInformer(src.EndpointSlices, &discoveryv1.EndpointSlice{}, 0, nil),
		"nodes":          cache.NewSharedIndexInformer(src.Nodes, &corev1.Node{}, 0, nil),
	} {
		group.Go(func() { i.RunWithContext(ctx) })
		eventually(t, func() string {
			list := i.GetStore().List()
			_, watches := s.asked(resource)
			if !i.HasSynced() || len(list) != 1 || len(watches) == 0 || watches[len(watches)-1].Has("sendInitialEvents") == old {
				return fmt.Sprintf("%s: synced %v, %v, watches %v", resource, i.HasSynced(), list, watches)
			}
			return ""
		})
		if got, want := i.GetStore().List()[0].(object), s.objects[resource]; got.GetName() != want.GetName() {
			t.Errorf("%s: got %v", resource, got)
		}
	}
	return s
}

func kubeconfig(t *testing.T, server string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text := "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters: [{name: x, cluster: {server: '" + server + "', insecure-skip-tls-verify: true}}]\n" +
		"contexts: [{name: x, context: {cluster: x, user: x}}]\nusers: [{name: x, user: {}}]\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// selectors is section 1 of the Service contract: which objects are asked for.
var selectors = map[string]struct{ path, labels, fields string }{
	"services":       {"/api/v1/services", "!service.kubernetes.io/service-proxy-name", "spec.clusterIP!=None"},
	"endpointslices": {"/apis/discovery.k8s.io/v1/endpointslices", "!service.kubernetes.io/headless,kubernetes.io/service-name", ""},
	"nodes":          {"/api/v1/nodes", "", "metadata.name=node-7"},
}

func (s *apiServer) checkEveryRequest() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		query := r.URL.Query()
		want := selectors[filepath.Base(r.URL.Path)]
		if r.URL.Path != want.path || query.Get("labelSelector") != want.labels || query.Get("fieldSelector") != want.fields {
			s.t.Errorf("asked for %s, want %+v", r.URL, want)
		}
		if encoding := r.Header.Get("Accept-Encoding"); encoding != "" {
			s.t.Errorf("%s may be answered in %s: to decompress takes longer than all the rest", r.URL.Path, encoding)
		}
		if accept := r.Header.Get("Accept"); !strings.HasPrefix(accept, "application/vnd.kubernetes.protobuf") || !strings.Contains(accept, "application/json") {
			s.t.Errorf("%s: accepts %q", r.URL.Path, accept)
		}
		if agent := r.Header.Get("User-Agent"); agent != "fairlead" {
			s.t.Errorf("%s: user agent %q", r.URL.Path, agent)
		}
	}
}

func TestTheAPIServerIsAskedForTheListByWatch(t *testing.T) {
	s := serve(t, false)
	s.checkEveryRequest()
	for resource := range selectors {
		lists, watches := s.asked(resource)
		if len(lists) != 0 || len(watches) != 1 {
			t.Errorf("%s: %d lists, %d watches", resource, len(lists), len(watches))
			continue
		}
		q := watches[0]
		if q.Get("sendInitialEvents") != "true" || q.Get("resourceVersionMatch") != "NotOlderThan" ||
			q.Get("allowWatchBookmarks") != "true" || q.Get("timeoutSeconds") == "" {
			t.Errorf("%s: watch %v", resource, q)
		}
	}
}

func TestAnAPIServerThatCannotListByWatchIsAskedForListAndWatch(t *testing.T) {
	s := serve(t, true)
	s.checkEveryRequest()
	for resource := range selectors {
		lists, watches := s.asked(resource)
		if len(lists) != 1 || len(watches) != 2 {
			t.Errorf("%s: %d lists, %d watches", resource, len(lists), len(watches))
			continue
		}
		if q := lists[0]; q.Get("resourceVersion") != "0" {
			t.Errorf("%s: list %v is not answered from the API server's cache", resource, q)
		}
		if q := watches[1]; q.Get("resourceVersion") != "7" || q.Get("allowWatchBookmarks") != "true" {
			t.Errorf("%s: watch %v", resource, q)
		}
	}
}

func TestAKubeconfigThatCannotBeUsedIsAnErrorThatNamesTheKey(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	bad := filepath.Join(t.TempDir(), "bad")
	write(t, filepath.Dir(bad), "bad", "kind: [")
	for _, path := range []string{missing, bad} {
		_, err := Connection{Kubeconfig: path}.Client()
		if err == nil || !strings.Contains(err.Error(), "clientConnection.kubeconfig") || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v", path, err)
		}
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if _, err := (Connection{}).Client(); err == nil || !strings.Contains(err.Error(), "clientConnection.kubeconfig") {
		t.Errorf("outside of a Pod, without a kubeconfig: error %v", err)
	}
}
