package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/fairlead-lb/fairlead/test/bench/dataset"
)

// cluster is the API server with the dataset in it. Only apply and update may be called concurrently.
type cluster struct {
	client     kubernetes.Interface
	kubeconfig string
	host, port string // of the API server, as seen from here: under test/vm the host is not the loopback

	services int
	fresh    int                // addresses given out so far
	now      map[int]netip.Addr // the second endpoint of Services that were changed
}

// newCluster connects to the API server that test/cluster has started.
func newCluster(services int) (*cluster, error) {
	c := &cluster{
		kubeconfig: os.Getenv("FAIRLEAD_TEST_KUBECONFIG"), host: "127.0.0.1",
		services: services, now: make(map[int]netip.Addr),
	}
	if c.kubeconfig == "" {
		return nil, errors.New("FAIRLEAD_TEST_KUBECONFIG is not set: run this behind test/cluster, as make bench does")
	}
	if host := os.Getenv("FAIRLEAD_VM_HOST"); host != "" {
		c.host = host
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	server, err := url.Parse(config.Host)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	c.port = server.Port()
	config.Host = "https://" + c.host + ":" + c.port
	config.QPS = -1 // no limit: what is measured must not wait for us
	config.ContentType = runtime.ContentTypeProtobuf
	if c.client, err = kubernetes.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("make a client for the API server: %w", err)
	}
	return c, nil
}

// endpoints are the endpoints of Service i now.
func (c *cluster) endpoints(i int) []netip.Addr {
	list := dataset.Endpoints(i)
	if addr, ok := c.now[i]; ok {
		list[1] = addr
	}
	return list
}

// change is one endpoint that takes another's place.
type change struct {
	service int
	vip     netip.AddrPort
	added   netip.Addr
	slice   *discoveryv1.EndpointSlice
}

// nextChange prepares the change of an endpoint of Service i to an address that nobody has had.
func (c *cluster) nextChange(i int) change {
	added := dataset.Fresh(c.fresh)
	c.fresh++
	c.now[i] = added
	name := dataset.Name(i)
	return change{
		service: i, vip: dataset.VIP(i), added: added,
		slice: dataset.Slice(dataset.Namespace, name, name, c.endpoints(i)),
	}
}

// apply writes a change and returns when the API server had answered.
func (c *cluster) apply(ctx context.Context, ch change) (answered time.Time, err error) {
	return c.update(ctx, ch.slice)
}

func (c *cluster) update(ctx context.Context, slice *discoveryv1.EndpointSlice) (answered time.Time, err error) {
	_, err = c.client.DiscoveryV1().EndpointSlices(slice.Namespace).Update(ctx, slice, metav1.UpdateOptions{})
	answered = time.Now()
	if err != nil {
		return answered, fmt.Errorf("change the endpoints of %s: %w", slice.Name, err)
	}
	return answered, nil
}

// advertised is where the API server's own Service leads. With saved data that is still the port of the server that saved
// it: kube-apiserver leaves the port of an endpoint that is there as it is.
func (c *cluster) advertised(ctx context.Context) (netip.AddrPort, error) {
	slice, err := c.client.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault).Get(ctx, "kubernetes", metav1.GetOptions{})
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("ask for the API server's endpoint: %w", err)
	}
	if len(slice.Endpoints) == 0 || len(slice.Ports) == 0 || slice.Ports[0].Port == nil {
		return netip.AddrPort{}, errors.New("the API server's Service has no endpoint")
	}
	addr, err := netip.ParseAddr(slice.Endpoints[0].Addresses[0])
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("the API server's endpoint: %w", err)
	}
	return netip.AddrPortFrom(addr, uint16(*slice.Ports[0].Port)), nil
}

// node makes a Node object, which kube-proxy waits for.
func (c *cluster) node(ctx context.Context, name string, addrs ...string) error {
	nodes := c.client.CoreV1().Nodes()
	object, err := nodes.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create Node %s: %w", name, err)
	}
	for _, addr := range addrs {
		object.Status.Addresses = append(object.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: addr})
	}
	if _, err := nodes.UpdateStatus(ctx, object, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("give Node %s addresses: %w", name, err)
	}
	return nil
}
