package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/fairlead-lb/fairlead/test/bench/dataset"
)

// store writes objects into etcd as the API server would. To create a Service there costs time that grows with
// how many there are, address given or not: it counts all allocated addresses each time (Used, in
// k8s.io/kubernetes/pkg/registry/core/service/ipallocator). What is in etcd before the API
// server starts is as good.
type store struct {
	url     string // etcd's, which speaks JSON, too (/v3/kv/txn)
	now     metav1.Time
	encoder *protobuf.Serializer
}

// newStore returns nothing if etcd is not to be reached directly.
func newStore() *store {
	url := os.Getenv("FAIRLEAD_TEST_ETCD")
	if url == "" || os.Getenv("FAIRLEAD_VM_HOST") != "" { // in the VM it is somewhere else
		return nil
	}
	return &store{url: url, now: metav1.NewTime(time.Now().Truncate(time.Second)), encoder: protobuf.NewSerializer(scheme.Scheme, scheme.Scheme)}
}

// put is one request of a transaction.
type put struct {
	Request struct {
		Key   []byte `json:"key"`
		Value []byte `json:"value"`
	} `json:"request_put"`
}

// service writes what Service i of the dataset comes to: itself, its slice, and that its address is taken.
func (s *store) service(ctx context.Context, i int) error {
	name, vip := dataset.Name(i), dataset.VIP(i)
	svc := dataset.Service(dataset.Namespace, name, vip)
	svc.Spec.Type, svc.Spec.SessionAffinity = corev1.ServiceTypeClusterIP, corev1.ServiceAffinityNone
	single := corev1.IPFamilyPolicySingleStack
	svc.Spec.IPFamilies, svc.Spec.IPFamilyPolicy = []corev1.IPFamily{corev1.IPv4Protocol}, &single
	slice := dataset.Slice(dataset.Namespace, name, name, dataset.Endpoints(i))
	var puts []put
	for key, object := range map[string]metav1.Object{
		"/registry/services/specs/" + dataset.Namespace + "/" + name: svc,
		"/registry/endpointslices/" + dataset.Namespace + "/" + name: slice,
		"/registry/ipaddresses/" + vip.Addr().String():               taken(vip.Addr(), name),
	} {
		object.SetUID(uuid.NewUUID())
		object.SetCreationTimestamp(s.now)
		one, err := s.put(key, object.(runtime.Object))
		if err != nil {
			return fmt.Errorf("encode %s: %w", key, err)
		}
		puts = append(puts, one)
	}
	return s.commit(ctx, puts)
}

// put encodes an object as the API server stores it.
func (s *store) put(key string, object runtime.Object) (one put, err error) {
	kinds, _, err := scheme.Scheme.ObjectKinds(object)
	if err != nil {
		return one, err
	}
	object.GetObjectKind().SetGroupVersionKind(kinds[0])
	var value bytes.Buffer
	err = s.encoder.Encode(object, &value)
	one.Request.Key, one.Request.Value = []byte(key), value.Bytes()
	return one, err
}

// taken says that an address belongs to a Service.
func taken(addr netip.Addr, service string) *networkingv1.IPAddress {
	return &networkingv1.IPAddress{
		ObjectMeta: metav1.ObjectMeta{Name: addr.String(), Labels: map[string]string{
			networkingv1.LabelIPAddressFamily: string(corev1.IPv4Protocol), networkingv1.LabelManagedBy: "ipallocator.k8s.io",
		}},
		Spec: networkingv1.IPAddressSpec{ParentRef: &networkingv1.ParentReference{
			Resource: "services", Namespace: dataset.Namespace, Name: service,
		}},
	}
}

func (s *store) commit(ctx context.Context, puts []put) error {
	body, err := json.Marshal(map[string]any{"success": puts})
	if err != nil {
		return fmt.Errorf("encode a transaction: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v3/kv/txn", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("write to etcd: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("write to etcd: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if response.StatusCode != http.StatusOK {
		return errors.Join(fmt.Errorf("write to etcd: %s: %s", response.Status, text), err)
	}
	return nil
}
