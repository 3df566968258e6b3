package source

import (
	"fmt"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// Connection says how to reach the API server.
type Connection struct {
	Kubeconfig string // empty: the Pod's service account
	QPS        float32
	Burst      int
}

// Client returns a client for the API server that speaks protobuf.
func (c Connection) Client() (kubernetes.Interface, error) {
	var config *rest.Config
	var err error
	if c.Kubeconfig == "" {
		config, err = rest.InClusterConfig()
	} else {
		config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	}
	if err != nil {
		return nil, fmt.Errorf("find out how to reach the API server (clientConnection.kubeconfig): %w", err)
	}
	config.QPS, config.Burst = c.QPS, c.Burst
	config.UserAgent = "fairlead"
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for the API server: %w", err)
	}
	return client, nil
}

// Kubernetes returns the source that watches the API server for the Services of this proxy, their
// EndpointSlices, and either all Nodes or this one.
func Kubernetes(client kubernetes.Interface, nodeName string, allNodes bool) Source {
	core, discovery := client.CoreV1().RESTClient(), client.DiscoveryV1().RESTClient()
	watch := func(c cache.Getter, resource, labels, fields string) cache.ListerWatcher {
		lw := cache.NewFilteredListWatchFromClient(c, resource, metav1.NamespaceAll, func(o *metav1.ListOptions) {
			o.LabelSelector, o.FieldSelector = labels, fields
		})
		return cache.ToListWatcherWithWatchListSemantics(lw, client)
	}
	nodes := fields.OneTermEqualSelector("metadata.name", nodeName).String()
	if allNodes {
		nodes = ""
	}
	return Source{
		Services:       watch(core, "services", "!service.kubernetes.io/service-proxy-name", "spec.clusterIP!=None"),
		EndpointSlices: watch(discovery, "endpointslices", "!service.kubernetes.io/headless,"+discoveryv1.LabelServiceName, ""),
		Nodes:          watch(core, "nodes", "", nodes),
		Complete:       func() bool { return true },
	}
}
