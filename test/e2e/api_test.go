//go:build linux

package e2e

import (
	"context"
	"net/url"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// namespace is where the tests put their objects, as in the original note.
const namespace = "myproject"

// api is the real API server, as the tests reach it.
type api struct {
	t          testing.TB
	ctx        context.Context
	client     kubernetes.Interface
	config     *rest.Config // the administrator's
	kubeconfig string
	port       string
	host       string // the API server's host as seen from here: under test/vm not the loopback
}

func newAPI(t testing.TB) *api {
	t.Helper()
	a := &api{t: t, ctx: t.Context(), kubeconfig: mustEnv(t, "FAIRLEAD_TEST_KUBECONFIG"), host: "127.0.0.1"}
	if host := os.Getenv("FAIRLEAD_VM_HOST"); host != "" {
		a.host = host
	}
	config, err := clientcmd.BuildConfigFromFlags("", a.kubeconfig)
	must(t, err)
	server, err := url.Parse(config.Host)
	must(t, err)
	a.port = server.Port()
	config.Host = "https://" + a.host + ":" + a.port
	config.QPS, config.Burst = 1000, 1000
	a.config = config
	a.client, err = kubernetes.NewForConfig(config)
	must(t, err)
	_, err = a.client.CoreV1().Namespaces().Create(a.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		must(t, err)
	}
	t.Cleanup(a.clear)
	return a
}

// clear deletes every object that a test made.
func (a *api) clear() {
	ctx, all := context.Background(), metav1.ListOptions{}
	core := a.client.CoreV1()
	_ = a.client.DiscoveryV1().EndpointSlices(namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, all)
	services, err := core.Services(namespace).List(ctx, all)
	if err != nil {
		a.t.Errorf("list Services to delete: %v", err)
		return
	}
	for _, svc := range services.Items {
		_ = core.Services(namespace).Delete(ctx, svc.Name, metav1.DeleteOptions{})
	}
	_ = core.Nodes().DeleteCollection(ctx, metav1.DeleteOptions{}, all)
}

// relay lets a process in the node's namespace reach the API server at the kubeconfig's address.
func (a *api) relay(n *lab.Namespace) *lab.RelayServer {
	a.t.Helper()
	r, err := lab.Relay(a.ctx, n, "127.0.0.1:"+a.port, a.host+":"+a.port)
	must(a.t, err)
	a.t.Cleanup(func() { _ = r.Close() })
	return r
}

// node registers a Node object for a namespace that plays it.
func (a *api) node(n *lab.Node, name string, edits ...func(*corev1.Node)) {
	a.t.Helper()
	object := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	for _, edit := range edits {
		edit(object)
	}
	object, err := a.client.CoreV1().Nodes().Create(a.ctx, object, metav1.CreateOptions{})
	must(a.t, err)
	for _, addr := range n.Addrs() {
		object.Status.Addresses = append(object.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: addr.String()})
	}
	_, err = a.client.CoreV1().Nodes().UpdateStatus(a.ctx, object, metav1.UpdateOptions{})
	must(a.t, err)
}

// service creates a Service with the ports web (TCP 8080) and dns (UDP 53).
func (a *api) service(name string, vips []string, edits ...func(*corev1.Service)) {
	a.t.Helper()
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.ServiceSpec{
			ClusterIP: vips[0], ClusterIPs: vips,
			Ports: []corev1.ServicePort{
				{Name: "web", Port: 8080, Protocol: corev1.ProtocolTCP},
				{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP},
			},
		},
	}
	for _, vip := range vips {
		family := corev1.IPv4Protocol
		if strings.Contains(vip, ":") {
			family = corev1.IPv6Protocol
		}
		svc.Spec.IPFamilies = append(svc.Spec.IPFamilies, family)
	}
	if len(vips) > 1 {
		policy := corev1.IPFamilyPolicyRequireDualStack
		svc.Spec.IPFamilyPolicy = &policy
	}
	for _, edit := range edits {
		edit(svc)
	}
	_, err := a.client.CoreV1().Services(namespace).Create(a.ctx, svc, metav1.CreateOptions{})
	must(a.t, err)
}

func (a *api) deleteService(name string) {
	a.t.Helper()
	must(a.t, a.client.CoreV1().Services(namespace).Delete(a.ctx, name, metav1.DeleteOptions{}))
	for _, slice := range []string{name + "-4", name + "-6"} {
		err := a.client.DiscoveryV1().EndpointSlices(namespace).Delete(a.ctx, slice, metav1.DeleteOptions{})
		if !apierrors.IsNotFound(err) {
			must(a.t, err)
		}
	}
}

// endpoints makes exactly these pods the endpoints of a Service, in one slice for each family.
func (a *api) endpoints(service string, pods ...*lab.Pod) {
	a.t.Helper()
	for _, family := range []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6} {
		slice := sliceOf(service, family)
		for _, pod := range pods {
			addr := pod.Addr4()
			if family == discoveryv1.AddressTypeIPv6 {
				addr = pod.Addr6()
			}
			node := nodeNameOf(pod)
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{addr.String()}, NodeName: &node})
		}
		api := a.client.DiscoveryV1().EndpointSlices(namespace)
		_, err := api.Update(a.ctx, slice, metav1.UpdateOptions{})
		if apierrors.IsNotFound(err) {
			_, err = api.Create(a.ctx, slice, metav1.CreateOptions{})
		}
		must(a.t, err)
	}
}

func sliceOf(service string, family discoveryv1.AddressType) *discoveryv1.EndpointSlice {
	tcp, udp, web, dns := corev1.ProtocolTCP, corev1.ProtocolUDP, "web", "dns"
	webPort, dnsPort := int32(8080), int32(5353)
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: service + "-" + strings.TrimPrefix(string(family), "IPv"),
			Labels: map[string]string{discoveryv1.LabelServiceName: service},
		},
		AddressType: family,
		Ports: []discoveryv1.EndpointPort{
			{Name: &web, Port: &webPort, Protocol: &tcp}, {Name: &dns, Port: &dnsPort, Protocol: &udp},
		},
	}
}

func mustEnv(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run `make test`", name)
	}
	return value
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
