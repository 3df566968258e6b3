//go:build linux

package e2e

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// frontend is a kind of address that a Service has.
type frontend string

const (
	clusterIP  frontend = "ClusterIP"
	nodePort   frontend = "NodePort"
	balancer   frontend = "LB VIP"
	externalIP frontend = "externalIP"
)

// everyFrontend is in the order of the contract's table.
var everyFrontend = []frontend{clusterIP, nodePort, balancer, externalIP}

// way is one of the kinds of packets that a row is tried with.
type way struct {
	network string
	six     bool
}

var (
	tcp4, tcp6 = way{"tcp", false}, way{"tcp", true}
	udp4, udp6 = way{"udp", false}, way{"udp", true}
	ways       = []way{tcp4, tcp6, udp4, udp6}
)

func (w way) String() string {
	if w.six {
		return w.network + "6"
	}
	return w.network + "4"
}

// family chooses between the addresses of two families.
func (w way) family(four, six string) string {
	if w.six {
		return six
	}
	return four
}

// svc is a Service on the stage.
type svc struct {
	s      *stage
	name   string
	number int
	object *corev1.Service
}

// edit changes a Service before it is created or updated.
type edit func(*corev1.Service)

func externalLocal(svc *corev1.Service) {
	svc.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
}

func internalLocal(svc *corev1.Service) {
	policy := corev1.ServiceInternalTrafficPolicyLocal
	svc.Spec.InternalTrafficPolicy = &policy
}

func sticky(seconds int32) edit {
	return func(svc *corev1.Service) {
		svc.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
		svc.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds}}
	}
}

func ranges(cidrs ...string) edit {
	return func(svc *corev1.Service) { svc.Spec.LoadBalancerSourceRanges = cidrs }
}

// serve makes a dual-stack Service with these frontends beside its ClusterIPs, and the ports web and dns. It goes at the
// end of the row.
func (s *stage) serve(with []frontend, edits ...edit) *svc {
	s.t.Helper()
	*s.count++
	v := &svc{s: s, name: fmt.Sprintf("svc-%d", *s.count), number: *s.count}
	must(s.t, s.t.Context().Err())
	all := append([]func(*corev1.Service){func(object *corev1.Service) {
		if slices.Contains(with, nodePort) {
			object.Spec.Type = corev1.ServiceTypeNodePort
		}
		if slices.Contains(with, balancer) {
			object.Spec.Type = corev1.ServiceTypeLoadBalancer
		}
		if slices.Contains(with, externalIP) {
			object.Spec.ExternalIPs = []string{fmt.Sprintf(external4, v.number), fmt.Sprintf(external6, v.number)}
		}
	}}, plain(edits)...)
	s.t.Cleanup(func() { v.delete() })
	s.api.service(v.name, []string{fmt.Sprintf(clusterNet4, v.number), fmt.Sprintf(clusterNet6, v.number)}, all...)
	v.get()
	if slices.Contains(with, balancer) {
		v.ingress(corev1.LoadBalancerIngress{IP: fmt.Sprintf(balancer4, v.number)}, corev1.LoadBalancerIngress{IP: fmt.Sprintf(balancer6, v.number)})
	}
	return v
}

func plain(edits []edit) []func(*corev1.Service) {
	var all []func(*corev1.Service)
	for _, edit := range edits {
		all = append(all, edit)
	}
	return all
}

func (v *svc) get() {
	v.s.t.Helper()
	var err error
	v.object, err = v.s.api.client.CoreV1().Services(namespace).Get(v.s.t.Context(), v.name, metav1.GetOptions{})
	must(v.s.t, err)
}

// update changes the Service.
func (v *svc) update(edits ...edit) {
	v.s.t.Helper()
	v.get()
	for _, edit := range edits {
		edit(v.object)
	}
	var err error
	v.object, err = v.s.api.client.CoreV1().Services(namespace).Update(v.s.t.Context(), v.object, metav1.UpdateOptions{})
	must(v.s.t, err)
}

// ingress writes the load balancer's addresses into the status, as a controller would.
func (v *svc) ingress(list ...corev1.LoadBalancerIngress) {
	v.s.t.Helper()
	v.get()
	v.object.Status.LoadBalancer.Ingress = list
	var err error
	v.object, err = v.s.api.client.CoreV1().Services(namespace).UpdateStatus(v.s.t.Context(), v.object, metav1.UpdateOptions{})
	must(v.s.t, err)
}

// delete removes the Service and its slices. The context of a test that ends is done already.
func (v *svc) delete() {
	ctx := context.Background()
	err := v.s.api.client.CoreV1().Services(namespace).Delete(ctx, v.name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		v.s.t.Error(err)
	}
	err = v.s.api.client.DiscoveryV1().EndpointSlices(namespace).DeleteCollection(ctx, metav1.DeleteOptions{},
		metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + v.name})
	if err != nil {
		v.s.t.Error(err)
	}
}

// at is where a frontend of the Service answers.
func (v *svc) at(f frontend, w way) string {
	port := v.port(w.network)
	number := int(port.Port)
	var ip string
	switch f {
	case clusterIP:
		ip = w.family(fmt.Sprintf(clusterNet4, v.number), fmt.Sprintf(clusterNet6, v.number))
	case balancer:
		ip = w.family(fmt.Sprintf(balancer4, v.number), fmt.Sprintf(balancer6, v.number))
	case externalIP:
		ip = w.family(fmt.Sprintf(external4, v.number), fmt.Sprintf(external6, v.number))
	case nodePort:
		ip, number = w.family(v.s.node.Addr4.String(), v.s.node.Addr6.String()), int(port.NodePort)
	}
	return net.JoinHostPort(ip, strconv.Itoa(number))
}

func (v *svc) port(network string) corev1.ServicePort {
	for _, port := range v.object.Spec.Ports {
		if strings.EqualFold(string(port.Protocol), network) {
			return port
		}
	}
	v.s.t.Fatalf("%s has no port for %s", v.name, network)
	return corev1.ServicePort{}
}
