package source

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/flowcontrol"
)

// Connection says how to reach the API server.
type Connection struct {
	Kubeconfig string // empty: the Pod's service account
	QPS        float32
	Burst      int
}

// Client speaks protobuf with the API server, about the kinds of a Scheme. (client-go's clientset knows
// all kinds there are, which more than doubles the program and what it takes to start it.)
type Client struct {
	Core, Discovery rest.Interface
	streams         *streams
}

// Scheme knows the kinds that Fairlead reads and writes.
func Scheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, discoveryv1.AddToScheme} {
		utilruntime.Must(add(scheme)) // fails only if two kinds had one name
	}
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	return scheme
}

// Client returns a client for the API server.
func (c Connection) Client() (Client, error) {
	var config *rest.Config
	var err error
	if c.Kubeconfig == "" {
		config, err = rest.InClusterConfig()
	} else {
		config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	}
	if err != nil {
		return Client{}, fmt.Errorf("find out how to reach the API server (clientConnection.kubeconfig): %w", err)
	}
	config.QPS, config.Burst = c.QPS, c.Burst
	config.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(cmp.Or(c.QPS, rest.DefaultQPS), cmp.Or(c.Burst, rest.DefaultBurst))
	config.UserAgent = "fairlead"
	config.ContentType = runtime.ContentTypeProtobuf
	config.DisableCompression = true // each event of a watch is compressed by itself: that takes longer than all the rest
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	return newClient(config)
}

// newClient returns a client whose groups share connections and the limit of requests.
func newClient(config *rest.Config) (Client, error) {
	watched := new(streams)
	config.Dial = watched.sockets.dial
	shared, err := rest.HTTPClientFor(config)
	if err != nil {
		return Client{}, fmt.Errorf("make a client for the API server: %w", err)
	}
	config.NegotiatedSerializer = wire{serializer.NewCodecFactory(Scheme()).WithoutConversion(), watched}
	group := func(version schema.GroupVersion, path string) rest.Interface {
		one := rest.CopyConfig(config)
		one.GroupVersion, one.APIPath = &version, path
		var client *rest.RESTClient
		if client, err = rest.RESTClientForConfigAndClient(one, shared); err != nil {
			err = fmt.Errorf("make a client for the API server: %w", err)
		}
		return client
	}
	client := Client{Core: group(corev1.SchemeGroupVersion, "/api"), streams: watched}
	if err == nil {
		client.Discovery = group(discoveryv1.SchemeGroupVersion, "/apis")
	}
	return client, err
}

// Kubernetes returns the source that watches the API server for the Services of this proxy, their
// EndpointSlices, and either all Nodes or this one.
func Kubernetes(client Client, nodeName string, allNodes bool) Source {
	contacts := new(Contacts)
	watch := func(c cache.Getter, kind, resource, labels, fields string) cache.ListerWatcher {
		lw := cache.NewFilteredListWatchFromClient(c, resource, metav1.NamespaceAll, func(o *metav1.ListOptions) {
			o.LabelSelector, o.FieldSelector = labels, fields
		})
		contacts.Observe(kind, lw)
		return cache.ToListWatcherWithWatchListSemantics(lw, c)
	}
	nodes := fields.OneTermEqualSelector("metadata.name", nodeName).String()
	if allNodes {
		nodes = ""
	}
	return Source{
		Services:       watch(client.Core, "Service", "services", "!service.kubernetes.io/service-proxy-name", "spec.clusterIP!=None"),
		EndpointSlices: watch(client.Discovery, "EndpointSlice", "endpointslices", "!service.kubernetes.io/headless,"+discoveryv1.LabelServiceName, ""),
		Nodes:          watch(client.Core, "Node", "nodes", "", nodes),
		Complete:       func() bool { return true },
		Coming:         client.streams.coming,
		Contacts:       contacts,
	}
}
